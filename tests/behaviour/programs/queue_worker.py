"""Start and end campaigns from a queue that delivers each job at least once."""

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
class Done:
    succeeded: list[Job] = field(default_factory=list[Job])
    rejected: list[tuple[Job, DiallerError]] = field(default_factory=list[tuple[Job, DiallerError]])


MAX_DELIVERIES = 20


async def carry_out(job: Job, dialler: DiallerClient) -> None:
    if job.action == "start":
        await dialler.campaigns.clone(job.template, job.name, exist_ok=True)
        return
    try:
        campaign = await dialler.campaigns.get_by_name(job.name)
    except NotFoundError:
        return
    await dialler.campaigns.delete(campaign, missing_ok=True)


async def work(queue: asyncio.Queue[Job], dialler: DiallerClient, done: Done) -> None:
    while True:
        job = await queue.get()
        try:
            await carry_out(job, dialler)
        except (BadRequestError, ConflictError, NotFoundError) as error:
            done.rejected.append((job, error))
        except (NoReplyError, ServerError, RateLimitedError) as error:
            # An OutcomeUnknownError is a NoReplyError. Both actions can run twice, so the job is delivered again.
            if job.deliveries == MAX_DELIVERIES:
                done.rejected.append((job, error))
            else:
                queue.put_nowait(Job(job.action, job.name, job.template, job.deliveries + 1))
        else:
            done.succeeded.append(job)
        finally:
            queue.task_done()


async def run(jobs: list[Job], *, workers: int = 4) -> Done:
    queue: asyncio.Queue[Job] = asyncio.Queue()
    done = Done()
    for job in jobs:
        queue.put_nowait(job)
    async with DiallerClient.from_env() as dialler, asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(queue, dialler, done)) for _ in range(workers)]
        await queue.join()
        for task in tasks:
            task.cancel()
    return done
