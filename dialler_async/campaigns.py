"""`dialler.campaigns`: a method for each call of the API, and methods that take an exact name."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ._api import endpoints
from ._api.dates import time_between
from ._api.endpoints import Request
from ._api.error_context import in_place_of, with_about
from ._api.partial_records import PartialRecords
from ._http.transport import Transport
from ._public import public
from .errors import (
    AmbiguousNameError,
    ConflictError,
    DiallerError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
)
from .models import Campaign, Records, wire_keys

_SAME_DATE: Final = timedelta(seconds=1)
"""Dates that differ by less count as equal, because the server may store dates without milliseconds."""


@public
class CloneResult(NamedTuple):
    """The result of `Campaigns.get_or_clone`.

    Attributes:
        campaign: the campaign with the requested name.
        created: True if this call cloned it, False if it existed before. None if that is unknown: an earlier attempt
            of this call, whose response was lost, may have cloned it. An attempt that got a 401, 429 or 503 has not.
    """

    campaign: Campaign
    created: bool | None


@public
class Campaigns:
    """The campaigns of an account.

    A method that needs a campaign takes its ID or the `Campaign`. Besides the errors in its own docstring, every method
    raises:

    - `ConfigurationError` for an invalid ID, name or date. Nothing was sent.
    - `ClientStateError` if the client is closed or belongs to another event loop.
    - `NoReplyError`, `StatusError` and `PayloadError`; see `dialler_async.errors`.
    - `TokenSourceError` if the function that returns the token fails.

    Failed calls are retried where that is safe; see `DiallerClient`.

    If a write is cancelled in flight, it may have run, and no error says so. Check the server before you call it again,
    or use `exist_ok` or `missing_ok`, which make the call idempotent.

    Source: API reference, "The seven calls".
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, *, max_age: float | None = None) -> Records[Campaign]:
        """Return all campaigns of the account, in the server's order.

        The response may be many MB large; see also `iterate`. A single invalid record raises PayloadError.
        `list_partial` sets invalid records aside instead.

        Args:
            max_age: maximum age of the response, in seconds since its request. A response of that age is taken from the
                cache, or from an equal call that is in flight. Only successes are shared: a call whose shared request
                fails sends its own. A write through this client removes the responses that it affects, and
                `DiallerClient.forget` removes them after other changes. With None, the call bypasses the cache.
        """
        request = endpoints.list_campaigns()
        return await self._transport.send(request, max_age)

    async def list_partial(self) -> PartialRecords[Campaign]:
        """Return all campaigns of the account, and set invalid records aside.

        Returns:
            `.records` has the campaigns. `.invalid` has each invalid record, with its `.record` and its `.error`.
            `.total` is the number of campaigns by the server's count, which may be more than it sent.
        """
        return await self._transport.send(endpoints.list_partial_campaigns())

    async def iterate(self) -> AsyncGenerator[Campaign, None]:
        """Yield all campaigns of the account, so that they need not be in memory at the same time.

        The whole response is fetched before the first campaign is yielded. Its records are then decoded slice by slice.

        Raises:
            PayloadError: a record is invalid. The campaigns before its slice were yielded.
        """
        for campaigns in await self._transport.send(endpoints.list_campaigns_in_slices()):
            for campaign in campaigns:
                yield campaign
            await asyncio.sleep(0)

    async def get(self, campaign: Campaign | int, *, max_age: float | None = None) -> Campaign:
        """Return one campaign by its ID.

        Args:
            campaign: the campaign or its ID.
            max_age: as for `list`.
        Raises:
            NotFoundError: the campaign does not exist.
            PayloadError: also if the server sent a campaign with another ID.
        """
        request = endpoints.get_campaign(campaign)
        return await self._transport.send(request, max_age)

    async def find(self, name: str, *, max_age: float | None = None) -> Records[Campaign]:
        """Return the campaigns whose name contains a text; empty if there is none.

        The server does the matching. It may ignore case, and may treat `%` and `_` as wildcards.

        Args:
            name: the text.
            max_age: as for `list`.
        """
        request = endpoints.find_campaigns(name)
        return await self._transport.send(request, max_age)

    async def get_by_name(self, name: str) -> Campaign:
        """Return the campaign with exactly this name. Case and spaces count.

        Args:
            name: the name.
        Raises:
            NotFoundError: no campaign has exactly this name. The message has the number of similar names.
            AmbiguousNameError: several campaigns have exactly this name; see `.matches`.
        """
        similar = await self.find(name)
        exact = [campaign for campaign in similar if campaign.name == name]
        if len(exact) > 1:
            raise AmbiguousNameError(f"{len(exact)} campaigns have exactly this name: use the ID", matches=exact)
        if not exact:
            search = endpoints.find_campaigns(name)
            error = NotFoundError(
                f"{search.sent}: no campaign has exactly this name ({len(similar)} have a similar one; case and spaces"
                " count)",
                status=404,
                request=search.sent,
            )
            raise with_about(error, search.about)
        return exact[0]

    async def clone(
        self,
        source: str,
        destination: str,
        *,
        user_data: str | None = None,
        dt_from: datetime | None = None,
        dt_to: datetime | None = None,
        exist_ok: bool = False,
    ) -> Campaign:
        """Clone a campaign, without its contacts, and return the new campaign.

        The result codes of the new campaign have new IDs and the same export keys. With `exist_ok`, the call is
        idempotent. Without it, the call is not retried after an attempt that may have run.

        Args:
            source: name of the campaign to clone.
            destination: name of the new campaign, up to 64 characters.
            user_data: free text, used as the key of another system.
            dt_from: start of the new campaign's validity, to the millisecond; needs server release 3.39. A datetime
                without a time zone is sent without an offset. The API reference does not say in which zone the server
                reads it.
            dt_to: end of the new campaign's validity, in the same form.
            exist_ok: return the campaign with exactly the new name if it exists already, as `get_or_clone` does.
        Raises:
            NotFoundError: the source does not exist.
            ConflictError: the destination exists, or another precondition does not hold. With `exist_ok`, the existing
                campaign has other user data or dates than requested.
            OutcomeUnknownError: the campaign may have been cloned. `get_by_name(destination)` finds it then.
        """
        if exist_ok:
            result = await self.get_or_clone(source, destination, user_data=user_data, dt_from=dt_from, dt_to=dt_to)
            return result.campaign
        request = endpoints.clone_campaign(source, destination, user_data=user_data, dt_from=dt_from, dt_to=dt_to)
        return await self._clone(request, destination)

    async def get_or_clone(
        self,
        source: str,
        destination: str,
        *,
        user_data: str | None = None,
        dt_from: datetime | None = None,
        dt_to: datetime | None = None,
        ignore_differences: bool = False,
    ) -> CloneResult:
        """Return the campaign with a name, and clone it if it does not exist. The call is idempotent.

            campaign, created = await dialler.campaigns.get_or_clone("Template", "Monday")

        Args:
            source: as for `clone`.
            destination: as for `clone`.
            user_data: as for `clone`.
            dt_from: as for `clone`.
            dt_to: as for `clone`.
            ignore_differences: also return an existing campaign with other user data or dates than requested.
        Returns:
            The campaign with exactly this name, and whether this call created it.
        Raises:
            NotFoundError: the source does not exist.
            ConflictError: the existing campaign has other user data or dates than requested, or another precondition
                does not hold. A date without an offset may be in any time zone. So it counts as different from a date
                with an offset only if they are more than 14 hours apart.
            AmbiguousNameError: several campaigns have exactly this name.
            OutcomeUnknownError: the campaign may have been cloned. `get_by_name(destination)` finds it then.
        """
        request = endpoints.clone_campaign(
            source, destination, user_data=user_data, dt_from=dt_from, dt_to=dt_to, exist_ok=True
        )
        try:
            return CloneResult(await self._clone(request, destination), created=True)
        except ConflictError as error:
            conflict = error
        existing = await self._existing(destination, conflict)
        if not ignore_differences:
            wanted = {"user_data": user_data, "dt_from": dt_from, "dt_to": dt_to}
            _require_same(existing, wanted, conflict)
        return CloneResult(existing, created=None if conflict.may_be_own else False)

    async def _clone(self, request: Request[Campaign], destination: str) -> Campaign:
        cloned = await self._transport.send(request)
        # The server may reuse an ID.
        self._transport.cache.forget(cloned)
        if cloned.name == destination:
            return cloned
        # The documentation's example has the source campaign in the response. With its ID, a caller would change or
        # delete the wrong campaign.
        try:
            return await self.get_by_name(destination)
        except DiallerError as error:
            # Raising this error would look as if the clone had failed.
            problem = str(error)
        unidentified = OutcomeUnknownError(
            f"{request.sent}: the status is 200, but the server responded with a campaign of another name, and the new"
            f" campaign can't be identified ({problem}). Check before you clone again: {request.recovery_hint}",
            request=request.sent,
        )
        raise with_about(unidentified, request.about)

    async def _existing(self, name: str, conflict: ConflictError) -> Campaign:
        """Return the campaign that a clone conflicts with, or raise the error for the caller."""
        known: DiallerError
        try:
            return await self.get_by_name(name)
        except AmbiguousNameError:
            raise
        except NotFoundError:
            known = conflict
            seen = "no campaign has exactly this name yet: reads may lag behind writes"
        except DiallerError as error:
            known = error
            seen = f"the search for the campaign failed ({error})"
        if not conflict.may_be_own:
            raise known
        unknown = OutcomeUnknownError(f"{conflict}. An earlier attempt may have cloned, but {seen}. Check again later")
        raise in_place_of(unknown, conflict)

    async def delete(self, campaign: Campaign | int, *, missing_ok: bool = False) -> None:
        """Delete a campaign by its ID, with all its data and contacts. This can't be undone.

        Args:
            campaign: the campaign or its ID.
            missing_ok: return if the campaign does not exist, instead of raising NotFoundError.
        Raises:
            NotFoundError: the campaign does not exist. Not raised if an earlier attempt of this call may have
                deleted it.
            OutcomeUnknownError: the campaign may have been deleted. `get(campaign)` raises NotFoundError then.
        """
        await self._transport.send(endpoints.delete_campaign(campaign, missing_ok=missing_ok))

    async def delete_by_name(self, name: str, *, exact: bool = True, missing_ok: bool = False) -> None:
        """Delete the campaign with exactly this name, with all its data and contacts. This can't be undone.

        The call searches for the name. If exactly one campaign has exactly this name, the call reads that campaign by
        its ID, checks the name again, and deletes it by its ID. A rename between this check and the delete goes
        unnoticed, because the API has no conditional delete.

        Args:
            name: the name. Case and spaces count.
            exact: False sends the API's own delete by name. The API reference does not say what the server matches: the
                match may be partial, and any one of several campaigns may be deleted. The call is not retried after an
                attempt that may have run.
            missing_ok: return if no campaign has this name, instead of raising NotFoundError.
        Raises:
            NotFoundError: no campaign has exactly this name, or it was renamed meanwhile. Nothing was deleted. Not
                raised with `missing_ok`.
            AmbiguousNameError: several campaigns have exactly this name. Nothing was deleted.
            PayloadError: also if the server sent the campaign without an ID. Nothing was deleted.
            OutcomeUnknownError: the campaign may have been deleted. `find(name)` shows the remaining campaigns.
        """
        try:
            if exact:
                await self._delete_exactly(name)
            else:
                await self._transport.send(endpoints.delete_campaign_by_name(name))
        except NotFoundError:
            if not missing_ok:
                raise

    async def _delete_exactly(self, name: str) -> None:
        campaign = await self.get_by_name(name)
        if campaign.id is None:
            without_id = PayloadError(
                "the server sent this campaign without an ID, so it can't be deleted safely; nothing was deleted",
                path="records[0].ID",
                request=endpoints.DELETE_BY_NAME,
            )
            raise with_about(without_id, endpoints.find_campaigns(name).about)
        again = await self.get(campaign)
        if again.name != name:
            renamed = NotFoundError(
                f"campaign {campaign.id} was renamed meanwhile; nothing was deleted",
                status=404,
                request=endpoints.DELETE_BY_NAME,
            )
            raise with_about(renamed, f"campaign {campaign.id}")
        await self.delete(campaign)


def _require_same(existing: Campaign, wanted: Mapping[str, str | datetime | None], conflict: ConflictError) -> None:
    """Raise ConflictError if a campaign certainly differs from the requested clone."""
    different = [name for name, value in wanted.items() if value is not None and _differs(existing, name, value)]
    if different:
        error = ConflictError(
            f"{conflict.request}: a campaign with exactly this name exists, and differs from the requested one in"
            f" {', '.join(different)}",
            status=conflict.status,
            message=conflict.message,
        )
        error.may_be_own = conflict.may_be_own
        raise in_place_of(error, conflict)


def _differs(campaign: Campaign, name: str, wanted: str | datetime) -> bool:
    if wire_keys(Campaign)[name] not in campaign.wire:
        return False
    actual = getattr(campaign, name)
    if isinstance(wanted, datetime):
        return actual is None or abs(time_between(actual, wanted)) >= _SAME_DATE
    # A database may store an empty text as NULL.
    return (actual or "") != wanted
