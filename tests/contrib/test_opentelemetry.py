"""What OpenTelemetry is told, by the SDK's own exporters in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dialler_async import DeadlineError, DiallerClient, NotFoundError, RetryPolicy, ServerError, Timeouts
from dialler_async.contrib.opentelemetry import OpenTelemetryObserver
from dialler_async.sandbox import Sandbox
from dialler_async.testing import Html, Reset, StallBeforeHeaders, Status, instant_waits

if TYPE_CHECKING:
    from tests.conftest import HeldRequest


class Telemetry:
    """What was told so far."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.observer = OpenTelemetryObserver(self.tracers, self.meters)

    @property
    def span(self) -> ReadableSpan:
        """The only one."""
        [span] = self.exporter.get_finished_spans()
        return span

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        [scope] = data.resource_metrics[0].scope_metrics
        return [point for metric in scope.metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def dialler(sandbox: Sandbox, telemetry: Telemetry) -> AsyncIterator[DiallerClient]:
    retry = RetryPolicy(attempts=3, base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=retry, observer=telemetry.observer) as dialler:
        yield dialler


@pytest.fixture
def id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.campaigns))


def where(sandbox: Sandbox, template: str = "/dialler/campaigns/{DiallerCampaignsID}") -> dict[str, Any]:
    return {
        "http.request.method": "GET",
        "url.template": template,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.base_url.split(":")[2].partition("/")[0]),
    }


async def test_a_span_for_a_call(dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int) -> None:
    await dialler.campaigns.get(id)
    span = telemetry.span
    assert span.name == "GET /dialler/campaigns/{DiallerCampaignsID}"
    assert span.kind is SpanKind.CLIENT
    assert span.attributes == {**where(sandbox), "http.response.status_code": 200}
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "dialler_async"


async def test_an_event_for_each_repeat(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Reset(), Status(503, retry_after=7))
    with instant_waits():
        await dialler.campaigns.get(id)
    span = telemetry.span
    assert span.attributes == {**where(sandbox), "http.response.status_code": 200, "http.request.resend_count": 2}
    assert span.status.status_code is StatusCode.UNSET
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        (
            "repeat",
            {
                "http.request.resend_count": 1,
                "error.type": "dialler_async.errors.NoReplyError",
                "dialler_async.wait": 0.0,
            },
        ),
        ("repeat", {"http.request.resend_count": 2, "error.type": "503", "dialler_async.wait": 7.0}),
    ]


async def test_an_error_by_its_status(dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox) -> None:
    with pytest.raises(NotFoundError):
        await dialler.campaigns.get(404404)
    span = telemetry.span
    assert span.attributes == {**where(sandbox), "http.response.status_code": 404, "error.type": "404"}
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()


async def test_an_error_without_a_reply_by_its_class(sandbox: Sandbox, telemetry: Telemetry, id: int) -> None:
    sandbox.faults.next(StallBeforeHeaders())
    timeouts = Timeouts(deadline=0.05)
    async with DiallerClient(
        sandbox.base_url, sandbox.token, timeouts=timeouts, observer=telemetry.observer
    ) as dialler:
        with pytest.raises(DeadlineError):
            await dialler.campaigns.get(id)
    assert telemetry.span.attributes == {**where(sandbox), "error.type": "dialler_async.errors.DeadlineError"}


async def test_a_cancelled_call_ends_its_span_and_is_counted_off(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    asking = asyncio.create_task(dialler.campaigns.get(id))
    await held.arrived.wait()
    [active] = telemetry.points("http.client.active_requests")
    assert (active.value, dict(active.attributes)) == (1, where(sandbox))
    asking.cancel()
    await asyncio.wait([asking])
    assert telemetry.span.attributes == {**where(sandbox), "error.type": "asyncio.exceptions.CancelledError"}
    [active] = telemetry.points("http.client.active_requests")
    assert active.value == 0


async def test_the_durations(dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int) -> None:
    sandbox.faults.next(*[Status(500)] * 3, match="get")
    with pytest.raises(ServerError):
        await dialler.campaigns.get(id)
    for _ in range(4):
        await dialler.campaigns.list()
    failed, listed = telemetry.points("http.client.request.duration")
    assert dict(failed.attributes) == {**where(sandbox), "http.response.status_code": 500, "error.type": "500"}
    assert failed.count == 1
    assert dict(listed.attributes) == {**where(sandbox, "/dialler/campaigns"), "http.response.status_code": 200}
    assert listed.count == 4
    assert listed.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert 0 < listed.sum < 60
    at_gate = telemetry.points("dialler_async.gate.duration")
    assert [(dict(point.attributes), point.count) for point in at_gate] == [
        (where(sandbox), 3),
        (where(sandbox, "/dialler/campaigns"), 4),
    ]


async def test_a_span_is_below_the_one_that_is_current(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    with telemetry.tracers.get_tracer("app").start_as_current_span("handler") as handler:
        await dialler.result_codes.list(id, max_age=60)
    span = telemetry.exporter.get_finished_spans()[0]
    assert span.parent == handler.get_span_context()


async def test_nothing_tells_names_ids_or_secrets(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox
) -> None:
    name = "s3cret name"
    sandbox.load({"ID": 987654, "Name": name})
    sandbox.faults.next(Html(), Status(400), match="find")
    for _ in range(2):
        await asyncio.gather(dialler.campaigns.find(name), return_exceptions=True)
    await dialler.campaigns.clone(name, f"{name} 2", user_data="s3cret data")
    await dialler.campaigns.delete_by_name(name)
    await asyncio.gather(dialler.campaigns.get(987654), return_exceptions=True)
    told = "".join(span.to_json() for span in telemetry.exporter.get_finished_spans())
    metrics = telemetry.reader.get_metrics_data()
    assert metrics is not None
    told += metrics.to_json()
    assert len(telemetry.exporter.get_finished_spans()) == 7
    for secret in ("s3cret", "987654", sandbox.token, "/rest/v1.0", "name=", "html"):
        assert secret not in told


def test_ports_that_the_url_leaves_out() -> None:
    from dialler_async.contrib.opentelemetry import _common

    assert _common("GET", "/", "https://acd.example.com/rest/v1.0/1")["server.port"] == 443
    assert _common("GET", "/", "http://acd.example.com/rest/v1.0/1")["server.port"] == 80


def test_the_core_imports_none_of_the_extras() -> None:
    program = """
import sys, dialler_async
extras = {"aiolimiter", "cyclopts", "fastapi", "jinja2", "opentelemetry", "polars", "pytest", "rich", "starlette"}
assert not extras & set(sys.modules), extras & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
