"""The order of jobs: turns of servers, shares of slots, limits and retries."""

from collections import Counter

import pytest

from dialler_async.fleet import Account, Server
from dialler_async.fleet.messages import Slice
from dialler_async.fleet.schedule import MAX_ATTEMPTS, Job, Schedule


def accounts(server: str, number: int) -> list[Account]:
    return [
        Account(name=f"{server} {id}", server=server, clients_id=id, token=lambda: "t") for id in range(1, number + 1)
    ]


def schedule(*servers: Server, each: int) -> Schedule:
    return Schedule(servers, [account for server in servers for account in accounts(server.name, each)])


def server(name: str, limit: int | None = None) -> Server:
    return Server(name=name, url="https://acd.example.com", max_concurrency=limit)


def send_all(schedule: Schedule, slots: int) -> list[Job]:
    jobs = []
    while (job := schedule.next(slots)) is not None:
        jobs.append(job)
    return jobs


def slices(*sizes: int) -> list[Slice]:
    return [Slice(campaigns=size, packed="") for size in sizes]


def test_servers_take_turns_in_sending_jobs() -> None:
    names = [job.account.name for job in send_all(schedule(server("a"), server("b"), each=3), 100)]
    assert names == ["a 1", "b 1", "a 2", "b 2", "a 3", "b 3"]


def test_schedule_sends_half_as_many_jobs_as_slots_in_advance() -> None:
    assert len(send_all(schedule(server("a"), each=100), 8)) == 12


def test_one_job_is_sent_before_there_is_a_worker() -> None:
    assert len(send_all(schedule(server("a"), each=100), 0)) == 1


@pytest.mark.parametrize("others", [1, 2, 5])
def test_server_that_never_responds_does_not_take_all_slots(others: int) -> None:
    servers = [server("slow"), *(server(f"fast {number}") for number in range(others))]
    jobs = schedule(*servers, each=50)
    finished: Counter[str] = Counter()
    in_flight = send_all(jobs, 8)
    while fast := [job for job in in_flight if job.account.server != "slow"]:
        for job in fast:
            in_flight.remove(job)
            jobs.finished(job)
            finished[job.account.server] += 1
        in_flight += send_all(jobs, 8)
        # Workers take jobs in the order in which they are sent, so more jobs of this server would block all slots.
        if len(finished) < others or min(finished.values()) < 50:
            assert sum(job.account.server == "slow" for job in in_flight) < 8
    assert finished == {f"fast {number}": 50 for number in range(others)}


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 8, 16, 100])
def test_calls_of_all_jobs_stay_within_max_concurrency(limit: int) -> None:
    jobs = send_all(schedule(server("a", limit), each=200), 1000)
    calls = sum(job.concurrency or 0 for job in jobs)
    assert limit * 2 / 3 < calls <= limit


def test_job_adapts_its_concurrency_without_a_limit() -> None:
    assert {job.concurrency for job in send_all(schedule(server("a"), each=3), 10)} == {None}


def test_slices_of_an_account_are_sent_before_other_accounts() -> None:
    jobs = schedule(server("a"), each=3)
    first = jobs.next(1)
    assert first is not None
    jobs.finished(first, slices(20, 10))
    order = []
    while (job := jobs.next(1)) is not None:
        order.append((job.account.name, job.slice and job.slice.campaigns))
        jobs.finished(job)
    assert order == [("a 1", 20), ("a 1", 10), ("a 2", None), ("a 3", None)]


def test_failed_job_is_retried_after_the_others_up_to_max_attempts() -> None:
    jobs = schedule(server("a"), each=2)
    order, retried = [], []
    while (job := jobs.next(1)) is not None:
        order.append(job.account.name)
        if job.account.name == "a 1":
            retried.append(jobs.failed(job))
        else:
            jobs.finished(job)
    assert order == ["a 1", "a 2", "a 1", "a 1"]
    assert retried == [True, True, False]
    assert MAX_ATTEMPTS == 3
    assert jobs.in_flight == 0
