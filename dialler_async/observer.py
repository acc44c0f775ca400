"""How a caller watches calls, for traces and metrics of whatever kind: a client with an `Observer` tells it of each.

    class Slow(Observer):
        def call_ended(self, call, seconds, error):
            if seconds > 1:
                print(call.request, f"{seconds:.1f} s", call.attempts, error)

    DiallerClient(…, observer=Slow())

A call is one of the API's: `campaigns.delete_by_name` makes three of them. Nothing that an observer is told, save the
errors, holds a name, an ID or a secret. `dialler_async.contrib.opentelemetry` is an observer.
"""

import logging
from typing import Any, final

import attrs

from .errors import DiallerError, SentRequest

_log = logging.getLogger("dialler_async")


@final
@attrs.define(eq=False)
class ObservedCall:
    """A call that is watched: the same object from its start to its end.

    Attributes:
        request: method and path template.
        base_url: the client's.
        attempts: how many times it was sent so far.
        status: HTTP status of the latest reply; None where there was none.
        note: for the observer to keep something of its own here, such as a span.
    """

    request: SentRequest
    base_url: str
    attempts: int = 0
    status: int | None = None
    note: Any = None


class Observer:
    """Override what you want to know. The methods do nothing by themselves, and must not block.

    They are called in the task that makes the call. One that raises is logged, and harms nothing.
    """

    def call_started(self, call: ObservedCall) -> None:
        """A call begins; nothing was sent yet.

        Args:
            call: which one.
        """

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """An attempt got through the gate, and is sent now. `call.attempts` counts it.

        Args:
            call: which one.
            waited: seconds at the gate, pauses after a 429 and `max_rate` included.
        """

    def attempt_ended(self, call: ObservedCall) -> None:
        """An attempt is off the wire: its reply was read (`call.status`), or there is none, or it was cancelled.

        Args:
            call: which one.
        """

    def call_retried(self, call: ObservedCall, error: DiallerError, wait: float) -> None:
        """A call will be sent again.

        Args:
            call: which one.
            error: how the latest attempt failed.
            wait: seconds until it goes to the gate again.
        """

    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """A call has ended.

        Args:
            call: which one.
            seconds: what it took, with all that was waited for.
            error: what the caller gets, such as a DiallerError or asyncio.CancelledError; None if an answer.
        """
