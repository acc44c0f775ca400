"""`dialler audit --sandbox`: the first command of the README shows the errors, and ends with what to do next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("no_settings")


def test_audit_of_the_sandbox_prints_verdict_and_errors_only_and_ends_with_the_next_commands(run: Run) -> None:
    lines = run("audit", "--sandbox").out.splitlines()
    assert re.fullmatch(r"account 1 on sandbox: \d+ errors, \d+ warnings, \d+ infos; the worst is an error", lines[0])
    severities = [match[1] for line in lines if (match := re.match(r"    (error|warning|info) ", line))]
    assert severities.count("error") == len(severities) > 0
    assert len(lines) < 50
    assert max(map(len, lines)) <= 80
    *_, next_steps = "\n".join(lines).partition("What next")
    for hint in ("audit --sandbox --unfold", "audit explain ", "DIALLER_BASE_URL", "DIALLER_TOKEN"):
        assert hint in next_steps


def test_rule_in_the_next_commands_can_be_explained(run: Run) -> None:
    (rule,) = re.findall(r"audit explain (\S+)", run("audit", "--sandbox").out)
    assert run("audit", "explain", rule).exit == 0


def test_audit_of_the_sandbox_with_unfold_prints_every_finding(run: Run) -> None:
    out = run("audit", "--sandbox", "--unfold").out
    assert "  warning  " in out
    assert "What next" not in out
