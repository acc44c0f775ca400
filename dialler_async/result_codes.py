"""`dialler.result_codes`: the codes of one campaign, and the fan-out over many."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Sequence, Sized
from typing import Final, TypeAlias

import attrs

from ._api import endpoints
from ._bulk.concurrency import AutoConcurrency
from ._bulk.fan_out import Concurrency, OnProgress, outcomes
from ._http.cache import AccountCache
from ._http.transport import Transport
from .errors import AuthenticationError, EndpointNotFoundError, NotFoundError, TokenSourceError
from .models import Campaign, Language, Records, ResultCode

_Lookup: TypeAlias = tuple[Campaign | int, Language]

_SURELY_HELD: Final = 2**31 - 1
"""Up to this ID, every server can read it. It may answer a larger one as if the endpoint did not exist."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of one lookup of result codes: either `value` or `error` is None.

    Attributes:
        campaign_id: the campaign's ID; None for a `Campaign` without one, whose codes can't be asked for.
        language: the language asked for.
        value: the codes; None where it failed.
        error: why it failed; None where it did not.
        campaign: the campaign as it was given.
    """

    campaign_id: int | None
    language: Language
    value: Records[ResultCode] | None
    error: Exception | None
    campaign: Campaign | int


class ResultCodes:
    """The result codes of an account's campaigns: `list` for those of one, `for_campaigns` for those of many at once.

    Raises as `Campaigns` does. Source: API reference, "The seven calls" and "Result codes".
    """

    def __init__(self, transport: Transport, cache: AccountCache, limit: int) -> None:
        self._transport = transport
        self._cache = cache
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
            The codes. `.complete` is False where the server says that there are more than it sent.

        Raises:
            NotFoundError: the campaign does not exist.
        """
        request = endpoints.list_result_codes(campaign, language)
        return await self._cache.get(request, max_age, lambda: self._transport.send(request))

    def for_campaigns(
        self,
        campaigns: Iterable[Campaign | int] | AsyncIterable[Campaign | int],
        *,
        languages: Iterable[Language | int] = Language,
        concurrency: Concurrency | None = "auto",
        in_order: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """The result codes of many campaigns in several languages, looked up concurrently.

        One failure never stops the rest. Errors that would hit every lookup abort the run: AuthenticationError,
        EndpointNotFoundError and TokenSourceError. What has finished is yielded, the rest is not asked for, and the
        error is raised.

        Leaving the loop early cancels the lookups that still run; put `contextlib.aclosing` around the call to have
        them awaited by a certain point. However many lookups there are, at most twice as many as run at once are held.

        Args:
            campaigns: campaigns or their IDs; taken as they are needed, so an endless iterator will do.
            languages: as for `list`.
            concurrency: lookups at once. By default it begins with 2 and finds its own level by how long lookups
                take, at most the pool's limit; so it does with None. More than that only wait.
            in_order: yield in the order of `campaigns`, and for each in that of `languages`, instead: an outcome
                waits until those before it are there.
            on_progress: called after each lookup with (done, failed, total or None).
        Yields:
            An `Outcome` for each campaign and language, in the order in which they finish.
        Raises:
            ConfigurationError: a language or `concurrency` can't work.
            AuthenticationError: the token, the ClientsID, or the combination of both is wrong.
            EndpointNotFoundError: the base URL is wrong, or the server too old.
            TokenSourceError: the function that gives the token failed.
        """
        wanted = [endpoints.checked_language(language) for language in languages]
        lookups: Iterable[_Lookup] | AsyncIterable[_Lookup]
        if isinstance(campaigns, Iterable):
            lookups = ((campaign, language) for campaign in campaigns for language in wanted)
        else:
            lookups = _Lookups(campaigns, wanted)
        return outcomes(
            _outcome,
            self._look_up,
            lookups,
            concurrency=AutoConcurrency(self._limit) if concurrency in ("auto", None) else concurrency,
            in_order=in_order,
            stop_on=(AuthenticationError, EndpointNotFoundError, TokenSourceError),
            total=len(campaigns) * len(wanted) if isinstance(campaigns, Sized) else None,
            on_progress=on_progress,
        )

    async def _look_up(self, lookup: _Lookup) -> Records[ResultCode]:
        """Look up one campaign's codes; a 404 without a body counts as not found where the ID may be its cause."""
        request = endpoints.list_result_codes(*lookup)
        not_found: EndpointNotFoundError
        try:
            return await self._transport.send(request)
        except EndpointNotFoundError as error:
            if endpoints.checked_id(lookup[0]) <= _SURELY_HELD:
                raise
            not_found = error
        raise NotFoundError(
            f"{not_found.request}: 404 without the API's JSON body: the ID is beyond 32 bits, so the server can't read"
            " it, or there is no such endpoint",
            status=not_found.status,
            message=not_found.message,
            request=not_found.request,
            attempts=not_found.attempts,
        )


def _outcome(lookup: _Lookup, value: Records[ResultCode] | None, error: Exception | None) -> Outcome:
    campaign, language = lookup
    return Outcome(
        campaign=campaign,
        # One made without `__init__` may lack even the attribute.
        campaign_id=getattr(campaign, "id", None) if isinstance(campaign, Campaign) else campaign,
        language=language,
        value=value,
        error=error,
    )


class _Lookups:
    """Each campaign with each language. No generator: one left unfinished has the loop clean up after it."""

    def __init__(self, campaigns: AsyncIterable[Campaign | int], languages: Sequence[Language]) -> None:
        self._campaigns = aiter(campaigns)
        self._languages = languages
        self._next: Iterator[_Lookup] = iter(())

    def __aiter__(self) -> "_Lookups":
        return self

    async def __anext__(self) -> _Lookup:
        while (lookup := next(self._next, None)) is None:
            campaign = await anext(self._campaigns)
            self._next = ((campaign, language) for language in self._languages)
        return lookup
