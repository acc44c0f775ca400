"""The unit of work: audit one account for a run, and store the result."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Final, final

import attrs
from msgspec.structs import replace

from ..audit import (
    AccountIdentity,
    AuditReport,
    AuditSettings,
    accept,
    audit,
    available_rules,
    not_audited,
)
from ..audit.rules import UNUSED_ACCEPTANCE
from ..config import BASE_PATH
from ..errors import DiallerError
from ..models import Language
from ..store import Plan, Run, Store, Unit
from .clients import ServerClients
from .manifest import Fleet

_log: Final = logging.getLogger("dialler_async.fleet")


def settings_digest(settings: AuditSettings) -> str:
    """Return the SHA-256 of audit settings. Equivalent settings have the same digest.

    A run contains this digest instead of the settings, so that the store can't make a worker import a module.
    """
    canonical = {
        "select": sorted(set(settings.select)),
        "ignore": sorted(set(settings.ignore)),
        # Not sorted, because the findings of a campaign are reported in the order of the rules.
        "rules": list(settings.rules),
        "template": settings.template,
        "by_rule": {
            rule: {key.replace("-", "_"): value for key, value in table.items()}
            for rule, table in settings.by_rule.items()
            if table
        },
    }
    # `default=str` encodes values such as TOML dates. `AuditSettings.choose` refuses them later.
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@final
class Auditor:
    """Does units of work with the manifest and the settings of this process.

    Args:
        store: where results are stored.
        fleet: the servers and accounts.
        settings: the audit settings.
        directory: the directory from which this process imports the rules of the settings.
    Raises:
        ConfigurationError: the settings are invalid, or a rule can't be loaded.
    Attributes:
        settings: the digest of the settings.
        servers: the servers by their normalised URLs.
    """

    def __init__(self, store: Store, fleet: Fleet, settings: AuditSettings, directory: Path | None) -> None:
        self.settings: Final = settings_digest(settings)
        self.servers: Final = {server.base_url: server for server in fleet.servers.values()}
        self._rules = settings.choose(available_rules(settings.rules, directory))
        self._template = settings.template
        self._store = store
        self._fleet = fleet

    def refusal(self, unit: Unit) -> str | None:
        """Return why this process can't do a unit, because its manifest says otherwise; None if it can."""
        account = self._fleet.accounts.get(unit.name)
        if account is None:
            return "this fleet.toml has no such account"
        if account.clients_id != unit.clients_id:
            return f"it has clients_id {unit.clients_id} in the run, and {account.clients_id} in this fleet.toml"
        url = self._fleet.servers[account.server].base_url
        if url != unit.url:
            return f"it is on {unit.url} in the run, and on {url} in this fleet.toml"
        return None

    async def audit(self, run: Run, unit: Unit, clients: ServerClients) -> None:
        """Audit an account, and store the result. An account that can't be audited gets the reason as its result."""
        fields = {"run": run.id, "account": unit.name}
        _log.info("begin account %s", unit.name, extra=fields)
        try:
            report = await self._audit(run.plan, unit, clients)
        except DiallerError as error:
            await self.fail(run, unit, str(error) or type(error).__name__)
        except Exception as error:
            # The user writes rules and token sources, so anything can be raised. The text may hold a secret.
            await self.fail(run, unit, type(error).__name__)
        else:
            await self._store.results.save(unit, report)
            _log.info("end account %s: %d findings", unit.name, len(report.findings), extra=fields)

    async def fail(self, run: Run, unit: Unit, error: str) -> None:
        """Store why an account could not be audited."""
        plan = run.plan
        languages = [Language(language) for language in plan.languages]
        report = not_audited(error, rules=self._rules, languages=languages, now=plan.now, started=plan.now)
        await self._store.results.save(unit, self._complete(report, plan, unit), error=error)
        _log.error("account %s could not be audited: %s", unit.name, error, extra={"run": run.id, "account": unit.name})

    async def _audit(self, plan: Plan, unit: Unit, clients: ServerClients) -> AuditReport:
        report = await audit(
            clients.get(self._fleet.accounts[unit.name]),
            rules=self._rules,
            languages=[Language(language) for language in plan.languages],
            template=self._template,
            now=plan.now,
            concurrency=clients.concurrency,
        )
        return self._complete(report, plan, unit)

    def _complete(self, report: AuditReport, plan: Plan, unit: Unit) -> AuditReport:
        """Return a report with its account, and with what the run accepts."""
        identity = AccountIdentity.of(f"{unit.url}{BASE_PATH}/{unit.clients_id}")
        # In a report of one account, an entry has no name of an account.
        entries = [replace(entry, account=None) if entry.account == unit.name else entry for entry in plan.accept]
        # Without the snapshots of records: they would double the CPU time of an account, and its size in the store.
        known = attrs.evolve(report, records=(), identity=identity, portal_url=plan.portal_url)
        report = accept(known, entries)
        # Whether an entry is used can be said for the whole fleet only; see `fleet_report`.
        findings = tuple(finding for finding in report.findings if finding.rule != UNUSED_ACCEPTANCE.id)
        rules = tuple(info for info in report.rules if info != UNUSED_ACCEPTANCE)
        return attrs.evolve(report, findings=findings, rules=rules)
