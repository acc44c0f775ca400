"""Whether a server answers. The accounts of a dead server are not tried one by one.

A client waits for a server that is away, for up to 75 s with the nightly policy. With hundreds of accounts on one
server, these waits would add up to hours.
"""

import asyncio
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, final

from .._http.clock import CLOCK
from ..errors import NoReplyError
from ..observer import ObservedCall, Observer

GIVE_UP_SECONDS: Final = 45.0
"""Time without any response after which a server is given up. It is longer than a restart of a server."""


@final
class Reachability(Observer):
    """An observer of all clients of a server. It also reports to OpenTelemetry, where a provider is set up."""

    def __init__(self) -> None:
        self._telemetry = _telemetry()
        self._failing_since: float | None = None
        self._error = ""
        self._failed = asyncio.Event()

    async def given_up(self) -> str:
        """Wait until no response came for too long, and return the latest error."""
        while True:
            await self._failed.wait()
            since = self._failing_since
            left = GIVE_UP_SECONDS if since is None else since + GIVE_UP_SECONDS - CLOCK.monotonic()
            if left <= 0:
                return f"the server did not respond for {GIVE_UP_SECONDS:.0f} s: {self._error}"
            await CLOCK.sleep(left)

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """Pass the start of an attempt on."""
        self._telemetry.attempt_started(call, waited)

    def attempt_headers(self, call: ObservedCall) -> Mapping[str, str]:
        """Return the headers of OpenTelemetry."""
        return self._telemetry.attempt_headers(call)

    def attempt_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """Record whether the server responded, whatever it said."""
        if error is None:
            self._failing_since = None
            self._failed.clear()
        elif isinstance(error, NoReplyError):
            self._error = str(error)
            if self._failing_since is None:
                self._failing_since = CLOCK.monotonic()
                self._failed.set()
        self._telemetry.attempt_ended(call, seconds, error)


def _telemetry() -> Observer:
    """Return the observer of OpenTelemetry if a program such as `opentelemetry-instrument` has set up a provider."""
    if find_spec("opentelemetry") is None:
        return Observer()
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

    if isinstance(get_tracer_provider(), ProxyTracerProvider):
        return Observer()
    from ..contrib.opentelemetry import OpenTelemetryObserver

    return OpenTelemetryObserver()
