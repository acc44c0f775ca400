"""Start and end campaigns according to a queue, which delivers each job at least once."""

import asyncio
from dataclasses import dataclass, field

from dialler_async import (
    BadRequestError,
    ConflictError,
    DiallerClient,
    DiallerError,
    NoReplyError,
    NotFoundError,
    RateLimitedError,
    ServerError,
)


@dataclass(frozen=True)
class Job:
    action: str
    name: str
    template: str = "Template"
    deliveries: int = 1


@dataclass
class Results:
    succeeded: list[Job] = field(default_factory=list[Job])
    rejected: list[tuple[Job, DiallerError]] = field(default_factory=list[tuple[Job, DiallerError]])


MAX_DELIVERIES = 20


async def run_job(job: Job, dialler: DiallerClient) -> None:
    if job.action == "start":
        await dialler.campaigns.clone(job.template, job.name, exist_ok=True)
        return
    try:
        campaign = await dialler.campaigns.get_by_name(job.name)
    except NotFoundError:
        return
    await dialler.campaigns.delete(campaign, missing_ok=True)


async def work(queue: asyncio.Queue[Job], dialler: DiallerClient, results: Results) -> None:
    while True:
        job = await queue.get()
        try:
            await run_job(job, dialler)
        except (BadRequestError, ConflictError, NotFoundError) as error:
            results.rejected.append((job, error))
        except (NoReplyError, ServerError, RateLimitedError) as error:
            # An OutcomeUnknownError is a NoReplyError. Both actions can run twice, so the job is delivered again.
            if job.deliveries == MAX_DELIVERIES:
                results.rejected.append((job, error))
            else:
                queue.put_nowait(Job(job.action, job.name, job.template, job.deliveries + 1))
        else:
            results.succeeded.append(job)
        finally:
            queue.task_done()


async def run(jobs: list[Job], *, workers: int = 4) -> Results:
    queue: asyncio.Queue[Job] = asyncio.Queue()
    results = Results()
    for job in jobs:
        queue.put_nowait(job)
    async with DiallerClient.from_env() as dialler, asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(queue, dialler, results)) for _ in range(workers)]
        await queue.join()
        for task in tasks:
            task.cancel()
    return results
