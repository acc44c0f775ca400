"""`dialler audit --accept`: add `[[audit.accept]]` entries to the settings."""

import tomllib
from pathlib import Path

from dialler_async import ConfigurationError
from dialler_async._text.files import whole_file
from dialler_async.audit import AuditReport, AuditSettings, Finding
from dialler_async.audit.acceptance import NEVER_ACCEPTED, entries_as_toml
from dialler_async.audit.rules import UNUSED_ACCEPTANCE

from .exits import OutputError, UsageError, print_error
from .output import counted
from .prompt import ask


def accept_findings(report: AuditReport, file: Path | None) -> None:
    """Ask for a reason, and add an entry for each finding of the report to the settings file.

    Args:
        report: the report of the audit. Accepted findings are not in its `findings`.
        file: the file with the settings. None means `dialler.toml` in the current directory.

    Raises:
        UsageError: the user gives no reason, or the file is invalid.
        OutputError: the file can't be written.
    """
    findings = [finding for finding in report.findings if _can_be_accepted(finding)]
    if not findings:
        print_error("there is nothing to accept")
        return
    file = file or Path("dialler.toml")
    reason = ask(f"Reason to accept {counted(len(findings), 'finding')} in {file}: ")
    if not reason:
        raise UsageError("nothing was accepted: an acceptance needs a reason")
    keys = ("tool", "dialler", "audit") if file.name == "pyproject.toml" else ("audit",)
    account = None if report.identity is None else report.identity.clients_id
    entries = entries_as_toml(findings, reason, ".".join((*keys, "accept")), account)
    try:
        before = file.read_bytes().decode() if file.exists() else ""
        text = f"{before.rstrip()}\n{entries}" if before.strip() else entries.lstrip()
        table = tomllib.loads(text)
        for key in keys:
            table = table[key]
        AuditSettings.of(table)
    except (ValueError, ConfigurationError) as error:
        raise UsageError(f"can't add entries to {file}: {error}") from None
    try:
        with whole_file(file) as new:
            new.write(text.encode())
    except OSError as error:
        raise OutputError(f"can't write {file}: {error.strerror or error}") from None
    print_error(f"accepted {counted(len(findings), 'finding')} in {file}")


def _can_be_accepted(finding: Finding) -> bool:
    # TOML can't represent lone surrogates.
    has_surrogate = any("\ud800" <= character <= "\udfff" for character in finding.subject)
    return finding.rule not in {*NEVER_ACCEPTED, UNUSED_ACCEPTANCE.id} and not has_surrogate
