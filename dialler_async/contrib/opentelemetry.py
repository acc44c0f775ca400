"""OpenTelemetry: a span for each call, and metrics, by the semantic conventions for HTTP clients.

    DiallerClient(…, observer=OpenTelemetryObserver())

| what                           | kind             | of                                                       |
|--------------------------------|------------------|----------------------------------------------------------|
| `GET /dialler/campaigns`, …    | client span      | a call with all its repeats, each of which is an event   |
| `http.client.request.duration` | histogram, s     | a call, with all that was waited for                     |
| `http.client.active_requests`  | up-down counter  | attempts on the wire                                     |
| `dialler_async.gate.duration`  | histogram, s     | the wait for a place in the pool, of an attempt          |

The convention's `url.full` is left out, since names and IDs are in it; `url.template` tells the calls apart. So are
descriptions of errors, since the server's words are in them; `error.type` is a status or a class.
Needs the extra `otel`. Source: OpenTelemetry semantic conventions, "HTTP spans" and "HTTP metrics".
"""

from functools import lru_cache
from typing import Final, final
from urllib.parse import urlsplit

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
from opentelemetry.util.types import AttributeValue

from ..errors import DiallerError, StatusError
from ..observer import ObservedCall, Observer
from ..version import __version__

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds, as the convention advises."""
_PORTS: Final = {"http": 80, "https": 443}

_Attributes = dict[str, AttributeValue]


@final
class OpenTelemetryObserver(Observer):
    """Tells OpenTelemetry of every call of the client it is given to.

    A call of `result_codes.list(max_age=…)` that several share has a span of its own below that of the first asker.

    Args:
        tracer_provider: for the spans; the global one when not given.
        meter_provider: for the metrics; the global one when not given.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = get_tracer("dialler_async", __version__, tracer_provider, schema_url=_SCHEMA)
        meter = get_meter("dialler_async", __version__, meter_provider, schema_url=_SCHEMA)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._at_gate = meter.create_histogram(
            "dialler_async.gate.duration",
            "s",
            "Time that attempts waited for a place in the pool.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )

    def call_started(self, call: ObservedCall) -> None:
        """Begins the span."""
        call.note = self._tracer.start_span(str(call.request), kind=SpanKind.CLIENT, attributes=_attributes(call))

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """Records the time at the gate, and counts the request."""
        attributes = _attributes(call)
        self._at_gate.record(waited, attributes)
        self._active.add(1, attributes)

    def attempt_ended(self, call: ObservedCall) -> None:
        """Counts the request off."""
        self._active.add(-1, _attributes(call))

    def call_retried(self, call: ObservedCall, error: DiallerError, wait: float) -> None:
        """Adds the event."""
        span: Span = call.note
        span.add_event(
            "repeat",
            {"http.request.resend_count": call.attempts, "error.type": _kind(error), "dialler_async.wait": wait},
        )

    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """Ends the span, and records the duration."""
        outcome: _Attributes = {}
        if call.status is not None:
            outcome["http.response.status_code"] = call.status
        if error is not None:
            outcome["error.type"] = _kind(error)
        self._duration.record(seconds, _attributes(call) | outcome)
        span: Span = call.note
        span.set_attributes(outcome)
        if call.attempts > 1:
            span.set_attribute("http.request.resend_count", call.attempts - 1)
        if error is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _attributes(call: ObservedCall) -> _Attributes:
    return _common(call.request.method, call.request.path_template, call.base_url)


@lru_cache
def _common(method: str, template: str, base_url: str) -> _Attributes:
    """What all that is told of a call has in common; not to be changed."""
    url = urlsplit(base_url)
    return {
        "http.request.method": method,
        "url.template": template,
        "url.scheme": url.scheme,
        "server.address": url.hostname or "",
        "server.port": url.port or _PORTS[url.scheme],
    }


def _kind(error: BaseException) -> str:
    """The convention's `error.type`: the status where it is one that says no, else the class."""
    if isinstance(error, StatusError):
        return str(error.status)
    return f"{type(error).__module__}.{type(error).__qualname__}"
