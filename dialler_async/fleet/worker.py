"""A worker: takes jobs from the broker until it is told to stop, and finishes what it has begun."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from taskiq.acks import AcknowledgeType
from taskiq.receiver import Receiver

from dialler_async.audit import AuditSettings, available_rules

from .broker import RedisBroker
from .clients import Clients
from .manifest import Fleet
from .tasks import Work


async def work(
    fleet: Fleet,
    broker: RedisBroker,
    *,
    stop: asyncio.Event,
    settings: AuditSettings | None = None,
    directory: Path | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Do jobs of whatever audits come along.

    Args:
        fleet: the servers and accounts, with the tokens that this worker has.
        broker: where the jobs are, opened and closed by this; its places are how many are worked on at once.
        stop: once it is set, what is in hand is finished, and that is all.
        settings: the audit settings of this worker; all rules with their defaults, if None. They must be those of
            the audit: jobs of an audit with other settings fail, with a text that says so.
        directory: where modules with rules of the user's own are looked for first.
        on_ready: called once jobs can come.

    Raises:
        ConfigurationError: the settings can't work, or a rule can't be loaded.
        BrokerError: the broker can't be reached at the start. One that is lost later is waited for.
    """
    settings = settings or AuditSettings()
    rules = settings.choose(available_rules(settings.rules, directory))
    broker.is_worker_process = True
    broker.stop = stop
    clients = Clients(fleet, broker.redis)
    jobs = Work(clients, settings, rules)
    jobs.offer(broker)
    try:
        await broker.startup()
        on_ready()
        receiver = Receiver(
            broker, max_async_tasks=broker.own_places, run_startup=False, ack_type=AcknowledgeType.WHEN_SAVED
        )
        await receiver.listen(stop)
    finally:
        await jobs.give_up()
        await broker.shutdown()
        await clients.aclose()
