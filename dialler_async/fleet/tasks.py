"""The two tasks of a worker: survey an account, audit a slice of its campaigns. They read, and change nothing."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Final, cast, final

from taskiq import AsyncBroker, TaskiqResult

from dialler_async.audit import AuditSettings, audit_slice, survey
from dialler_async.audit.rules import AnyRule
from dialler_async.errors import AuthenticationError, DiallerError, EndpointNotFoundError, require

from .clients import Clients
from .messages import Orders, Result, Slice, settings_digest
from .wire import SLICE, SURVEY, RejectedMessageError

__all__ = ["SLICE", "SURVEY", "Work", "returned"]

_log: Final = logging.getLogger("dialler_async.fleet")


@final
class Work:
    """Carries out jobs.

    Args:
        clients: makes a client for an account.
        settings: the audit settings of this process; jobs of an audit with other settings fail.
        rules: the rules that these settings choose. No message can add one.
    """

    def __init__(self, clients: Clients, settings: AuditSettings, rules: tuple[AnyRule, ...]) -> None:
        self._clients = clients
        self._digest = settings_digest(settings)
        self._rules = rules
        self._in_hand: set[asyncio.Task[Any]] = set()
        self._latest: tuple[dict[str, Any], Orders] | None = None

    def offer(self, broker: AsyncBroker) -> None:
        """Registers the tasks."""

        # Functions, since taskiq renames what it is given, which a method does not bear.
        @broker.task(SURVEY)
        async def survey(account: str, orders: dict[str, Any], concurrency: int | None) -> dict[str, Any]:
            return await self._told(self._survey(account, orders, concurrency))

        @broker.task(SLICE)
        async def slice(account: str, orders: dict[str, Any], concurrency: int | None, packed: str) -> dict[str, Any]:
            return await self._told(self._slice(account, orders, concurrency, packed))

    async def give_up(self) -> None:
        """Ends the jobs that are in hand; they are given back."""
        # taskiq leaves them running when its receiver is cancelled; and one that waits for its turn by way of Redis
        # may miss to be cancelled once.
        in_hand = set(self._in_hand)
        while in_hand:
            for task in in_hand:
                task.cancel()
            _, in_hand = await asyncio.wait(in_hand, timeout=1)

    async def _survey(self, account: str, told: dict[str, Any], concurrency: int | None) -> Result:
        """List the campaigns of an account, judge the list, and look them up if they are few."""
        orders = self._orders(told)
        found = await survey(
            self._clients.of(account),
            rules=self._rules,
            languages=orders.languages,
            now=orders.now,
            chunk=orders.chunk,
            concurrency=concurrency,
        )
        return Result(part=found.part, left=tuple(map(Slice.of, found.left)))

    async def _slice(self, account: str, told: dict[str, Any], concurrency: int | None, packed: str) -> Result:
        """Look up and judge campaigns that a survey has left."""
        orders = self._orders(told)
        part = await audit_slice(
            self._clients.of(account),
            Slice.unpacked(packed),
            rules=self._rules,
            languages=orders.languages,
            now=orders.now,
            concurrency=concurrency,
        )
        return Result(part=part)

    async def _told(self, work: Awaitable[Result]) -> dict[str, Any]:
        """What the work comes to, whatever that is: taskiq would log a traceback of what it is left to catch."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._in_hand.add(task)
        try:
            result = await work
        except (AuthenticationError, EndpointNotFoundError) as error:
            # Of anything else, another worker or another moment may make something.
            result = Result(error=str(error), for_good=True)
        except RejectedMessageError as error:
            _log.warning("rejected a job: %s", error)
            result = Result(error=f"a worker rejected the job: {error}", for_good=True)
        except DiallerError as error:
            result = Result(error=str(error) or type(error).__name__)
        except asyncio.CancelledError:
            result = Result(error="the worker was stopped")
        except Exception as error:
            result = Result(error=f"{type(error).__name__}: {error}")
        finally:
            self._in_hand.discard(task)
        return result.to_json()

    def _orders(self, told: dict[str, Any]) -> Orders:
        if self._latest is None or self._latest[0] != told:
            self._latest = told, Orders.from_json(told)
        orders = self._latest[1]
        require(
            orders.settings == self._digest,
            f"the audit settings of this worker have the digest {self._digest[:12]}, those of the audit "
            f"{orders.settings[:12]}: give both the same settings (--config, --select, --ignore, --rules)",
        )
        return orders


def returned(result: TaskiqResult[Any]) -> dict[str, Any]:
    """What a task has returned. One that raised was given what it can't take, or a rule ended it from inside."""
    value: dict[str, Any] | None = result.return_value
    return value or Result(error=f"{type(result.error).__name__}: {result.error}").to_json()
