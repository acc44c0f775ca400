"""`dialler.result_codes`: the result codes of one campaign, or of many campaigns concurrently."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Coroutine, Iterable, Iterator, Sequence, Sized
from functools import partial
from typing import Final, NamedTuple

from ._api import endpoints
from ._api.error_context import in_place_of
from ._bulk.auto_concurrency import AutoConcurrency
from ._bulk.fan_out import Concurrency, OnProgress, fan_out
from ._bulk.outcome import Outcome
from ._http.cache import require_max_age
from ._http.transport import Transport
from ._public import public
from .errors import AuthenticationError, ConfigurationError, EndpointNotFoundError, NotFoundError, TokenSourceError
from .models import Campaign, Language, Records, ResultCode

_LARGEST_SAFE_ID: Final = 2**31 - 1
"""The largest 32-bit ID. A server that can't read a larger ID may respond as if the endpoint did not exist."""


@public
class Lookup(NamedTuple):
    """One item of `for_campaigns`.

    Attributes:
        campaign: the campaign or the ID, as it was passed.
        language: the language of the texts.
    """

    campaign: Campaign | int
    language: Language

    @property
    def campaign_id(self) -> int | None:
        """The ID of the campaign; None for a `Campaign` without an ID."""
        if isinstance(self.campaign, Campaign):
            # A `Campaign` that was made without `__init__` lacks the attribute.
            return getattr(self.campaign, "id", None)
        return self.campaign


@public
class ResultCodes:
    """The result codes of an account's campaigns: `list` for one campaign, `for_campaigns` for many.

    The methods raise the same errors as the methods of `Campaigns`.

    Source: API reference, "The seven calls" and "Result codes".
    """

    def __init__(self, transport: Transport, limit: int) -> None:
        self._transport = transport
        self._limit = limit

    async def list(
        self,
        campaign: Campaign | int,
        *,
        language: Language | int = Language.ENGLISH,
        max_age: float | None = None,
    ) -> Records[ResultCode]:
        """Return the result codes of one campaign, with their texts in one language.

        Args:
            campaign: the campaign or its ID.
            language: `Language.ENGLISH`, `Language.GERMAN`, or another LanguagesID of the installation.
            max_age: as for `Campaigns.list`.
        Returns:
            The codes. `.complete` is False if the server's count is larger than the number of codes that it sent.
        Raises:
            NotFoundError: the campaign does not exist. Also after a 404 with an empty body if the ID is beyond 32 bits.
        """
        request = endpoints.list_result_codes(campaign, language)
        try:
            return await self._transport.send(request, max_age)
        except EndpointNotFoundError as error:
            if endpoints.checked_id(campaign) <= _LARGEST_SAFE_ID:
                raise
            not_found = error
        too_large = NotFoundError(
            f"{not_found.request}: 404 without the API's JSON body: the ID is beyond 32 bits, so the server can't read"
            " it, or there is no such endpoint",
            status=not_found.status,
            message=not_found.message,
        )
        raise in_place_of(too_large, not_found)

    def for_campaigns(
        self,
        campaigns: Iterable[Campaign | int] | AsyncIterable[Campaign | int],
        *,
        languages: Iterable[Language | int] = Language,
        max_age: float | None = None,
        concurrency: Concurrency | None = "auto",
        in_order: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AsyncGenerator[Outcome[Lookup, Records[ResultCode]], None]:
        """Return an async generator over the result codes of many campaigns in several languages.

        A failed lookup does not stop the others. AuthenticationError, EndpointNotFoundError and TokenSourceError would
        hit every lookup, so they abort the run: no further lookup starts, finished lookups are yielded, and the error
        is raised.

        Leaving the loop early cancels the running lookups. Closing the generator awaits them; `contextlib.aclosing`
        closes it at the end of its block. At most `2 * concurrency` lookups are in flight or waiting to be yielded.

        Args:
            campaigns: campaigns or their IDs. They are consumed as needed, so an endless iterator is allowed.
            languages: the languages to look up, each as for `list`.
            max_age: as for `Campaigns.list`.
            concurrency: number of lookups at the same time. "auto" and None start with 2 and adapt to the measured
                latency, up to the pool's limit. Lookups above the pool's limit wait for a connection.
            in_order: yield outcomes in the order of `campaigns`, and for each campaign in the order of `languages`. An
                outcome then waits for all earlier outcomes.
            on_progress: called after each lookup with (done, failed, total or None).
        Yields:
            An `Outcome` for each campaign and language, in the order in which the lookups finish. Its `item` is a
            `Lookup`.
        Raises:
            ConfigurationError: a language, `max_age` or `concurrency` is invalid.
            AuthenticationError: the token, the ClientsID, or their combination is wrong.
            EndpointNotFoundError: the base URL is wrong, or the server is too old.
            TokenSourceError: the function that returns the token failed.
        """
        require_max_age(max_age)
        wanted = [endpoints.checked_language(language) for language in languages]
        _require_many(campaigns)
        lookups: Iterable[Lookup] | AsyncIterable[Lookup]
        if isinstance(campaigns, Iterable):
            lookups = (Lookup(campaign, language) for campaign in campaigns for language in wanted)
        else:
            lookups = _Lookups(campaigns, wanted)
        return fan_out(
            partial(self._look_up, max_age=max_age),
            lookups,
            concurrency=AutoConcurrency(self._limit) if concurrency in ("auto", None) else concurrency,
            in_order=in_order,
            stop_on=(AuthenticationError, EndpointNotFoundError, TokenSourceError),
            total=len(campaigns) * len(wanted) if isinstance(campaigns, Sized) else None,
            on_progress=on_progress,
        )

    def _look_up(self, lookup: Lookup, *, max_age: float | None) -> Awaitable[Records[ResultCode]]:
        return self.list(lookup.campaign, language=lookup.language, max_age=max_age)


def _require_many(campaigns: object) -> None:
    if isinstance(campaigns, Awaitable):
        if isinstance(campaigns, Coroutine):
            # Otherwise Python warns that it was never awaited.
            campaigns.close()
        raise ConfigurationError("`campaigns` must be awaited first: for_campaigns(await dialler.campaigns.list())")
    if isinstance(campaigns, str | bytes) or not isinstance(campaigns, Iterable | AsyncIterable):
        raise ConfigurationError(
            f"`campaigns` must be an iterable of campaigns or IDs, not {type(campaigns).__name__[:80]}: for one"
            " campaign, use result_codes.list"
        )


class _Lookups:
    """An async iterator over each campaign in each language.

    A class, because an unfinished async generator would leave its cleanup to the event loop.
    """

    def __init__(self, campaigns: AsyncIterable[Campaign | int], languages: Sequence[Language]) -> None:
        self._campaigns = aiter(campaigns)
        self._languages = languages
        self._next: Iterator[Lookup] = iter(())

    def __aiter__(self) -> "_Lookups":
        return self

    async def __anext__(self) -> Lookup:
        while (lookup := next(self._next, None)) is None:
            campaign = await anext(self._campaigns)
            self._next = (Lookup(campaign, language) for language in self._languages)
        return lookup
