"""The control endpoint: faults, tokens and the journal over HTTP, for a sandbox in another process.

| request                   | body                                                   | effect                    |
|---------------------------|--------------------------------------------------------|---------------------------|
| `POST /sandbox/faults`    | `{"faults": ["503"], "call": "clone", "after": 1}`     | `faults.next(…)`          |
| `POST /sandbox/faults`    | `{"faults": ["503", "reset"], "share": 0.1}`           | `faults.chance(…)`        |
| `DELETE /sandbox/faults`  |                                                        | `faults.clear()`          |
| `POST /sandbox/token`     |                                                        | the token is replaced     |
| `GET /sandbox/journal`    |                                                        | the received requests     |
| `DELETE /sandbox/journal` |                                                        | the journal is cleared    |

Requests need a key, so that no other user of the machine can send them. No response contains a token. The journal
doesn't contain these requests.

While the control endpoint is on, the sandbox refuses every request of a page in a browser. A page of another site could
otherwise reach the sandbox by DNS rebinding: its own host name, which becomes 127.0.0.1 after the page was loaded.
"""

from collections.abc import Callable
from ipaddress import ip_address
from secrets import compare_digest
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from attrs import field, frozen

from .fault_names import fault_of
from .fault_plan import FaultPlan
from .journal import Received
from .response import NO_SUCH_ENDPOINT, SandboxResponse, error

PREFIX: Final = "/sandbox/"
_DONE: Final = SandboxResponse(200, b'{"status":200}')


class _FaultRequest(msgspec.Struct, forbid_unknown_fields=True):
    faults: list[str]
    call: str | None = None
    after: int = 0
    share: float | None = None


def is_foreign(host: str, origin: str | None) -> bool:
    """Return whether a request was sent to another host name, or by a page of another site.

    Args:
        host: the header `Host`.
        origin: the header `Origin`, which only browsers send; None without it.
    """
    if origin is not None and origin.partition("://")[2] != host:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name != "localhost" and not ip_address(name).is_loopback
    except ValueError:
        return True


@frozen
class Control:
    """The control endpoint of a sandbox.

    Attributes:
        key: the bearer token that requests need. It is no account's token.
        faults: the fault plan of the sandbox.
        journal: the journal of the sandbox.
        rotate_token: a function that replaces the token and publishes the new one.
    """

    key: str = field(repr=False)
    faults: FaultPlan
    journal: list[Received] = field(repr=False)
    rotate_token: Callable[[], object]

    def respond(self, method: str, path: str, authorization: str, body: bytes) -> SandboxResponse:
        """Carry out a request to a path that begins with `PREFIX`, and return the response."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(key.strip().encode(), self.key.encode()):
            return error(401, "The control endpoint needs its own key, such as DIALLER_SANDBOX_KEY")
        match (method, path.removeprefix(PREFIX)):
            case ("POST", "faults"):
                return self._plan_faults(body)
            case ("DELETE", "faults"):
                self.faults.clear()
            case ("POST", "token"):
                self.rotate_token()
            case ("GET", "journal"):
                return SandboxResponse(
                    200, msgspec.json.encode({"records": [_journal_entry(received) for received in self.journal]})
                )
            case ("DELETE", "journal"):
                self.journal.clear()
            case _:
                return NO_SUCH_ENDPOINT
        return _DONE

    def _plan_faults(self, body: bytes) -> SandboxResponse:
        try:
            request = msgspec.json.decode(body, type=_FaultRequest)
            faults = [fault_of(name) for name in request.faults]
            if request.share is None:
                self.faults.next(*faults, match=request.call, after=request.after)
            else:
                self.faults.chance(request.share, faults, match=request.call)
        except msgspec.DecodeError as invalid:
            return error(400, f"the body is not a plan of faults: {invalid}")
        except ValueError as invalid:
            return error(400, str(invalid))
        return _DONE


def _journal_entry(received: Received) -> dict[str, Any]:
    """Return a request of the journal as JSON values. The secrets in its headers are redacted already."""
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
