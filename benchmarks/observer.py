"""Measure the cost of an observer, and of having none: `python -m benchmarks.observer`.

`campaigns.get` is measured without network I/O, because 200 µs of sockets would hide the difference. Without an
observer, a call checks four times whether there is one. These checks are also measured alone. The variants run in
turns, so that other load on the machine affects all variants equally.
"""

import argparse
import asyncio
import statistics
import time
import timeit
from typing import Any
from unittest.mock import patch

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from dialler_async import DiallerClient
from dialler_async._http.attempt import Sender
from dialler_async._http.response import Response
from dialler_async.contrib.opentelemetry import OpenTelemetryObserver
from dialler_async.errors import ResponseInfo
from dialler_async.observer import ObservedCall, Observer

HEADERS = {
    "Server": "nginx",
    "Date": "Wed, 25 Nov 2026 12:00:00 GMT",
    "Content-Type": "application/json",
    "Content-Length": "66",
    "Connection": "keep-alive",
    "X-Request-ID": "0f8fad5b-d9cb-469f-a165-70867728950e",
}
TOKEN = "a-token-of-40-characters-0123456789abcde"
BODY = b'{"records":[{"ID":5,"Name":"A campaign"}],"count":1,"status":200}'


async def respond(*_: Any) -> Any:
    """Return a response without a server."""
    return Response(200, HEADERS, BODY)


class ResponseObserver(Observer):
    """Implements `response_received`, so that the client redacts each response for it."""

    def response_received(self, call: ObservedCall, response: ResponseInfo) -> None:
        pass


async def seconds_per_call(observer: Observer | None, calls: int) -> float:
    """Return the seconds of a call without network I/O."""
    async with DiallerClient("http://127.0.0.1:1/rest/v1.0/1", TOKEN, observer=observer) as dialler:
        begin = time.perf_counter()
        for _ in range(calls):
            await dialler.campaigns.get(5)
        return (time.perf_counter() - begin) / calls


def main() -> None:
    """Measure and print the times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--calls", type=int, default=1000)
    options = parser.parse_args()
    variants = {
        "no observer": None,
        "an observer that does nothing": Observer(),
        "an observer of the responses": ResponseObserver(),
        "OpenTelemetry, its API without an SDK": OpenTelemetryObserver(),
        "OpenTelemetry, spans and metrics": OpenTelemetryObserver(
            TracerProvider(), MeterProvider([InMemoryMetricReader()])
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    with patch.object(Sender, "send", respond):
        for _ in range(options.rounds):
            for name, observer in variants.items():
                times[name].append(asyncio.run(seconds_per_call(observer, options.calls)) * 1e6)
    for name, microseconds in times.items():
        median, least, most = statistics.median(microseconds), min(microseconds), max(microseconds)
        print(f"{name:38} {median:7.1f} µs per call ({least:.1f} to {most:.1f})")
    checks = timeit.timeit("call.a is None; call.a is None; call.a is None; call.a is None", _CALL, number=1_000_000)
    empty = timeit.timeit("pass", _CALL, number=1_000_000)
    print(f"{'of that: four checks':38} {checks - empty:7.3f} µs per call")


_CALL = "import attrs; call = attrs.make_class('Call', {'a': attrs.field(default=None)}, slots=True)()"

if __name__ == "__main__":
    main()
