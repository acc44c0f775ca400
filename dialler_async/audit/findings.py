"""What an audit finds: `Finding`, and how bad it is: `Severity`."""

from enum import StrEnum

import attrs


class Severity(StrEnum):
    """How bad a finding is. Iterates from worst to mildest."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    def at_least(self, other: "Severity") -> bool:
        """Whether this is as bad as `other`, or worse."""
        return _FROM_WORST.index(self) <= _FROM_WORST.index(other)


_FROM_WORST = tuple(Severity)


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that a rule found. A plain value: it pickles, compares and hashes.

    The texts hold what the server sent, as it sent it: whoever shows them escapes them.

    Attributes:
        rule: ID of the rule, such as `dangling-result-code`.
        severity: how bad it is.
        campaign_id: `ID` of the campaign; None if the server sent none, or if the finding is about the whole account.
        campaign_name: `Name` of the campaign; None if the finding is about the whole account.
        subject: what exactly it is about: a key of the campaign's record, the ID of a result code, an export key, a
            language. Empty if it is about the campaign as a whole.
        message: one sentence that can be read on its own.
        account: name of the account, in reports of several accounts.
    """

    rule: str
    severity: Severity
    campaign_id: int | None
    campaign_name: str | None
    subject: str
    message: str
    account: str | None = None
