"""A worker, which takes jobs from the broker until it is stopped, and then finishes its running jobs."""

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
        fleet: the servers and accounts, with the tokens of this worker.
        broker: the broker of the jobs, which this function starts and shuts down. Its slots limit the running jobs.
        stop: an event that stops the worker: no further jobs are taken, and running jobs are finished.
        settings: the audit settings of this worker; None means all rules with their defaults. Jobs of audits with other
            settings fail.
        directory: the directory from which this worker imports your own rules.
        on_ready: a function that is called when the worker is ready for jobs.

    Raises:
        ConfigurationError: the settings are invalid, or a rule can't be loaded.
        BrokerError: the broker can't be reached at the start. If the broker is lost later, the worker waits for it.
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
