"""The result of a rule: `Finding`, its `Severity`, its `State` compared with a baseline, and its `Acceptance`."""

from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from json import dumps

import attrs

from ..models import Language

CampaignKey = int | str
"""What a campaign is recognised by in the next report: its ID, or its name if it has no ID."""


def campaign_key(id: int | None, name: str) -> CampaignKey:
    """Return what a campaign is recognised by in the next report."""
    return name if id is None else id


class Severity(StrEnum):
    """How bad a finding is. Iterates from worst to mildest."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst severity. A milder severity has a higher rank."""
        return _FROM_WORST.index(self)

    def at_least(self, other: "Severity") -> bool:
        """Return whether this severity is `other` or a higher one."""
        return self.rank <= other.rank


_FROM_WORST = tuple(Severity)


class State(StrEnum):
    """Whether a finding is new, unchanged, gone or not checked since the baseline; see `with_states`."""

    NEW = "new"
    UNCHANGED = "unchanged"
    GONE = "gone"
    UNCHECKED = "unchecked"
    """It was known, and this audit could not check it again. It may be there or gone."""


@attrs.frozen(kw_only=True)
class Acceptance:
    """Why a finding does not fail.

    Attributes:
        reason: the reason, in the words of a user.
        owner: the person who is responsible for it.
        until: the last day of the acceptance; None if it does not end.
    """

    reason: str
    owner: str | None = None
    until: date | None = None


@attrs.frozen(kw_only=True)
class Basis:
    """What a finding rests on. A run that did not check all of it can't tell that the finding is gone.

    Attributes:
        languages: the languages of the result codes; empty if it rests on records alone.
        campaigns: the campaigns that are compared with each other; None for all campaigns of the account.
        certain: whether the finding would be there whatever the campaigns are like that were not checked.
    """

    languages: tuple[Language, ...] = ()
    campaigns: tuple[CampaignKey, ...] | None = ()
    certain: bool = True


@attrs.frozen(kw_only=True)
class Finding:
    """One violation of a rule. A plain value: it pickles, compares and hashes.

    The texts contain unescaped data from the server. Code that shows them must escape them.

    Attributes:
        rule: ID of the rule, such as `dangling-result-code`.
        severity: how bad it is.
        campaign_id: `ID` of the campaign; None if the server sent none, or if the finding is about the whole account.
        campaign_name: `Name` of the campaign; None if the finding is about the whole account.
        subject: the part of the campaign that the finding is about: a key of its record, the ID of a result code, an
            export key, a language. Empty if the finding is about the campaign as a whole.
        message: one sentence that can be read alone.
        kind: what is wrong with the subject, such as `no text`, if the rule finds several problems of one subject.
        language: the language of the text that it is about, if it is about one.
        basis: what it rests on.
        measure: how much is wrong, if the rule measures it. The finding is new again when the measure grows.
        account: name of the account, in reports of several accounts.
        state: the state compared with the baseline; None if the report was not compared.
        unchecked_reason: why it could not be checked, in words; empty in the other states.
        acceptance: why the finding is accepted; None if it is not.
        open_since: when it was found first, with zone; None if no earlier report is known that has it.
    """

    rule: str
    severity: Severity
    campaign_id: int | None
    campaign_name: str | None
    subject: str
    message: str
    kind: str = ""
    language: Language | None = None
    basis: Basis = Basis()
    measure: int | None = None
    account: str | None = None
    state: State | None = None
    unchecked_reason: str = ""
    acceptance: Acceptance | None = None
    open_since: datetime | None = None

    @property
    def campaign(self) -> CampaignKey:
        """What its campaign is recognised by; "" for the whole account."""
        return campaign_key(self.campaign_id, self.campaign_name or "")

    @property
    def identity(self) -> str:
        """What it is recognised by in the next report of the account: 32 hexadecimal digits.

        Findings are the same if rule, campaign, subject, kind and language are. Values are not compared: a setting that
        names another missing result code is the same finding.
        """
        about = (self.rule, self.campaign_name is None, self.campaign, self.subject, self.kind, self.language)
        return sha256(dumps(about).encode()).hexdigest()[:32]
