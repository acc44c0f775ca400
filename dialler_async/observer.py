"""Watch the calls of a client, for traces, metrics and support requests.

    class SlowCalls(Observer):
        def call_ended(self, call, seconds, error):
            if seconds > 1:
                print(call.request, f"{seconds:.1f} s", call.attempts, error)

    DiallerClient(…, observer=SlowCalls())

A call is one request of the API with its retries: `campaigns.delete_by_name` makes three calls. An observer gets no
names, IDs or secrets, except in errors. `dialler_async.contrib.opentelemetry` has an observer for OpenTelemetry.
"""

from collections.abc import Mapping
from typing import Any, final

import attrs

from .errors import DiallerError, ResponseInfo, SentRequest


@final
@attrs.define(eq=False)
class ObservedCall:
    """A call: the same object from its start to its end.

    Attributes:
        request: method and path template.
        base_url: base URL of the client.
        attempts: number of attempts so far.
        status: HTTP status of the latest attempt; None if it has no response.
        note: free for the observer, for a span for example.
    """

    request: SentRequest
    base_url: str
    attempts: int = 0
    status: int | None = None
    note: Any = None


class Observer:
    """Override the methods that you need. They must not block.

    They are called in the task and the context of the call. An exception in a method is logged and has no effect.
    """

    def call_started(self, call: ObservedCall) -> None:
        """A call begins. Nothing was sent yet.

        Args:
            call: the call.
        """

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        """An attempt is sent now. `call.attempts` counts it.

        Args:
            call: the call.
            waited: seconds that the attempt waited for the limiter: for a slot, `max_rate`, and pauses after a 429.
        """

    def attempt_headers(self, call: ObservedCall) -> Mapping[str, str]:
        """Return headers to send with the attempt, after `attempt_started`. `Authorization` can't be replaced.

        Args:
            call: the call.
        """
        return {}

    def response_received(self, call: ObservedCall, response: ResponseInfo) -> None:
        """A response was read, successful or not.

        Args:
            call: the call.
            response: status, headers without secrets, request ID and time.
        """

    def attempt_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """An attempt has ended: its response was read (`call.status`), or there is none.

        Args:
            call: the call.
            seconds: the duration of the attempt, without waits in the client.
            error: why there is no response, such as a NoReplyError or asyncio.CancelledError; None if there is one.
        """

    def call_retried(self, call: ObservedCall, error: DiallerError, delay: float) -> None:
        """An attempt has failed, and the call will be retried.

        Args:
            call: the call.
            error: the error of the latest attempt.
            delay: seconds until the next attempt begins to wait for the limiter.
        """

    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        """A call has ended.

        Args:
            call: the call.
            seconds: the duration of the call, with all retries and waits.
            error: what the call raises, such as a DiallerError or asyncio.CancelledError; None if it returns a value.
        """
