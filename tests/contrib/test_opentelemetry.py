"""The OpenTelemetry spans and metrics, exported by the SDK into memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes.url_attributes import URL_TEMPLATE
from opentelemetry.semconv._incubating.metrics.http_metrics import HTTP_CLIENT_ACTIVE_REQUESTS
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, url_attributes
from opentelemetry.semconv.metrics.http_metrics import HTTP_CLIENT_REQUEST_DURATION
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, get_current_span

from dialler_async import DeadlineError, DiallerClient, NotFoundError, PoolConfig, RetryPolicy, ServerError, Timeouts
from dialler_async.contrib.opentelemetry import OpenTelemetryObserver
from dialler_async.sandbox import Sandbox
from dialler_async.testing import Html, Reset, StallBeforeHeaders, Status, instant_waits

if TYPE_CHECKING:
    from tests.conftest import HeldRequest


class Telemetry:
    """Records spans and metrics in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.observer = OpenTelemetryObserver(self.tracers, self.meters)

    @property
    def span(self) -> ReadableSpan:
        """The only span."""
        [span] = self.exporter.get_finished_spans()
        return span

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for scope in data.resource_metrics[0].scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


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


def expected_attributes(sandbox: Sandbox, template: str = "/dialler/campaigns/{DiallerCampaignsID}") -> dict[str, Any]:
    return {
        "http.request.method": "GET",
        "url.template": template,
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.base_url.split(":")[2].partition("/")[0]),
    }


def span_attributes(sandbox: Sandbox) -> dict[str, Any]:
    return {
        **expected_attributes(sandbox),
        "url.full": f"{sandbox.server}/rest/v1.0/REDACTED/dialler/campaigns/REDACTED",
    }


def traceparent(context: SpanContext | None) -> str:
    """Return the header that propagates a span's context, as W3C Trace Context defines it."""
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def by_template(points: list[Any]) -> dict[str, float]:
    """Return the sums of data points by their path template."""
    return {point.attributes["url.template"]: point.sum for point in points}


async def test_attempt_is_a_client_span(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    await dialler.campaigns.get(id)
    span = telemetry.span
    assert span.name == "GET /dialler/campaigns/{DiallerCampaignsID}"
    assert span.kind is SpanKind.CLIENT
    assert span.attributes == {**span_attributes(sandbox), "http.response.status_code": 200}
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "dialler_async"


async def test_each_retry_has_its_own_span_with_its_resend_count(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Reset(), Status(503, retry_after=7))
    with instant_waits(), telemetry.tracers.get_tracer("app").start_as_current_span("handler") as handler:
        await dialler.campaigns.get(id)
    lost, refused, worked = telemetry.exporter.get_finished_spans()[:3]
    assert lost.attributes == {**span_attributes(sandbox), "error.type": "dialler_async.NoReplyError"}
    assert refused.attributes == {
        **span_attributes(sandbox),
        "http.request.resend_count": 1,
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert worked.attributes == {
        **span_attributes(sandbox),
        "http.request.resend_count": 2,
        "http.response.status_code": 200,
    }
    assert [span.status.status_code for span in (lost, refused, worked)] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    # The spans are siblings: a retry is not a child of the attempt before it.
    assert [span.parent for span in (lost, refused, worked)] == [handler.get_span_context()] * 3


async def test_context_of_the_span_arrives_at_the_server(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Status(500))
    await dialler.campaigns.get(id)
    contexts = [span.get_span_context() for span in telemetry.exporter.get_finished_spans()]
    assert [received.headers["traceparent"] for received in sandbox.journal] == [
        traceparent(context) for context in contexts
    ]
    assert len(contexts) == 2


async def test_context_of_the_caller_is_restored_after_each_call(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Reset(), match="get")
    with telemetry.tracers.get_tracer("app").start_as_current_span("handler") as handler:
        await dialler.campaigns.get(id)
        assert get_current_span() is handler
        assert is_http_instrumentation_enabled()
        with pytest.raises(NotFoundError):
            await dialler.campaigns.get(404404)
        assert get_current_span() is handler


async def test_error_response_has_its_status_as_error_type(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox
) -> None:
    with pytest.raises(NotFoundError):
        await dialler.campaigns.get(404404)
    span = telemetry.span
    assert span.attributes == {**span_attributes(sandbox), "http.response.status_code": 404, "error.type": "404"}
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()


@pytest.mark.usefixtures("virtual_time")
async def test_attempt_without_a_response_has_the_class_as_error_type(
    sandbox: Sandbox, telemetry: Telemetry, id: int
) -> None:
    sandbox.faults.next(StallBeforeHeaders())
    timeouts = Timeouts(deadline=0.05)
    async with DiallerClient(
        sandbox.base_url, sandbox.token, timeouts=timeouts, observer=telemetry.observer
    ) as dialler:
        with pytest.raises(DeadlineError):
            await dialler.campaigns.get(id)
    assert telemetry.span.attributes == {**span_attributes(sandbox), "error.type": "dialler_async.DeadlineError"}


async def test_cancelled_call_ends_its_span_and_is_no_longer_active(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held)
    call_task = asyncio.create_task(dialler.campaigns.get(id))
    await held.arrived.wait()
    [active] = telemetry.points("http.client.active_requests")
    assert (active.value, dict(active.attributes)) == (1, expected_attributes(sandbox))
    call_task.cancel()
    await asyncio.wait([call_task])
    assert telemetry.span.attributes == {**span_attributes(sandbox), "error.type": "asyncio.exceptions.CancelledError"}
    [active] = telemetry.points("http.client.active_requests")
    assert active.value == 0


async def test_durations_are_recorded_for_each_attempt(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(*[Status(500)] * 3, match="get")
    with pytest.raises(ServerError):
        await dialler.campaigns.get(id)
    for _ in range(4):
        await dialler.campaigns.list()
    failed, listed = telemetry.points("http.client.request.duration")
    assert dict(failed.attributes) == {
        **expected_attributes(sandbox),
        "http.response.status_code": 500,
        "error.type": "500",
    }
    assert failed.count == 3
    assert dict(listed.attributes) == {
        **expected_attributes(sandbox, "/dialler/campaigns"),
        "http.response.status_code": 200,
    }
    assert listed.count == 4
    assert listed.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert 0 < listed.sum < 60
    wait_times = telemetry.points("dialler_async.client.request.wait_time")
    assert [(dict(point.attributes), point.count) for point in wait_times] == [
        (expected_attributes(sandbox), 3),
        (expected_attributes(sandbox, "/dialler/campaigns"), 4),
    ]


async def test_wait_for_the_limiter_is_not_in_the_duration(
    telemetry: Telemetry, sandbox: Sandbox, id: int, hold: type[HeldRequest]
) -> None:
    held = hold()
    sandbox.faults.next(held, match="list")
    pool = PoolConfig(limit=1)
    with instant_waits() as waits:
        async with DiallerClient(sandbox.base_url, sandbox.token, pool=pool, observer=telemetry.observer) as dialler:
            first = asyncio.create_task(dialler.campaigns.list())
            await held.arrived.wait()
            second = asyncio.create_task(dialler.campaigns.get(id))
            await asyncio.sleep(0)
            waits.append(60)
            held.release.set()
            await asyncio.gather(first, second)
    durations = by_template(telemetry.points("http.client.request.duration"))
    waited = by_template(telemetry.points("dialler_async.client.request.wait_time"))
    assert waited["/dialler/campaigns/{DiallerCampaignsID}"] > 59 > durations["/dialler/campaigns/{DiallerCampaignsID}"]
    assert durations["/dialler/campaigns"] > 59 > waited["/dialler/campaigns"]


async def test_span_of_a_shared_request_is_a_child_of_the_first_callers_span(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    with telemetry.tracers.get_tracer("app").start_as_current_span("handler") as handler:
        await dialler.result_codes.list(id, max_age=60)
    span = telemetry.exporter.get_finished_spans()[0]
    assert span.parent == handler.get_span_context()


class TestBesideOtherInstrumentation:
    """`opentelemetry-instrumentation-aiohttp-client` together with this observer."""

    @pytest.fixture(autouse=True)
    def _instrumented(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        instrumentor = AioHttpClientInstrumentor()
        instrumentor.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
        yield
        instrumentor.uninstrument()

    async def test_attempt_has_one_span_and_one_traceparent(
        self, dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
    ) -> None:
        sandbox.faults.next(Status(500))
        await dialler.campaigns.get(id)
        spans = telemetry.exporter.get_finished_spans()
        assert [span.instrumentation_scope and span.instrumentation_scope.name for span in spans] == [
            "dialler_async"
        ] * 2
        for span, received in zip(spans, sandbox.journal, strict=True):
            assert received.headers.getall("traceparent") == [traceparent(span.get_span_context())]

    async def test_duration_of_a_successful_call_is_recorded_once(
        self, dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
    ) -> None:
        await dialler.campaigns.get(id)
        [point] = telemetry.points("http.client.request.duration")
        assert point.count == 1

    async def test_other_requests_of_the_app_keep_their_spans(
        self, dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
    ) -> None:
        await dialler.campaigns.get(id)
        async with aiohttp.ClientSession() as session, session.get(f"{sandbox.base_url}/dialler/campaigns"):
            pass
        scopes = [span.instrumentation_scope for span in telemetry.exporter.get_finished_spans()]
        assert [scope and scope.name for scope in scopes] == [
            "dialler_async",
            "opentelemetry.instrumentation.aiohttp_client",
        ]

    async def test_observer_and_aiohttp_instrumentation_record_the_same_attributes(
        self, telemetry: Telemetry, sandbox: Sandbox, id: int
    ) -> None:
        async with DiallerClient(sandbox.base_url, sandbox.token) as without_observer:
            await without_observer.campaigns.get(id)
        async with DiallerClient(sandbox.base_url, sandbox.token, observer=telemetry.observer) as with_observer:
            await with_observer.campaigns.get(id)
        reference, span = telemetry.exporter.get_finished_spans()
        assert reference.kind is span.kind
        # This library redacts IDs and names in `url.full`.
        expected = {key: value for key, value in (reference.attributes or {}).items() if key != "url.full"}
        common = {key: value for key, value in (span.attributes or {}).items() if key in expected}
        assert common == expected


async def test_no_signal_contains_names_ids_or_secrets(
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
    exported = "".join(span.to_json() for span in telemetry.exporter.get_finished_spans())
    metrics = telemetry.reader.get_metrics_data()
    assert metrics is not None
    exported += metrics.to_json()
    assert len(telemetry.exporter.get_finished_spans()) == 8
    for secret in ("s3cret", "987654", sandbox.token, "/rest/v1.0/1", "name=", "html"):
        assert secret not in exported


def test_port_is_the_default_of_the_scheme_when_the_url_has_none() -> None:
    from dialler_async.contrib.opentelemetry import _common

    assert _common("GET", "/", "https://acd.example.com/rest/v1.0/1")["server.port"] == 443
    assert _common("GET", "/", "http://acd.example.com/rest/v1.0/1")["server.port"] == 80


def test_full_url_is_redacted() -> None:
    from dialler_async.contrib.opentelemetry import _redacted_url

    template = "/dialler/campaigns/campaign/{DiallerCampaignsID}/resultCodes"
    assert _redacted_url("https://acd.example.com/a/rest/v1.0/17", template) == (
        "https://acd.example.com/a/rest/v1.0/REDACTED/dialler/campaigns/campaign/REDACTED/resultCodes"
    )
    assert _redacted_url("http://10.0.0.5:8080", "/{path}") == "http://10.0.0.5:8080/REDACTED"


def test_core_imports_no_extra() -> None:
    program = """
import sys, dialler_async
extras = {"aiolimiter", "cyclopts", "fastapi", "jinja2", "opentelemetry", "polars", "pytest", "rich", "starlette"}
assert not extras & set(sys.modules), extras & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_span_and_metric_names_follow_the_conventions(
    dialler: DiallerClient, telemetry: Telemetry, sandbox: Sandbox, id: int
) -> None:
    sandbox.faults.next(Status(500), match="get")
    await dialler.campaigns.get(id)
    names = {name for span in telemetry.exporter.get_finished_spans() for name in span.attributes or {}}
    assert names == {
        http_attributes.HTTP_REQUEST_METHOD,
        http_attributes.HTTP_REQUEST_RESEND_COUNT,
        http_attributes.HTTP_RESPONSE_STATUS_CODE,
        error_attributes.ERROR_TYPE,
        server_attributes.SERVER_ADDRESS,
        server_attributes.SERVER_PORT,
        url_attributes.URL_FULL,
        url_attributes.URL_SCHEME,
        URL_TEMPLATE,
    }
    for name in (HTTP_CLIENT_REQUEST_DURATION, HTTP_CLIENT_ACTIVE_REQUESTS):
        assert {attribute for point in telemetry.points(name) for attribute in point.attributes} < names
