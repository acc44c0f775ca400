"""OpenTelemetry: a span for each attempt, and metrics, by the semantic conventions for HTTP clients.

    DiallerClient(…, observer=OpenTelemetryObserver())

| name                                     | kind            | measures                                        |
|------------------------------------------|-----------------|-------------------------------------------------|
| `GET /dialler/campaigns`, …              | client span     | an attempt; see `http.request.resend_count`     |
| `http.client.request.duration`           | histogram, s    | the duration of an attempt                      |
| `http.client.active_requests`            | up-down counter | attempts in flight                              |
| `dialler_async.client.request.wait_time` | histogram, s    | the time that an attempt waited in the client   |

A span is a child of the current span, and its context is sent to the server (`traceparent`). Other instrumentations of
HTTP clients are suppressed during an attempt, so that each attempt has only one span.

Signals contain no names and IDs. `url.full` has no query, and `REDACTED` in place of IDs. A span's status has no
description, because the server's message may contain names. `error.type` is an HTTP status or a class.

This module needs the extra `otel`. Source: OpenTelemetry semantic conventions, "HTTP spans" and "HTTP metrics".
"""

import re
from collections.abc import Mapping
from contextvars import Token
from functools import lru_cache
from typing import Final, NamedTuple, cast, final
from urllib.parse import urlsplit

from .._extras import needs_extra

try:
    # The key is private, because OpenTelemetry may move it. opentelemetry-instrumentation uses the same import.
    from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, Context, attach, detach, set_value
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.propagate import inject
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer, set_span_in_context
    from opentelemetry.util.types import AttributeValue
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ModuleNotFoundError(needs_extra(__name__, "otel"), name=_error.name) from None

from ..observer import ObservedCall, Observer
from ..version import __version__

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Buckets in seconds, as the conventions advise."""
_PORTS: Final = {"http": 80, "https": 443}
_FIRST_ERROR_STATUS: Final = 400

_Attributes = dict[str, AttributeValue]


class _Attempt(NamedTuple):
    """The span of an attempt, and the token that restores the previous context."""

    span: Span
    token: Token[Context]


@final
class OpenTelemetryObserver(Observer):
    """An observer that reports each attempt of a client to OpenTelemetry.

    If several callers share a request of `list(max_age=…)`, its spans are children of the first caller's span.

    Args:
        tracer_provider: provider of the spans; the global provider by default.
        meter_provider: provider of the metrics; the global provider by default.
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
        self._wait_time = meter.create_histogram(
            "dialler_async.client.request.wait_time",
            "s",
            "Time that requests waited for the client's limiter.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """Start a span, and make it the current span."""
        attributes = _attributes(call)
        self._wait_time.record(waited, attributes)
        self._active.add(1, attributes)
        attributes = attributes | {"url.full": _redacted_url(call.base_url, call.request.path_template)}
        if call.attempts > 1:
            attributes["http.request.resend_count"] = call.attempts - 1
        span = self._tracer.start_span(str(call.request), kind=SpanKind.CLIENT, attributes=attributes)
        context = set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, set_span_in_context(span))
        call.note = _Attempt(span, attach(context))

    def attempt_headers(self, call: ObservedCall) -> Mapping[str, str]:
        """Return the headers that propagate the span's context."""
        headers: dict[str, str] = {}
        inject(headers)
        return headers

    def attempt_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """End the span, and record the duration."""
        span, token = cast(_Attempt, call.note)
        outcome: _Attributes = {}
        if call.status is not None:
            outcome["http.response.status_code"] = call.status
        if error is not None:
            outcome["error.type"] = f"{type(error).__module__}.{type(error).__qualname__}"
        elif call.status is not None and call.status >= _FIRST_ERROR_STATUS:
            outcome["error.type"] = str(call.status)
        attributes = _attributes(call)
        self._active.add(-1, attributes)
        # Recorded while the span is current, so that an exemplar can refer to it.
        self._duration.record(seconds, attributes | outcome)
        detach(token)
        span.set_attributes(outcome)
        if "error.type" in outcome:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _attributes(call: ObservedCall) -> _Attributes:
    return _common(call.request.method, call.request.path_template, call.base_url)


@lru_cache
def _common(method: str, template: str, base_url: str) -> _Attributes:
    """Return the attributes of all signals of a call. The dict is cached and must not be changed."""
    url = urlsplit(base_url)
    return {
        "http.request.method": method,
        "url.template": template,
        "url.scheme": url.scheme,
        "server.address": url.hostname or "",
        "server.port": url.port or _PORTS[url.scheme],
    }


@lru_cache
def _redacted_url(base_url: str, template: str) -> str:
    """Return the URL of a request without its query, and without ClientsID and other IDs."""
    return re.sub(r"/\d+$", "/REDACTED", base_url) + re.sub(r"\{\w+\}", "REDACTED", template)
