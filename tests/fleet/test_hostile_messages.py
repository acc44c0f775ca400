"""Hostile messages in the broker are rejected and logged. Valid jobs and workers are not affected."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
import pickle
import random
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from dialler_async import ConfigurationError
from dialler_async.audit import AuditPart, AuditSettings
from dialler_async.fleet import audit_fleet
from dialler_async.fleet.messages import JobSpec, Result, Slice, settings_digest
from dialler_async.fleet.redis_broker import RedisBroker
from dialler_async.fleet.wire import (
    JOB_LIMIT,
    RESULT_LIMIT,
    UNPACKED_LIMIT,
    MessageSigner,
    RejectedMessageError,
    check_job,
    check_result,
    digest,
    job_name,
    sign_job,
    sign_result,
    unpack,
)
from dialler_async.models import Language
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.fleet.conftest import AuditOneByOne, FleetOn, RunningRedis, Workers

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)

KEY = "correct-horse-battery-staple-0123456789"
RUN = "0123456789abcdef0123456789abcdef"
JOB = f"{RUN}/7"


def valid_job(job: str = JOB) -> dict[str, Any]:
    spec = JobSpec(
        languages=(Language.ENGLISH, Language.GERMAN), now=NOW, settings=settings_digest(AuditSettings()), chunk=250
    )
    return {
        "task_id": job,
        "task_name": "dialler-fleet:survey",
        "labels": {},
        "labels_types": {},
        "args": [],
        "kwargs": {"account": "account 1", "spec": spec.to_json(), "concurrency": None},
    }


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    "",
    "x" * 5000,
    "\x1b[2J",
    "../../etc/passwd",
    "http://evil.example.com",
    [],
    {},
    [[]],
    {"rules": ["os:system"]},
]


def random_json(rng: random.Random, depth: int = 4) -> Any:
    kind = rng.randrange(4 if depth else 2)
    if kind == 2:
        return [random_json(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 3:
        keys = ["job", "task_id", "kwargs", "spec", "settings", "labels", "timeout", "x"]
        return {rng.choice(keys): random_json(rng, depth - 1) for _ in range(rng.randrange(5))}
    return rng.choice(VALUES)


def mutate(rng: random.Random, message: Any) -> Any:
    """Return a copy of the message with one value replaced, removed or added."""
    message = copy.deepcopy(message)
    positions: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in list(items):
            positions.append((value, key))
            walk(inner)

    walk(message)
    container, key = rng.choice(positions)
    match rng.randrange(3):
        case 0:
            container[key] = rng.choice(VALUES)
        case 1:
            del container[key]
        case _ if isinstance(container, dict):
            container[rng.choice(["url", "base_url", "token_env", "rules", "directory"])] = rng.choice(VALUES)
        case _:
            container.append(rng.choice(VALUES))
    return message


def hostile_message(rng: random.Random, message: Any) -> bytes:
    """Return random bytes or JSON, or a valid message with one change."""
    valid = json.dumps(message).encode()
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(300))
        case 1:
            return json.dumps(random_json(rng)).encode()
        case 2:
            return valid[: rng.randrange(len(valid))]
        case 3:
            return rng.choice([b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, pickle.dumps({"a": 1}), b"NaN", b""])
        case 4:
            position = rng.randrange(len(valid))
            return valid[:position] + rng.randbytes(1) + valid[position + 1 :]
        case _:
            return json.dumps(mutate(rng, message)).encode()


def test_random_messages_are_parsed_or_rejected_without_another_error() -> None:
    rng = random.Random(20261125)
    unsigned, signed = MessageSigner(None), MessageSigner(KEY)
    job, result = (
        valid_job(),
        Result(part=AuditPart(campaigns=3), remaining=(Slice(campaigns=1, packed="eJw="),)).to_json(),
    )
    sent = json.dumps(job).encode()
    accepted = rejected = 0
    for number in range(10_000):
        if number % 2:
            data = hostile_message(rng, job)
            with pytest.raises(RejectedMessageError):
                check_job(signed, JOB, {b"job": JOB.encode(), b"data": data})
            try:
                check_job(unsigned, JOB, {b"job": JOB.encode(), b"data": data})
                arguments = json.loads(data)["kwargs"]
                assert set(arguments) == {"account", "spec", "concurrency"}
                spec = JobSpec.from_json(arguments["spec"])
                # A worker compares this digest with its own.
                assert len(spec.settings) == 64
            except (RejectedMessageError, ConfigurationError):
                rejected += 1
            else:
                accepted += 1
        else:
            data = hostile_message(rng, result)
            fields = {b"job": JOB.encode(), b"result": data, b"of": digest(sent).encode()}
            with pytest.raises(RejectedMessageError):
                check_result(signed, JOB, digest(sent), fields)
            try:
                parsed = Result.from_wire(check_result(unsigned, JOB, digest(sent), fields))
                assert parsed.part is None or parsed.part.campaigns >= 0
            except RejectedMessageError:
                rejected += 1
            else:
                accepted += 1
    # Some mutations, such as another account or number, give a valid message.
    assert rejected > 8000
    assert accepted + rejected == 10_000


@pytest.mark.parametrize(
    "name", [b"", b"r", b"r/", b"/1", b"r/x", b"r/1\n", b"../r/1", b"r/1/2", b"x" * 33 + b"/1", "r/\u0661".encode()]
)
def test_malformed_job_name_is_rejected(name: bytes) -> None:
    with pytest.raises(RejectedMessageError):
        job_name({b"job": name})


def test_packed_records_that_are_too_large_or_truncated_are_rejected() -> None:
    too_large = packed(b"[" + b" " * (UNPACKED_LIMIT + 1) + b"]")
    assert len(too_large) < JOB_LIMIT
    for invalid in (too_large, packed(b"{}," * 3_000_000), packed(b"[]")[:-4], "eJw", "%", ""):
        with pytest.raises(RejectedMessageError):
            unpack(invalid)
    assert unpack(packed(b"[]")) == b"[]"


def test_packed_records_that_are_not_campaigns_are_rejected() -> None:
    for wrong in (b"5", b'["x"]', b"[" * 100_000, b"[[]]", b"null", b"\xff"):
        with pytest.raises(RejectedMessageError):
            Slice.unpack(packed(wrong))


def test_too_large_result_is_rejected() -> None:
    fields = {b"result": b" " * (RESULT_LIMIT + 1), b"of": digest(b"").encode()}
    with pytest.raises(RejectedMessageError, match="more than"):
        check_result(MessageSigner(None), JOB, digest(b""), fields)


class TestSignature:
    def test_signed_job_and_result_are_accepted(self) -> None:
        signer, data = MessageSigner(KEY), json.dumps(valid_job()).encode()
        assert check_job(signer, JOB, {b"data": data, b"mac": sign_job(signer, JOB, data).encode()}) == data
        result = json.dumps(Result(error="e").to_json()).encode()
        fields = {b"result": result, b"of": digest(data).encode()}
        fields[b"mac"] = sign_result(signer, JOB, digest(data), result).encode()
        assert check_result(signer, JOB, digest(data), fields).error == "e"

    def test_signature_of_another_key_or_message_is_rejected(self) -> None:
        signer, data = MessageSigner(KEY), json.dumps(valid_job()).encode()
        other_job = f"{RUN[::-1]}/7"
        wrong = [
            b"",
            b"\xff" * 64,
            sign_job(MessageSigner("another key"), JOB, data).encode(),
            sign_job(signer, other_job, data).encode(),
            sign_job(signer, JOB, data + b" ").encode(),
            sign_result(signer, JOB, digest(data), data).encode(),
        ]
        for signature in wrong:
            with pytest.raises(RejectedMessageError, match="sign"):
                check_job(signer, JOB, {b"data": data, b"mac": signature})

    def test_signed_result_of_another_run_or_job_is_rejected(self) -> None:
        signer, of = MessageSigner(KEY), digest(b"the job")
        result = json.dumps(Result(error="e").to_json()).encode()
        for job, job_digest in ((f"{RUN[::-1]}/7", of), (f"{RUN}/8", of), (JOB, digest(b"another job"))):
            fields = {
                b"result": result,
                b"of": of.encode(),
                b"mac": sign_result(signer, job, job_digest, result).encode(),
            }
            with pytest.raises(RejectedMessageError, match="signature is wrong"):
                check_result(signer, JOB, of, fields)

    def test_moving_bytes_between_parts_changes_the_signature(self) -> None:
        signer = MessageSigner(KEY)
        assert signer.sign("job", b"ab", b"c") != signer.sign("job", b"a", b"bc")

    def test_signing_key_is_not_in_repr_pickle_or_copy(self) -> None:
        signer = MessageSigner(KEY)
        assert KEY not in repr(signer)
        assert not hasattr(signer, "__dict__")
        for copy_signer in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="DIALLER_FLEET_KEY") as raised:
                copy_signer(signer)
            assert KEY not in str(raised.value)

    def test_empty_signing_key_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DIALLER_FLEET_KEY", " ")
        with pytest.raises(ConfigurationError, match="DIALLER_FLEET_KEY is empty"):
            RedisBroker("redis://localhost")


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY])
async def test_hostile_messages_do_not_affect_valid_jobs_and_workers(
    key: str | None,
    redis: RunningRedis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fleet_on: FleetOn,
    audit_one_by_one: AuditOneByOne,
    workers: Workers,
) -> None:
    if key is not None:
        monkeypatch.setenv("DIALLER_FLEET_KEY", key)
    rng = random.Random(7)
    jobs = "dialler-fleet:jobs" + MessageSigner(key).suffix
    sent = 0
    caplog.set_level(logging.WARNING)
    async with Sandbox(campaigns=10, accounts=3) as sandbox:
        fleet = fleet_on(sandbox)
        expected = await audit_one_by_one(sandbox)
        audit = asyncio.create_task(audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW, chunk=4))
        async with Redis.from_url(redis.url) as client:
            while not await client.xread({jobs: "0"}, block=5000):
                pass
            [[_, [(_, valid), *_]]] = _streams(await client.xread({jobs: "0"}))
            job = valid[b"job"].decode()
            run = job.partition("/")[0]
            pipe = client.pipeline(transaction=False)
            for _ in range(1000):
                # The name belongs to the valid job, to another job of this run, to another run, or to no job.
                name = rng.choice([job, f"{run}/{rng.randrange(9)}", f"{RUN}/1", "x", ""])
                data = hostile_message(rng, {**json.loads(valid[b"data"]), "kwargs": {"account": "nobody"}})
                pipe.xadd(jobs, {"job": name, "data": data, "mac": rng.choice([b"", b"00", valid.get(b"mac", b"")])})
                result = hostile_message(rng, {"part": 5, "remaining": [], "error": "no", "is_permanent": True})
                pipe.xadd(
                    f"dialler-fleet:results:{run}",
                    {"job": name, "result": result, "of": rng.choice([b"", digest(valid[b"data"])])},
                )
                sent += 2
            if key is not None:
                # A well-formed result of a job in flight. Only the signature shows that it is forged.
                forged = json.dumps(Result(error="forged", is_permanent=True).to_json()).encode()
                of = digest(valid[b"data"])
                for signature in ("", sign_result(MessageSigner("another key"), job, of, forged)):
                    entry = {"job": job, "result": forged, "of": of, "mac": signature}
                    pipe.xadd(f"dialler-fleet:results:{run}", entry)
            pipe.xadd(jobs, {"job": job, "data": b" " * (JOB_LIMIT + 1)})
            # A copy of a valid job, and an entry without known fields.
            pipe.xadd(jobs, valid)
            pipe.xadd(jobs, {"x": "y"})
            pipe.zadd("dialler-fleet:workers" + MessageSigner(key).suffix, {"not a worker": 9e12, b"\xff:x": 9e12})
            await pipe.execute()
        async with workers(fleet):
            report = await audit
            assert report.findings == expected
            # The broker still works.
            again = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
            assert again.findings == expected
    rejections = [record for record in caplog.records if record.message.startswith("rejected ")]
    assert len(rejections) >= sent
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.WARNING]
    assert KEY not in caplog.text


@pytest.mark.parametrize(("coordinator", "worker"), [(KEY, None), (None, KEY), (KEY, "another key")])
async def test_worker_with_another_key_than_the_audit_takes_none_of_its_jobs(
    coordinator: str | None,
    worker: str | None,
    redis: RunningRedis,
    monkeypatch: pytest.MonkeyPatch,
    fleet_on: FleetOn,
    workers: Workers,
) -> None:
    def set_key(key: str | None) -> None:
        monkeypatch.delenv("DIALLER_FLEET_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("DIALLER_FLEET_KEY", key)

    async with Sandbox(campaigns=3) as sandbox:
        fleet = fleet_on(sandbox)
        set_key(worker)
        async with workers(fleet):
            set_key(coordinator)
            broker = RedisBroker(redis.url)
            await broker.startup()
            assert await broker.slots() == 0
            await broker.shutdown()
            async with workers(fleet):
                report = await audit_fleet(fleet, broker=RedisBroker(redis.url), now=NOW)
    assert (report.campaigns, report.unfinished) == (3, False)


def _streams(response: Any) -> Any:
    return [[key, entries] for key, entries in response.items()] if isinstance(response, dict) else response
