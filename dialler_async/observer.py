"""Observe the calls of a client, for traces, metrics and support requests.

    class SlowCalls(Observer):
        def call_ended(self, call, seconds, error):
            if seconds > 1:
                print(call.request, f"{seconds:.1f} s", call.attempts, error)

    DiallerClient(…, observer=SlowCalls())

A call is one request to the API with its retries: `campaigns.delete_by_name` makes three calls. An observer gets no
names, IDs or secrets, except in errors. `dialler_async.contrib.opentelemetry` has an observer for OpenTelemetry.
"""

from collections.abc import Mapping
from typing import Any, final

import attrs

from ._public import public
from .errors import DiallerError, ResponseInfo, SentRequest

__all__ = [
    "ObservedCall",
    "Observer",
]


@public
@final
@attrs.define(eq=False)
class ObservedCall:
    """A call. All methods of the observer get the same object for the same call.

    Attributes:
        request: method and path template.
        base_url: base URL of the client.
        attempts: number of attempts so far.
        status: HTTP status of the latest attempt; None without a response.
        note: a value that the observer may set, such as a span.
    """

    request: SentRequest
    base_url: str
    attempts: int = 0
    status: int | None = None
    note: Any = None


@public
class Observer:
    """Base class of observers. Override the methods that you need. Methods must not block.

    The client calls them in the task and the context of the call. If a method raises an exception, the client logs it
    and continues.
    """

    def call_started(self, call: ObservedCall) -> None:
        """Handle the start of a call. Nothing was sent yet.

        Args:
            call: the call.
        """

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """Handle the start of an attempt. `call.attempts` already includes it.

        Args:
            call: the call.
            waited: seconds that the attempt waited in the client: for a slot, for `max_rate`, and for a pause after
                a 429.
        """

    def attempt_headers(self, call: ObservedCall) -> Mapping[str, str]:
        """Return headers to send with the attempt. `Authorization` can't be replaced.

        Args:
            call: the call.
        """
        return {}

    def response_received(self, call: ObservedCall, response: ResponseInfo) -> None:
        """Handle a response, of any status.

        Args:
            call: the call.
            response: status, headers without secrets, request ID and time.
        """

    def attempt_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """Handle the end of an attempt. If there is a response, `call.status` has its status.

        Args:
            call: the call.
            seconds: duration of the attempt, without waits in the client.
            error: the error of an attempt without a response, such as a NoReplyError or asyncio.CancelledError; None
                if there is a response.
        """

    def call_retried(self, call: ObservedCall, error: DiallerError, delay: float) -> None:
        """Handle a failed attempt before the call is retried.

        Args:
            call: the call.
            error: the error of the latest attempt.
            delay: seconds until the next attempt enters the client's queue.
        """

    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """Handle the end of a call.

        Args:
            call: the call.
            seconds: duration of the call, with all retries and waits.
            error: the error that the call raises, such as a DiallerError or asyncio.CancelledError; None if the call
                returns a value.
        """
