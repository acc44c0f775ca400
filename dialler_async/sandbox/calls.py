"""The responses of the seven calls, without I/O (API reference, "The seven calls")."""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from attrs import frozen

from .dates import DateStyle, format_date, parse_date
from .journal import Received
from .response import SandboxResponse, error
from .store import Store

DeleteByName = Literal["first-partial-match", "exact"]
FindWithoutMatch = Literal["empty", "404"]

NAME_LENGTH = 64

_PREFIX = ("rest", "v1.0")
_COLLECTION = ("dialler", "campaigns")
# The length limit keeps an ID within 64 bits. A path with anything else is an unknown endpoint.
_ID = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NOT_FOUND = error(404, "Dialler campaign not found")
_DELETED = SandboxResponse(200, b'{"status":200}')


@frozen
class Target:
    """The target of a request: the account, the call and the campaign ID that are in its path."""

    clients_id: str
    call: str
    campaign_id: int = 0


def parse_target(method: str, path: str) -> Target | None:
    """Return the target of a method and an encoded path, or None for an unknown endpoint.

    A path whose ID is not an integer is an unknown endpoint.
    """
    segments = tuple(map(unquote, path.split("/")))
    if segments[:3] != ("", *_PREFIX) or segments[4:6] != _COLLECTION:
        return None
    clients_id = segments[3]
    match (method, *segments[6:]):
        case ("GET",):
            return Target(clients_id, "list")
        case ("GET", "campaign"):
            return Target(clients_id, "find")
        case ("DELETE", "campaign"):
            return Target(clients_id, "delete_by_name")
        case ("POST", "clone"):
            return Target(clients_id, "clone")
        case ("GET", id) if _ID.fullmatch(id):
            return Target(clients_id, "get", int(id))
        case ("DELETE", "campaign", id) if _ID.fullmatch(id):
            return Target(clients_id, "delete", int(id))
        case ("GET", "campaign", id, "resultCodes") if _ID.fullmatch(id):
            return Target(clients_id, "result_codes", int(id))
    return None


@frozen
class Calls:
    """The calls on the store of one account. The options select behaviour that the API reference doesn't specify."""

    store: Store
    delete_by_name: DeleteByName
    find_without_match: FindWithoutMatch
    dates: DateStyle

    def respond(self, target: Target, received: Received) -> SandboxResponse:
        """Execute an authorised request and return its response."""
        campaign_id = target.campaign_id
        match target.call:
            case "list":
                return SandboxResponse(200, self.store.list_body())
            case "find":
                return self._find(received.query)
            case "delete_by_name":
                return self._delete_by_name(received.query)
            case "clone":
                return self._clone(received.headers, received.body)
        if campaign_id not in self.store.campaigns:
            return _NOT_FOUND
        match target.call:
            case "get":
                return SandboxResponse(200, self.store.records_body([campaign_id]))
            case "delete":
                self.store.remove(campaign_id)
                return _DELETED
        return self._result_codes(campaign_id, received.query)

    def _find(self, query: Mapping[str, str]) -> SandboxResponse:
        name = query.get("name")
        if not name:
            return _missing("name")
        found = self.store.find_containing(name)
        if not found and self.find_without_match == "404":
            return _NOT_FOUND
        return SandboxResponse(200, self.store.records_body(found))

    def _delete_by_name(self, query: Mapping[str, str]) -> SandboxResponse:
        name = query.get("name")
        if not name:
            return _missing("name")
        if self.delete_by_name == "exact":
            found = self.store.find_exact(name)
        else:
            found = next(iter(self.store.find_containing(name)), None)
        if found is None:
            return _NOT_FOUND
        self.store.remove(found)
        return _DELETED

    def _result_codes(self, campaign_id: int, query: Mapping[str, str]) -> SandboxResponse:
        languages_id = query.get("languagesID")
        if not languages_id:
            return _missing("languagesID")
        if not _ID.fullmatch(languages_id):
            return error(400, "Parameter languagesID is not an integer")
        return SandboxResponse(200, self.store.codes_body(campaign_id, int(languages_id)))

    def _clone(self, headers: Mapping[str, str], body: bytes) -> SandboxResponse:
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return error(400, "Content-Type must be application/json")
        try:
            payload = msgspec.convert(msgspec.json.decode(body), dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return error(400, "The body is not a JSON object")
        try:
            source = _text(payload, "source")
            destination = _text(payload, "destination")
            if not source or not destination:
                return _missing("source" if not source else "destination")
            keys = {
                "UserData": _text(payload, "userData"),
                "dtFrom": self._date(payload, "dtFrom"),
                "dtTo": self._date(payload, "dtTo"),
            }
        except ValueError as invalid:
            return error(400, str(invalid))
        if len(destination) > NAME_LENGTH:
            return error(400, f"destination is longer than {NAME_LENGTH} characters")
        source_id = self.store.find_exact(source)
        if source_id is None:
            return _NOT_FOUND
        if self.store.find_exact(destination) is not None:
            return error(409, "Dialler campaign exists already")
        changes = {key: value for key, value in keys.items() if value is not None}
        clone_id = self.store.clone(source_id, destination, **changes)
        return SandboxResponse(200, self.store.records_body([clone_id]))

    def _date(self, payload: Mapping[str, Any], key: str) -> str | None:
        text = _text(payload, key)
        return None if text is None else format_date(parse_date(text), self.dates)


def _text(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"Parameter {key} is not a string")


def _missing(name: str) -> SandboxResponse:
    return error(400, f"Parameter {name} is missing")
