"""The control endpoint: faults, a new token and the journal over HTTP, while the sandbox runs in another process.

| request                   | body                                                   | effect                    |
|---------------------------|--------------------------------------------------------|---------------------------|
| `POST /sandbox/faults`    | `{"faults": ["503"], "call": "clone", "after": 1}`     | `faults.next(…)`          |
| `POST /sandbox/faults`    | `{"faults": ["503", "reset"], "share": 0.1}`           | `faults.chance(…)`        |
| `DELETE /sandbox/faults`  |                                                        | `faults.clear()`          |
| `POST /sandbox/token`     |                                                        | the token is replaced     |
| `GET /sandbox/journal`    |                                                        | the requests that arrived |
| `DELETE /sandbox/journal` |                                                        | the journal is emptied    |

Requests need the key, so neither a page in a browser nor another user of the machine can do anything. No response
contains a token, not even the new one. The journal doesn't contain these requests.
"""

from collections.abc import Callable
from secrets import compare_digest
from typing import Any, Final

import msgspec
from attrs import field, frozen

from dialler_async.sandbox.fault_names import fault_of
from dialler_async.sandbox.fault_plan import FaultPlan
from dialler_async.sandbox.journal import Received
from dialler_async.sandbox.response import NO_SUCH_ENDPOINT, Response, error

PREFIX: Final = "/sandbox/"
_DONE: Final = Response(200, b'{"status":200}')


class _FaultOrder(msgspec.Struct, forbid_unknown_fields=True):
    faults: list[str]
    call: str | None = None
    after: int = 0
    share: float | None = None


@frozen
class Control:
    """The control endpoint of a sandbox.

    Attributes:
        key: bearer token that requests need. It stays the same when the sandbox's token is replaced.
        faults: the fault plan of the sandbox.
        journal: the journal of the sandbox.
        rotate_token: replaces the token, and makes the new one known to its users.
    """

    key: str = field(repr=False)
    faults: FaultPlan
    journal: list[Received] = field(repr=False)
    rotate_token: Callable[[], object]

    def respond(self, method: str, path: str, authorization: str, body: bytes) -> Response:
        """Carry out a request to a path that begins with `PREFIX`, and return the response."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(key.strip().encode(), self.key.encode()):
            return error(401, "The control endpoint needs the token that the sandbox had at its start")
        match (method, path.removeprefix(PREFIX)):
            case ("POST", "faults"):
                return self._plan_faults(body)
            case ("DELETE", "faults"):
                self.faults.clear()
            case ("POST", "token"):
                self.rotate_token()
            case ("GET", "journal"):
                return Response(200, msgspec.json.encode({"records": [_entry(one) for one in self.journal]}))
            case ("DELETE", "journal"):
                self.journal.clear()
            case _:
                return NO_SUCH_ENDPOINT
        return _DONE

    def _plan_faults(self, body: bytes) -> Response:
        try:
            order = msgspec.json.decode(body, type=_FaultOrder)
            faults = [fault_of(name) for name in order.faults]
            if order.share is None:
                self.faults.next(*faults, match=order.call, after=order.after)
            else:
                self.faults.chance(order.share, faults, match=order.call)
        except (ValueError, msgspec.DecodeError) as problem:
            return error(400, str(problem))
        return _DONE


def _entry(received: Received) -> dict[str, Any]:
    """Return a request of the journal as JSON can say it. `Received` has redacted the secrets in its headers."""
    return {
        "method": received.method,
        "target": received.target,
        "call": received.call,
        "headers": [[str(name), value] for name, value in received.headers.items()],
        "body": received.body.decode(errors="replace"),
        "authorised": received.authorised,
        "carried_out": received.carried_out,
        "status": received.status,
        "connection": received.connection,
        "nth_on_connection": received.nth_on_connection,
    }
