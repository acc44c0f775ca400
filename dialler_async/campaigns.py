"""`dialler.campaigns`: one method for each call, and calls by exact name."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ._api import endpoints
from ._api.dates import time_between
from ._api.endpoints import Request
from ._api.partial_records import PartialRecords
from ._http.cache import AccountCache
from ._http.transport import Transport
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
"""The server may keep dates without milliseconds, so dates that are less than this apart are the same."""


class CloneResult(NamedTuple):
    """The result of `Campaigns.get_or_clone`.

    Attributes:
        campaign: the campaign of the name asked for.
        created: True if this call cloned it, False if it existed before. None if nobody knows: an earlier attempt of
            this call, whose response was lost, may have cloned it.
    """

    campaign: Campaign
    created: bool | None


class Campaigns:
    """The campaigns of an account.

    Wherever a method needs a campaign, it takes the ID or the `Campaign`. Besides the errors in its own docstring,
    every method raises

    - `ConfigurationError` for an ID, name or date that can't work. Nothing was sent.
    - `ClientStateError` if the client is closed or belongs to another event loop.
    - `NoReplyError`, `StatusError` and `PayloadError`; see `dialler_async.errors`.
    - `TokenSourceError` if the function that returns the token fails.

    Every method retries what is safe to retry; see `RetryPolicy`.

    A cancelled write may have been carried out, and no error says so. Look before you call it again, or pass `exist_ok`
    or `missing_ok`, which make the call safe to repeat.

    Source: API reference, "The seven calls".
    """

    def __init__(self, transport: Transport, cache: AccountCache) -> None:
        self._transport = transport
        self._cache = cache

    async def list(self, *, max_age: float | None = None) -> Records[Campaign]:
        """Return all campaigns of the account, in the server's order.

        The response may have many MB; see also `iterate`. One record that is not as documented raises PayloadError;
        `list_partial` sets such a record aside instead.

        Args:
            max_age: seconds that the response may be old. The response is then kept, and calls that ask for the same
                while a request is in flight share it. Errors are not kept. A write through this client removes the
                responses that it affects; `DiallerClient.forget` removes them by hand. None always asks the server.
        """
        request = endpoints.list_campaigns()
        return await self._cache.get(request, max_age, lambda: self._transport.send(request))

    async def list_partial(self) -> PartialRecords[Campaign]:
        """Return all campaigns of the account, and set records aside that are not as documented.

        Returns:
            The campaigns as `.records`. Each other record is in `.invalid`, with its `.record` and its `.error`.
            `.total` is how many campaigns the server says there are, which may be more than it sent.
        """
        return await self._transport.send(endpoints.list_partial_campaigns())

    async def iterate(self) -> AsyncGenerator[Campaign, None]:
        """Yield all campaigns of the account, so that the caller need not hold them all.

        The whole response is fetched before the first campaign is yielded, and then structured slice by slice. A record
        that is not as documented raises PayloadError when its slice is reached, after the campaigns before it.
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
            PayloadError: also if the server sent another campaign.
        """
        request = endpoints.get_campaign(campaign)
        return await self._cache.get(request, max_age, lambda: self._transport.send(request))

    async def find(self, name: str, *, max_age: float | None = None) -> Records[Campaign]:
        """Return the campaigns whose name holds a text, as the server matches it; empty if there is none.

        The match is partial. The server presumably ignores case, and may take `%` and `_` for wildcards. So it can
        match more than the text says.

        Args:
            name: the text.
            max_age: as for `list`.
        """
        request = endpoints.find_campaigns(name)
        return await self._cache.get(request, max_age, lambda: self._find(request))

    async def _find(self, request: Request[Records[Campaign]]) -> Records[Campaign]:
        try:
            return await self._transport.send(request)
        except NotFoundError:
            # The API reference does not say whether no match is a 200 or a 404.
            return Records(items=(), total=0)

    async def get_by_name(self, name: str) -> Campaign:
        """Return the one campaign with exactly this name. Case and spaces count.

        Raises:
            NotFoundError: no campaign has exactly this name. The message says how many have a similar one.
            AmbiguousNameError: several campaigns have exactly this name; `.matches` holds them.
        """
        similar = await self.find(name)
        exact = [campaign for campaign in similar if campaign.name == name]
        if len(exact) > 1:
            raise AmbiguousNameError(f"{len(exact)} campaigns have exactly this name: use the ID", matches=exact)
        if not exact:
            sent = endpoints.find_campaigns(name).sent
            raise NotFoundError(
                f"{sent}: no campaign has exactly this name ({len(similar)} have a similar one; case and spaces count)",
                status=404,
                request=sent,
            )
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
        """Copy a campaign, without its contacts, and return the new one.

        The result codes of the new campaign have new IDs and the same export keys.

        Without `exist_ok`, the call is not sent again once the server may have carried it out. With `exist_ok`, it is
        safe to repeat.

        Args:
            source: name of the campaign to copy.
            destination: name of the new campaign, up to 64 characters.
            user_data: free text, used as the key of a foreign system.
            dt_from: when the new campaign begins to be valid; needs server release 3.39. A naive date is sent as it is,
                an aware one with its offset, to the millisecond. No documentation says in which zone the server reads a
                naive date.
            dt_to: when the new campaign ceases to be valid; likewise.
            exist_ok: return a campaign that has exactly the new name already, as `get_or_clone` does.

        Returns:
            The new campaign.

        Raises:
            NotFoundError: the source does not exist.
            ConflictError: the destination exists, or another precondition does not hold. With `exist_ok`, also if the
                existing campaign has other user data or dates than asked for.
            OutcomeUnknownError: the campaign may have been cloned: `get_by_name(destination)` tells.
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
        """Return the campaign with a name, and clone it if it does not exist. The call is safe to repeat.

            campaign, created = await dialler.campaigns.get_or_clone("Template", "Monday")

        Args:
            source: as for `clone`.
            destination: as for `clone`.
            user_data: as for `clone`.
            dt_from: as for `clone`.
            dt_to: as for `clone`.
            ignore_differences: accept an existing campaign that has other user data or dates than asked for.

        Returns:
            The campaign with exactly this name, and whether this call created it.

        Raises:
            NotFoundError: the source does not exist.
            ConflictError: the existing campaign has other user data or dates than asked for, or another precondition
                does not hold. A date without an offset may be in any zone, so it differs from one with an offset only
                if they are more than 14 hours apart.
            AmbiguousNameError: several campaigns have exactly this name.
            OutcomeUnknownError: the campaign may have been cloned: `get_by_name(destination)` tells.
        """
        request = endpoints.clone_campaign(
            source, destination, user_data=user_data, dt_from=dt_from, dt_to=dt_to, exist_ok=True
        )
        try:
            return CloneResult(await self._clone(request, destination), created=True)
        except ConflictError as error:
            conflict = error
        existing = await self._existing(destination, conflict)
        wanted = {"user_data": user_data, "dt_from": dt_from, "dt_to": dt_to}
        if not ignore_differences:
            wanted = {"user_data": user_data, "dt_from": dt_from, "dt_to": dt_to}
            _require_same(existing, wanted, conflict)
        return CloneResult(existing, created=False if conflict.attempts == 1 else None)

    async def _clone(self, request: Request[Campaign], destination: str) -> Campaign:
        try:
            cloned = await self._transport.send(request)
        finally:
            # Whatever the outcome, the campaign may have been cloned.
            self._cache.forget_lists()
        self._cache.forget(cloned)
        if cloned.name == destination:
            return cloned
        # The documentation's own example shows the source here. A caller who took its ID for the new campaign's would
        # change or delete the wrong campaign.
        try:
            return await self.get_by_name(destination)
        except DiallerError as error:
            # Not raised as it is: it would read as if the clone had failed.
            problem = str(error)
        raise PayloadError(
            f"{request.sent}: the server cloned, but answered with a campaign of another name, and the new one can't be"
            f" identified ({problem}). Look before you repeat it",
            path="records[0].Name",
            record_id=cloned.id,
            request=request.sent,
        )

    async def _existing(self, name: str, conflict: ConflictError) -> Campaign:
        """Return the campaign that a clone conflicts with, or raise the error that the caller gets."""
        known: DiallerError
        try:
            return await self.get_by_name(name)
        except AmbiguousNameError:
            raise
        except NotFoundError:
            known = conflict
            seen = "no campaign of exactly this name can be seen yet: reads may lag behind writes"
        except DiallerError as error:
            known = error
            seen = f"looking for it failed ({error})"
        if conflict.attempts == 1:
            raise known
        raise OutcomeUnknownError(
            f"{conflict}. An earlier attempt may have been carried out, but {seen}. Look again later",
            request=conflict.request,
            attempts=conflict.attempts,
        )

    async def delete(self, campaign: Campaign | int, *, missing_ok: bool = False) -> None:
        """Delete a campaign and all its related data, contacts included, by its ID. This can't be undone.

        Args:
            campaign: the campaign or its ID.
            missing_ok: return if the campaign does not exist, instead of raising NotFoundError.

        Raises:
            NotFoundError: the campaign does not exist. Not raised if an earlier attempt of this call may have
                deleted it.
            OutcomeUnknownError: the campaign may have been deleted: `get(campaign)` tells.
        """
        request = endpoints.delete_campaign(campaign)
        try:
            await self._transport.send(request)
        except NotFoundError:
            if not missing_ok:
                raise
        finally:
            self._cache.forget(campaign)

    async def delete_by_name(self, name: str, *, exact: bool = True) -> None:
        """Delete the one campaign with exactly this name, contacts included. This can't be undone.

        The call first looks for the name, and goes on only if exactly one campaign has exactly this name. It reads that
        campaign again by its ID right before it deletes it by its ID, so a campaign renamed in the meantime is left
        alone. A rename between the second read and the delete can't be seen, since the API has no conditional delete.

        Args:
            name: the name. Case and spaces count.
            exact: False sends the API's own delete by name, whatever the server matches: the match may be partial, and
                any one of several campaigns may be deleted. The call is not sent again once the server may have carried
                it out.

        Raises:
            NotFoundError: no campaign has exactly this name, or not any more. Nothing was deleted.
            AmbiguousNameError: several campaigns have exactly this name. Nothing was deleted.
            PayloadError: also if the server sent the campaign without an ID. Nothing was deleted.
            OutcomeUnknownError: the campaign may have been deleted: `find(name)` shows which are left.
        """
        if not exact:
            try:
                await self._transport.send(endpoints.delete_campaign_by_name(name))
            finally:
                # Nobody knows which campaign the server matched.
                self._cache.forget()
            return
        campaign = await self.get_by_name(name)
        if campaign.id is None:
            raise PayloadError(
                "the server sent this campaign without its ID, so it can't be deleted safely; nothing was deleted",
                path="records[0].ID",
                request=endpoints.DELETE_BY_NAME,
            )
        again = await self.get(campaign)
        if again.name != name:
            raise NotFoundError(
                f"campaign {campaign.id} had this name a moment ago and has another now; nothing was deleted",
                status=404,
                request=endpoints.DELETE_BY_NAME,
            )
        await self.delete(campaign)


def _require_same(existing: Campaign, wanted: Mapping[str, str | datetime | None], conflict: ConflictError) -> None:
    """Raise ConflictError if a campaign surely differs from what a clone asked for."""
    different = [name for name, value in wanted.items() if value is not None and _differs(existing, name, value)]
    if different:
        error = ConflictError(
            f"{conflict.request}: a campaign with exactly this name exists, and differs from what was asked for in"
            f" {', '.join(different)}",
            status=conflict.status,
            message=conflict.message,
            request=conflict.request,
            attempts=conflict.attempts,
        )
        error.about = conflict.about
        error.add_note(conflict.about)
        raise error


def _differs(campaign: Campaign, name: str, wanted: str | datetime) -> bool:
    if wire_keys(Campaign)[name] not in campaign.wire:
        return False
    actual = getattr(campaign, name)
    if isinstance(wanted, datetime):
        return actual is None or abs(time_between(actual, wanted)) >= _SAME_DATE
    # A database may keep an empty text as NULL.
    return (actual or "") != wanted
