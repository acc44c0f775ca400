"""`dialler audit explain`: explain one rule, with an example of a finding."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.padding import Padding

from .. import ConfigurationError, DiallerClient
from .._text.toml_tables import require_known
from ..audit import AnyRule, audit
from ..audit.rule import RuleInfo, Setting
from ..audit.rules import RUN_RULES
from ..audit.story import where
from .exits import UsageError
from .output import Console, text
from .rules import RuleOptions

_SAME = "A finding is the same if its campaign, subject, kind and language are. Its message may change."
_TEMPLATE = "differs-from-template"
# Examples for the rules that find nothing in a sandbox.
_EXAMPLES = {
    "incomplete-list": "the server counts 500 campaigns, but sent 499",
    "stopped-early": "12 lookups of result codes were not made, because the server refused one: 401 Unauthorized",
    "not-audited": "could not be audited: 401 Unauthorized",
    "rule-failed": "the rule “my-rule” failed on 12 campaigns: KeyError at my_rules.py:7",
    "no-campaigns": "the account has no campaigns",
    "unused-acceptance": "the entry for expired, campaign 535 accepts nothing: it ended on 2026-12-31",
    "invalid-record": "campaign 535 “Summer”: in records[7] (ID 535) nMaxParallelLines is 'many', not a whole number",
    "unreachable-codes": "campaign 535 “Summer”: no result codes in German: 503 Service Unavailable",
}


async def explain(
    rule: str,
    /,
    *,
    rules: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    config: Path | None = None,
) -> None:
    """Explain one rule, with an example.

    Args:
        rule: ID of the rule; `dialler audit --list-rules` lists them.
        rules: module:name of your own rule, or of a list of rules. Can be given several times.
        config: File with the settings. Default: the nearest dialler.toml or pyproject.toml.
    """
    available = {one.info.id: one for one in RuleOptions(rules=rules, config=config).load().available}
    infos = {info.id: info for info in (*RUN_RULES, *(one.info for one in available.values()))}
    try:
        require_known(rule, infos, "rule")
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    found = available.get(rule)
    example = _EXAMPLES.get(rule)
    if example is None and found is not None:
        example = await _example(found)
    _print(infos[rule], example, {} if found is None else {"severity": found.info.severity.value, **found.settings})


async def _example(rule: AnyRule) -> str | None:
    """Return a finding of this rule in a sandbox with seeded defects; None if the rule finds nothing."""
    # Imported here, because most commands need no sandbox.
    from ..sandbox import Sandbox

    async with (
        Sandbox(campaigns=120, seed=1) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
    ):
        template = (await dialler.campaigns.list())[0].name if rule.info.id == _TEMPLATE else None
        report = await audit(dialler, rules=[rule], template=template)
    for finding in report.findings:
        if finding.rule == rule.info.id:
            return f"{where(finding)}: {finding.message}"
    return None


def _print(info: RuleInfo, example: str | None, settings: Mapping[str, Setting]) -> None:
    lines = [f"{key.replace('_', '-')} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
    parts = {
        "Why": [info.why],
        "Example": [] if example is None else [example],
        "What to do": [info.fix],
        "The same finding in the next report": [f"{_SAME} {info.identity}".rstrip()],
        f"Settings, in [audit.{info.id}] of dialler.toml": lines,
    }
    console = Console()
    console.print(text(f"{info.id} ({info.severity}): {info.title}", "bold"))
    for heading, content in parts.items():
        if content:
            console.print()
            console.print(text(heading, "bold"))
        for line in content:
            console.print(Padding(text(line), (0, 0, 0, 2), expand=False))
