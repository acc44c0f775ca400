"""`dialler audit --accept`: add `[[audit.accept]]` entries to the settings."""

import tomllib
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import attrs
from cyclopts import Group, Parameter

from .. import ConfigurationError
from .._text.files import whole_file
from .._text.toml_files import read_toml
from ..audit import AuditReport, AuditSettings, Finding
from ..audit.acceptance import NEVER_ACCEPTED, AcceptanceEntry, entries_as_toml
from ..audit.rules import UNUSED_ACCEPTANCE
from .exits import OutputError, UsageError, print_error
from .options import Flag
from .output import counted
from .prompt import ask

_FLEET = "fleet.toml"


@Parameter(name="*", group=Group("Acceptance", sort_key=0))
@attrs.frozen(kw_only=True)
class AcceptanceOptions:
    """The options that accept findings.

    Attributes:
        accept: Write [[audit.accept]] entries for the findings to the settings.
        reason: Reason of the entries. By default, the command asks for it.
        owner: Person who is responsible for the entries.
        until: Last day of the entries, such as 2026-12-31.
    """

    accept: Flag = False
    reason: str | None = None
    owner: str | None = None
    until: str | None = None

    def check(self) -> None:
        """Check the options before the audit.

        Raises:
            UsageError: an option is empty, is not a date, has passed, or needs `--accept`.
        """
        given = {"--reason": self.reason, "--owner": self.owner, "--until": self.until}
        for option, value in given.items():
            if value is not None and not self.accept:
                raise UsageError(f"{option} needs --accept")
            if value is not None and not value.strip():
                raise UsageError(f"{option} needs a text")
        if (last_day := self._last_day()) is not None and last_day < datetime.now().astimezone().date():
            raise UsageError(f"--until {last_day} has passed")

    def accept_findings(self, report: AuditReport, file: Path | None, settings: AuditSettings) -> None:
        """Add an entry for each finding of the report to the settings file.

        Args:
            report: the report of the audit. Accepted findings are not in its `findings`.
            file: the file with the settings. None means `dialler.toml` in the current directory.
            settings: the content of the file.
        Raises:
            UsageError: the user gives no reason, or the file is invalid.
            OutputError: the file can't be written.
        """
        if report.unfinished:
            print_error("nothing was accepted, because the run did not finish")
            return
        findings = [finding for finding in report.findings if _can_be_accepted(finding)]
        if not findings:
            print_error("there is nothing to accept")
            return
        file = file or Path("dialler.toml")
        number = counted(len(findings), "finding")
        reason = self.reason or ask(f"Reason to accept {number} in {file}: ")
        if not reason.strip():
            raise UsageError("nothing was accepted: an acceptance needs a reason")
        identity = report.identity
        entries = entries_as_toml(
            findings,
            reason.strip(),
            ".".join((*_keys(file), "accept")),
            owner=self.owner,
            until=self._last_day(),
            account=None if identity is None else identity.clients_id,
            server=identity.server if identity and _serves_several(settings.accept, file) else None,
        )
        _append(entries, file)
        print_error(f"accepted {number} in {file}")

    def _last_day(self) -> date | None:
        try:
            return None if self.until is None else date.fromisoformat(self.until)
        except ValueError:
            raise UsageError(f"--until must be a date such as 2026-12-31, not “{self.until}”") from None


NO_ACCEPTANCE = AcceptanceOptions()
"""No option given."""


def _serves_several(entries: Iterable[AcceptanceEntry], file: Path) -> bool:
    """Return whether a settings file is for several servers: an entry names one, or a fleet beside it has several."""
    if any(entry.server is not None for entry in entries):
        return True
    fleet = file.parent / _FLEET
    servers = read_toml(fleet)[0].get("servers") if fleet.is_file() else None
    return isinstance(servers, list) and len(servers) > 1


def _keys(file: Path) -> tuple[str, ...]:
    """Return the names of the tables in which the settings are."""
    return ("tool", "dialler", "audit") if file.name == "pyproject.toml" else ("audit",)


def _append(entries: str, file: Path) -> None:
    try:
        before = file.read_bytes().decode("utf-8-sig") if file.exists() else ""
        text = f"{before.rstrip()}\n{entries}" if before.strip() else entries.lstrip()
        table = tomllib.loads(text)
        for key in _keys(file):
            table = table[key]
        AuditSettings.of(table)
    except (ValueError, ConfigurationError) as error:
        raise UsageError(f"can't add entries to {file}: {error}") from None
    try:
        with whole_file(file) as new:
            new.write(text.encode())
    except OSError as error:
        raise OutputError(f"can't write {file}: {error.strerror or error}") from None


def _can_be_accepted(finding: Finding) -> bool:
    # TOML can't represent lone surrogates.
    has_surrogate = any("\ud800" <= character <= "\udfff" for character in finding.subject)
    return finding.rule not in {*NEVER_ACCEPTED, UNUSED_ACCEPTANCE.id} and not has_surrogate
