"""The result of a rule: `Finding`, its `Severity`, its `State` compared with a baseline, and its `Acceptance`."""

from datetime import date
from enum import StrEnum

import attrs


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
    """Whether a finding is new, unchanged or gone since the baseline."""

    NEW = "new"
    UNCHANGED = "unchanged"
    GONE = "gone"
    UNCHECKED = "unchecked"
    """It was in the baseline, and this audit could not check it again."""


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
        account: name of the account, in reports of several accounts.
        state: the state compared with the baseline; None if the report was not compared.
        acceptance: why the finding is accepted; None if it is not.
    """

    rule: str
    severity: Severity
    campaign_id: int | None
    campaign_name: str | None
    subject: str
    message: str
    account: str | None = None
    state: State | None = None
    acceptance: Acceptance | None = None
