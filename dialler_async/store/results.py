"""The results of the accounts of a run, and the findings of all accounts over time."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, final

import attrs
from sqlalchemy import Connection, Integer, bindparam, case, func, select, update

from ..audit import AuditReport, Change, Finding, Severity, State
from ..audit.baseline import changes
from ..audit.selection import name_matches
from ..audit.states import with_states
from .codec import (
    decode_baseline,
    decode_finding,
    decode_report,
    encode_baseline,
    encode_finding,
    encode_report,
    storable,
)
from .database import Database, insert
from .runs import Unit, UnitState
from .schema import ACCOUNTS, FINDINGS, UNITS, database_now


@attrs.frozen(kw_only=True)
class Result:
    """The result of one account of a run.

    Attributes:
        name: the name of the account in the run.
        state: whether the account could be audited.
        report: the report, compared with the account's results before.
    """

    name: str
    state: UnitState
    report: AuditReport


@final
class Results:
    """The results of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, unit: Unit, report: AuditReport, *, error: str | None = None) -> AuditReport | None:
        """Store the result of an account, end it in the run, and update its findings, in one transaction.

        A second result of the same account in the same run changes nothing.

        Args:
            unit: the account.
            report: its report, with its identity.
            error: why it could not be audited; None if it could.
        Returns:
            the report, compared with the account's results before; None if the account has a result in this run.
        Raises:
            StoreError: the store can't be written to. Nothing of the result is stored.
        """

        place = {"_run": unit.run, "_name": unit.name}
        identity = str(report.identity)

        def work(connection: Connection) -> AuditReport | None:
            before = connection.execute(_BEFORE, {**place, "_identity": identity}).one()
            if before.state != UnitState.WAITING:
                return None
            known = [
                attrs.evolve(decode_finding(row.finding), open_since=datetime.fromtimestamp(row.first_seen, UTC))
                for row in connection.execute(_KNOWN, {"_account": before.id})
            ]
            compared = _compare(report, known, before)
            account: dict[str, Any] = {
                "identity": identity,
                "name": storable(unit.name),
                # A part of the account is no baseline for the records.
                "baseline": encode_baseline(report) if report.records and report.scope is None else before.baseline,
                "_is_audited": error is None,
            }
            id: int = connection.execute(_upsert_account(connection.dialect.name), account).scalar_one()
            _update_findings(connection, id, compared)
            # What is found the first time is not new: there is nothing to compare it with.
            result = report if before.audited is None else compared
            found = result.by_severity()
            values = {
                "account": id,
                "state": UnitState.DONE if error is None else UnitState.FAILED,
                "error": None if error is None else storable(error),
                "campaigns": result.campaign_count,
                "errors": found[Severity.ERROR],
                "warnings": found[Severity.WARNING],
                "infos": found[Severity.INFO],
                "new": sum(finding.state is State.NEW for finding in result.findings),
                "result": encode_report(result),
            }
            connection.execute(_END_UNIT, {**place, **values})
            return result

        return await self._database.write(work)

    async def read(self, run: int, accounts: Iterable[str] = ()) -> AsyncIterator[Result]:
        """Yield the results of a run, account by account, in the order of the run.

        Only one report is in memory at a time.

        Args:
            run: the ID of the run.
            accounts: patterns of names, such as `acme*`; all accounts by default.
        """
        patterns = tuple(accounts)

        def names(connection: Connection) -> list[str]:
            query = select(UNITS.c.name).where(UNITS.c.run == run, UNITS.c.state != UnitState.WAITING)
            return list(connection.execute(query.order_by(UNITS.c.position)).scalars())

        for name in await self._database.read(names):
            is_chosen = not patterns or any(name_matches(name, pattern) for pattern in patterns)
            if is_chosen and (result := await self._read_one(run, name)) is not None:
                yield result

    async def _read_one(self, run: int, name: str) -> Result | None:
        """Return a result; None if the account was opened again in the meantime, and has no result now."""

        def work(connection: Connection) -> Result | None:
            query = select(UNITS.c.state, UNITS.c.result).where(UNITS.c.run == run, UNITS.c.name == name)
            row = connection.execute(query).one()
            if row.state == UnitState.WAITING:
                return None
            return Result(name=name, state=UnitState(row.state), report=decode_report(row.result))

        return await self._database.read(work)


def _compare(report: AuditReport, known: Iterable[Finding], before: Any) -> AuditReport:
    """Return a report with the states of its findings, and with the records that changed."""
    since = datetime.fromtimestamp(before.audited or 0.0).astimezone()
    changed: Iterable[Change] = ()
    if report.records and before.baseline is not None:
        changed = changes(report, decode_baseline(before.baseline))
    return with_states(report, known, since=since, changes=tuple(changed))


_OWN_UNIT: Final = (UNITS.c.run == bindparam("_run")) & (UNITS.c.name == bindparam("_name"))
_BEFORE: Final = (
    select(UNITS.c.state, ACCOUNTS.c.id, ACCOUNTS.c.audited, ACCOUNTS.c.baseline)
    .select_from(UNITS)
    .join(ACCOUNTS, ACCOUNTS.c.identity == bindparam("_identity"), isouter=True)
    .where(_OWN_UNIT)
    .with_for_update(of=UNITS)
)
_KNOWN: Final = (
    select(FINDINGS.c.finding, FINDINGS.c.first_seen)
    .where(FINDINGS.c.account == bindparam("_account", type_=Integer), FINDINGS.c.gone_since.is_(None))
    .order_by(FINDINGS.c.campaign_id.nulls_first(), FINDINGS.c.identity)
)
_END_UNIT: Final = (
    update(UNITS)
    .where(_OWN_UNIT)
    .values(
        {
            name: bindparam(name)
            for name in ("account", "state", "error", "campaigns", "errors", "warnings", "infos", "new", "result")
        }
    )
    .values(ended=database_now())
)
_GONE: Final = (
    update(FINDINGS)
    .where(FINDINGS.c.account == bindparam("_account"), FINDINGS.c.identity == bindparam("_identity"))
    .values(gone_since=database_now())
)


@cache
def _upsert_account(dialect: str) -> Any:
    audited = case((bindparam("_is_audited"), database_now()))
    new = insert(dialect, ACCOUNTS).values(
        {name: bindparam(name) for name in ("identity", "name", "baseline")} | {"audited": audited}
    )
    kept: dict[str, Any] = {name: new.excluded[name] for name in ("name", "baseline")}
    kept["audited"] = func.coalesce(new.excluded.audited, ACCOUNTS.c.audited)
    return new.on_conflict_do_update(index_elements=[ACCOUNTS.c.identity], set_=kept).returning(ACCOUNTS.c.id)


@cache
def _upsert_finding(dialect: str) -> Any:
    """Return the statement for a finding that was seen. One that was gone begins anew."""
    new = insert(dialect, FINDINGS).values(first_seen=database_now(), last_seen=database_now())
    begun = case((FINDINGS.c.gone_since.is_(None), FINDINGS.c.first_seen), else_=new.excluded.first_seen)
    kept = ("severity", "message", "campaign_name", "is_accepted", "finding", "last_seen")
    return new.on_conflict_do_update(
        index_elements=[FINDINGS.c.account, FINDINGS.c.identity],
        set_={name: new.excluded[name] for name in kept} | {"first_seen": begun, "gone_since": None},
    )


def _update_findings(connection: Connection, account: int, report: AuditReport) -> None:
    """Record the findings of a report, and which findings are gone."""
    seen = [
        {
            "account": account,
            "identity": finding.identity,
            "rule": storable(finding.rule),
            "severity": finding.severity.value,
            "campaign_id": finding.campaign_id,
            "campaign_name": finding.campaign_name and storable(finding.campaign_name),
            "message": storable(finding.message),
            "is_accepted": finding.acceptance is not None,
            "finding": encode_finding(finding),
        }
        for finding in (*report.findings, *report.accepted)
    ]
    gone = () if report.comparison is None else report.comparison.gone
    if seen:
        connection.execute(_upsert_finding(connection.dialect.name), seen)
    if gone:
        places = [{"_account": account, "_identity": finding.identity} for finding in gone]
        connection.execute(_GONE, places)
