"""The options of an audit: the same for all its parts, in every process."""

from collections.abc import Iterable
from datetime import datetime

import attrs

from .._api.endpoints import checked_languages
from ..models import Language
from .findings import Finding
from .rule import RuleInfo
from .rules import ALWAYS, INCOMPLETE_LIST, RUN_RULES, STOPPED_EARLY, AnyRule, differs_from_template


@attrs.frozen(kw_only=True)
class AuditOptions:
    """The checked options of an audit.

    Attributes:
        rules: the rules to apply, in the order in which a campaign's findings are reported.
        languages: the languages in which result codes are fetched and compared, each once.
        now: the time that dates are compared with, with a zone.
    """

    rules: tuple[AnyRule, ...]
    languages: tuple[Language, ...]
    now: datetime

    @classmethod
    def of(
        cls, rules: Iterable[AnyRule], languages: Iterable[Language], now: datetime, *, template: bool = False
    ) -> "AuditOptions":
        """Return the checked options.

        Args:
            rules: the rules to apply. Rules that are always applied are added.
            languages: the languages. Duplicates are removed.
            now: the time that dates are compared with. A naive value is local time.
            template: whether campaigns are compared with a template.
        Raises:
            ConfigurationError: no language is given.
        """
        checked = checked_languages(languages)
        given = {rule.info.id: rule for rule in rules}
        if not template:
            given.pop(differs_from_template.info.id, None)
        always = {rule.info.id: given.get(rule.info.id, rule) for rule in ALWAYS}
        return cls(
            rules=tuple({**always, **given}.values()),
            languages=checked,
            now=now if now.utcoffset() is not None else now.astimezone(),
        )

    def applied(self, findings: Iterable[Finding]) -> tuple[RuleInfo, ...]:
        """Return the applied rules, those of the run itself first.

        `RUN_RULES` without a finding are left out, except two that always apply.
        """
        found = {INCOMPLETE_LIST.id, STOPPED_EARLY.id, *(finding.rule for finding in findings)}
        return (*(info for info in RUN_RULES if info.id in found), *(rule.info for rule in self.rules))
