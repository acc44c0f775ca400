"""What it costs to be watched, and not to be: `python -m benchmarks.observer`.

Measured is the client's own work for `campaigns.get`: the exchange with the server is played, since 200 µs of sockets
would hide the difference. "off" checks at four places whether there is an observer; these checks are measured
by themselves as well. All variants in turns, so that what else runs on the machine hits them alike.
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
from dialler_async._http.exchange import Exchange
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


async def played(*call: Any) -> Any:
    """Return a response without a server."""
    return Response(200, HEADERS, BODY)


class Responses(Observer):
    """Wants each response, which is redacted for it."""

    def response_received(self, call: ObservedCall, response: ResponseInfo) -> None:
        pass


async def seconds_a_call(observer: Observer | None, calls: int) -> float:
    """Of the client's own work."""
    async with DiallerClient("http://127.0.0.1:1/rest/v1.0/1", TOKEN, observer=observer) as dialler:
        begun = time.perf_counter()
        for _ in range(calls):
            await dialler.campaigns.get(5)
        return (time.perf_counter() - begun) / calls


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--calls", type=int, default=1000)
    options = parser.parse_args()
    variants = {
        "off": None,
        "an observer that does nothing": Observer(),
        "an observer of the responses": Responses(),
        "OpenTelemetry, its API without an SDK": OpenTelemetryObserver(),
        "OpenTelemetry, spans and metrics": OpenTelemetryObserver(
            TracerProvider(), MeterProvider([InMemoryMetricReader()])
        ),
    }
    took: dict[str, list[float]] = {name: [] for name in variants}
    with patch.object(Exchange, "attempt", played):
        for _ in range(options.rounds):
            for name, observer in variants.items():
                took[name].append(asyncio.run(seconds_a_call(observer, options.calls)) * 1e6)
    for name, microseconds in took.items():
        middle, least, most = statistics.median(microseconds), min(microseconds), max(microseconds)
        print(f"{name:38} {middle:7.1f} µs a call ({least:.1f} to {most:.1f})")
    looks = timeit.timeit("call.a is None; call.a is None; call.a is None; call.a is None", _CALL, number=1_000_000)
    empty = timeit.timeit("pass", _CALL, number=1_000_000)
    print(f"{'of that: four looks':38} {looks - empty:7.3f} µs a call")


_CALL = "import attrs; call = attrs.make_class('Call', {'a': attrs.field(default=None)}, slots=True)()"

if __name__ == "__main__":
    main()
