"""The compared clients, one class each: this library, and alternatives to it.

Each keeps at most 32 connections alive, sends the token, and raises for a status that is not 200. A client without its
own fan-out uses the same simple workers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

TOKEN = "measured"
LIMIT = 32


class Way:
    """A client that is opened with `async with`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def lookup(self, campaign: int) -> Any:
        """Return the German result codes of a campaign."""
        raise NotImplementedError

    async def list(self) -> Any:
        """Return all campaigns."""
        raise NotImplementedError

    async def fan_out(self, campaigns: Iterable[int]) -> int:
        """Look up the result codes of many campaigns, 32 at once, and return the number of responses."""
        return await by_workers(self.lookup, campaigns)


async def by_workers(function: Callable[[Any], Awaitable[Any]], items: Iterable[Any]) -> int:
    """Call a function with each item, 32 at once, and return the number of calls."""
    remaining = iter(items)
    done = 0

    async def work() -> None:
        nonlocal done
        for item in remaining:
            await function(item)
            done += 1

    await asyncio.gather(*(work() for _ in range(LIMIT)))
    return done


class Ours(Way):
    """This library with its defaults."""

    async def __aenter__(self) -> Self:
        from dialler_async import DiallerClient, PoolConfig

        self.client = DiallerClient(self.base_url, TOKEN, pool=PoolConfig(limit=LIMIT))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def lookup(self, campaign: int) -> Any:
        return await self.client.result_codes.list(campaign, language=2)

    async def list(self) -> Any:
        return await self.client.campaigns.list()

    async def fan_out(self, campaigns: Iterable[int]) -> int:
        done = 0
        outcomes = self.client.result_codes.for_campaigns(campaigns, languages=[2], concurrency=LIMIT)
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            done += 1
        return done


class Bare(Way):
    """aiohttp and orjson with as little code as possible: the limit for Python with these libraries."""

    async def __aenter__(self) -> Self:
        import aiohttp
        import orjson

        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=LIMIT),
            headers={"Authorization": f"Bearer {TOKEN}"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.decode = orjson.loads
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def _get(self, url: str) -> Any:
        async with self.session.get(url) as response:
            response.raise_for_status()
            return self.decode(await response.read())

    async def lookup(self, campaign: int) -> Any:
        return await self._get(f"{self.base_url}/dialler/campaigns/campaign/{campaign}/resultCodes?languagesID=2")

    async def list(self) -> Any:
        return await self._get(f"{self.base_url}/dialler/campaigns")


class Naive(Way):
    """aiohttp as most people use it."""

    async def __aenter__(self) -> Self:
        import aiohttp

        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LIMIT))
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def lookup(self, campaign: int) -> Any:
        url = f"{self.base_url}/dialler/campaigns/campaign/{campaign}/resultCodes"
        async with self.session.get(url, params={"languagesID": 2}, headers=self.headers) as response:
            response.raise_for_status()
            return await response.json()

    async def list(self) -> Any:
        async with self.session.get(f"{self.base_url}/dialler/campaigns", headers=self.headers) as response:
            response.raise_for_status()
            return await response.json()


class OpenapiGenerator(Way):
    """The client of openapi-generator (python, library asyncio), with pydantic models."""

    async def __aenter__(self) -> Self:
        import generated_by_openapi_generator as generated

        configuration = generated.Configuration(host=self.base_url, access_token=TOKEN)
        configuration.connection_pool_maxsize = LIMIT
        self.api = generated.ApiClient(configuration)
        self.result_codes = generated.ResultCodesApi(self.api)
        self.campaigns = generated.CampaignsApi(self.api)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.api.close()

    async def lookup(self, campaign: int) -> Any:
        return await self.result_codes.list_result_codes(campaign, 2)

    async def list(self) -> Any:
        return await self.campaigns.list_campaigns()


class OpenapiPythonClient(Way):
    """The client of openapi-python-client, with attrs models, on httpx."""

    async def __aenter__(self) -> Self:
        import generated_by_openapi_python_client as generated
        import httpx
        from generated_by_openapi_python_client.api.campaigns import list_campaigns
        from generated_by_openapi_python_client.api.result_codes import list_result_codes

        limits = httpx.Limits(max_connections=LIMIT, max_keepalive_connections=LIMIT)
        self.client = generated.AuthenticatedClient(
            base_url=self.base_url, token=TOKEN, httpx_args={"limits": limits}, raise_on_unexpected_status=True
        )
        self.list_result_codes = list_result_codes.asyncio
        self.list_campaigns = list_campaigns.asyncio
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def lookup(self, campaign: int) -> Any:
        return await self.list_result_codes(campaign, client=self.client, languages_id=2)

    async def list(self) -> Any:
        return await self.list_campaigns(client=self.client)


class Httpx(Way):
    """httpx without a client library."""

    async def __aenter__(self) -> Self:
        import httpx

        limits = httpx.Limits(max_connections=LIMIT, max_keepalive_connections=LIMIT)
        self.client = httpx.AsyncClient(limits=limits, headers={"Authorization": f"Bearer {TOKEN}"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def _get(self, url: str, **params: int) -> Any:
        response = await self.client.get(url, params=params)
        return response.raise_for_status().json()

    async def lookup(self, campaign: int) -> Any:
        url = f"{self.base_url}/dialler/campaigns/campaign/{campaign}/resultCodes"
        return await self._get(url, languagesID=2)

    async def list(self) -> Any:
        return await self._get(f"{self.base_url}/dialler/campaigns")


class Requests(Way):
    """requests in 32 threads."""

    async def __aenter__(self) -> Self:
        import requests
        from requests.adapters import HTTPAdapter

        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"
        self.session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=LIMIT))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.session.close()

    def _get(self, url: str, **params: int) -> Any:
        response = self.session.get(url, params=params, timeout=30)
        response.raise_for_status()
        return response.json()

    def _lookup(self, campaign: int) -> Any:
        return self._get(f"{self.base_url}/dialler/campaigns/campaign/{campaign}/resultCodes", languagesID=2)

    async def lookup(self, campaign: int) -> Any:
        return self._lookup(campaign)

    async def list(self) -> Any:
        return self._get(f"{self.base_url}/dialler/campaigns")

    async def fan_out(self, campaigns: Iterable[int]) -> int:
        with ThreadPoolExecutor(LIMIT) as threads:
            return sum(1 for _ in threads.map(self._lookup, campaigns))


WAYS: dict[str, type[Way]] = {
    "ours": Ours,
    "bare": Bare,
    "naive": Naive,
    "openapi-generator": OpenapiGenerator,
    "openapi-python-client": OpenapiPythonClient,
    "httpx": Httpx,
    "requests": Requests,
}
