"""A worker: it takes jobs from the broker until it is stopped, and finishes the jobs it has taken."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from taskiq.acks import AcknowledgeType
from taskiq.receiver import Receiver

from dialler_async.audit import AuditSettings, available_rules

from .clients import Clients
from .manifest import Fleet
from .redis_broker import RedisBroker
from .tasks import JobRunner


async def run_worker(
    fleet: Fleet,
    broker: RedisBroker,
    *,
    stop: asyncio.Event,
    settings: AuditSettings | None = None,
    directory: Path | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the jobs of all audits that use the broker.

    Args:
        fleet: The servers and accounts, with the tokens of this worker.
        broker: Where the jobs are. It is started and shut down here. Its slots are how many jobs run at once.
        stop: Once it is set, no further job is taken, and running jobs are finished.
        settings: The audit settings of this worker; all rules with their defaults, if None. Jobs of an audit with other
            settings fail with a message that says so.
        directory: Where modules with the user's own rules are looked for first.
        on_ready: Called when the worker can take jobs.

    Raises:
        ConfigurationError: The settings are invalid, or a rule can't be loaded.
        BrokerError: The broker can't be reached at the start. Later, the worker waits for it.
    """
    settings = settings or AuditSettings()
    rules = settings.choose(available_rules(settings.rules, directory))
    broker.is_worker_process = True
    broker.stop = stop
    clients = Clients(fleet, broker.redis)
    runner = JobRunner(clients, settings, rules)
    runner.register(broker)
    try:
        await broker.startup()
        on_ready()
        receiver = Receiver(
            broker, max_async_tasks=broker.own_slots, run_startup=False, ack_type=AcknowledgeType.WHEN_SAVED
        )
        await receiver.listen(stop)
    finally:
        await runner.cancel_all()
        await broker.shutdown()
        await clients.aclose()
