"""`dialler.campaigns`: one method a call, and the by-name forms that look before they leap."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from ._api import endpoints
from ._api.decoding import PartialRecords
from ._http.transport import Transport
from .errors import (
    AmbiguousNameError,
    ConflictError,
    DiallerError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
)
from .models import Campaign, Records


class Campaigns:
    """The campaigns of an account.

    Wherever a campaign is meant, its ID or a `Campaign` is taken. Every method raises, besides what it says itself,
    `ConfigurationError` for an ID or name that can't work, before anything is sent; `ClientStateError` where the client
    is closed or belongs to another loop; `NoReplyError`, `StatusError` and `PayloadError` as `dialler_async.errors`
    tells; and what a function raises that the client asks for its token. It repeats what is safe to repeat, as
    `RetryPolicy` says.

    A write that is cancelled on its way may have been carried out, and no error says so: look before you repeat it, or
    give `exist_ok` or `missing_ok`, with which it may be repeated.

    Source: API reference, "The seven calls".
    """

    def __init__(self, transport: Transport, forget_codes: Callable[[Campaign | int | None], None]) -> None:
        self._transport = transport
        self._forget_codes = forget_codes

    async def list(self) -> Records[Campaign]:
        """All campaigns of the account, in the server's order. One answer of up to many MB; see also `iterate`.

        A record that is not as documented fails them all, with a PayloadError; `list_partial` sets it aside.
        """
        return await self._transport.send(endpoints.list_campaigns())

    async def list_partial(self) -> PartialRecords[Campaign]:
        """The same list, where a record that is not as documented costs only itself, as an audit wants it.

        Returns:
            `.records`, the campaigns; `.invalid`, a `.record` and its `.error` for each that is none; `.count`, how
            many the server says there are, which may be more than it sent.
        """
        return await self._transport.send(endpoints.list_partial_campaigns())

    async def iterate(self) -> AsyncGenerator[Campaign, None]:
        """All campaigns of the account, structured slice by slice as they are taken, so that none need be kept.

        The answer is fetched whole when the first is asked for. A record that is not as documented raises
        PayloadError when its slice is reached, after the ones before it were given.
        """
        for campaigns in await self._transport.send(endpoints.list_campaigns_in_slices()):
            for campaign in campaigns:
                yield campaign
            await asyncio.sleep(0)

    async def get(self, campaign: Campaign | int) -> Campaign:
        """One campaign by its ID.

        Raises:
            NotFoundError: no such campaign.
            PayloadError: also when the server answers with another campaign than the one asked for.
        """
        return await self._transport.send(endpoints.get_campaign(campaign))

    async def find(self, name: str) -> Records[Campaign]:
        """Campaigns whose name holds a text, as the server matches it; empty when there is none.

        The match is partial. The server presumably ignores case, and may take `%` and `_` for wildcards, so it can
        match more than it says. No match is documented neither as 200 nor as 404: both are taken.
        """
        try:
            return await self._transport.send(endpoints.find_campaigns(name))
        except NotFoundError:
            return Records(items=(), total=0)

    async def get_by_name(self, name: str) -> Campaign:
        """The one campaign with exactly this name, to the letter: case and spaces count.

        Raises:
            NotFoundError: none has exactly this name; the message says how many are similar.
            AmbiguousNameError: several have; `.matches` holds them.
        """
        similar = await self.find(name)
        exact = [campaign for campaign in similar if campaign.name == name]
        if len(exact) > 1:
            raise AmbiguousNameError(f"{len(exact)} campaigns have exactly this name: go by ID", matches=exact)
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
        """Copies a campaign with everything but its contacts. Its result codes get new IDs and keep their export keys.

        Without `exist_ok` it is sent at most once to a server that may carry it out. With it, it may be repeated
        safely: the campaign that is there in the end has exactly this name, whoever made it.

        Args:
            source: name of the campaign to copy.
            destination: name of the new one, up to 64 characters.
            user_data: free text, used as the key of a foreign system.
            dt_from: when it begins to be valid; needs server release 3.39. Naive is sent as it is, aware with its
                offset, to the millisecond: which zone the server takes a naive one for is documented nowhere.
            dt_to: when it ceases to be valid; likewise.
            exist_ok: take a campaign of exactly this name that exists already for an answer.
        Returns:
            The new campaign; with `exist_ok`, or when the server's answer shows another name, as `get_by_name` has it.
        Raises:
            NotFoundError: the source does not exist.
            ConflictError: the destination exists, or another precondition does not hold.
            OutcomeUnknownError: it may have been carried out: `get_by_name(destination)` tells.
        """
        request = endpoints.clone_campaign(
            source, destination, user_data=user_data, dt_from=dt_from, dt_to=dt_to, exist_ok=exist_ok
        )
        try:
            made = await self._transport.send(request)
        except ConflictError as conflict:
            if not exist_ok:
                raise
            return await self._existing(destination, conflict)
        self._forget_codes(made)
        if made.name == destination:
            return made
        # The documentation's own example shows the source here. Its ID in the hands of someone who goes on to change
        # or delete "the new one" would hit the wrong campaign.
        try:
            return await self.get_by_name(destination)
        except DiallerError as error:
            # Whatever went wrong with the look: told as it is, it would read as if the clone had failed.
            problem = str(error)
        raise PayloadError(
            f"{request.sent}: the server cloned, but answered with a campaign of another name, and the new one can't be"
            f" told for sure ({problem}). Look before you repeat it",
            path="records[0].Name",
            record_id=made.id,
            request=request.sent,
        )

    async def _existing(self, name: str, conflict: ConflictError) -> Campaign:
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
        """Deletes a campaign and all its related data, contacts included, by its ID. There is no way back.

        Args:
            campaign: its ID, or a `Campaign` that has one.
            missing_ok: take a campaign that is not there for an answer.
        Raises:
            NotFoundError: no such campaign, unless `missing_ok`. Not raised when an earlier attempt of this very call
                may have deleted it.
            OutcomeUnknownError: it may have been carried out: `get(campaign)` tells.
        """
        request = endpoints.delete_campaign(campaign)
        try:
            await self._transport.send(request)
        except NotFoundError:
            if not missing_ok:
                raise
        finally:
            self._forget_codes(campaign)

    async def delete_by_name(self, name: str, *, exact: bool = True) -> None:
        """Deletes the one campaign with exactly this name, contacts and all. There is no way back.

        It looks first, and goes on only when exactly one campaign has exactly this name. That one is read again by
        its ID right before it is deleted by its ID, so that a campaign renamed in the meantime is left alone. The API
        has no conditional delete: a rename between that last look and the delete can't be seen.

        Args:
            name: the name, to the letter.
            exact: False sends the API's own delete by name, whatever the server takes it to match: it may be a
                partial match, and any one of several campaigns. Sent at most once to a server that may carry it out.
        Raises:
            NotFoundError: none has exactly this name, or not any more. Nothing was deleted.
            AmbiguousNameError: several have. Nothing was deleted.
            PayloadError: also when the server sends the campaign without an ID. Nothing was deleted.
            OutcomeUnknownError: it may have been carried out: `find(name)` tells which are left.
        """
        if not exact:
            try:
                await self._transport.send(endpoints.delete_campaign_by_name(name))
            finally:
                # Whichever that was.
                self._forget_codes(None)
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
