"""A Starlette app. There is no integration for Starlette: `error_responses` has what an app of any framework needs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dialler_async import Campaign, DiallerClient, DiallerError, Language
from dialler_async.contrib.error_responses import logged_response_for, worst_error


class State(TypedDict):
    dialler: DiallerClient


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[State, None]:
    async with DiallerClient.from_env() as dialler:
        yield {"dialler": dialler}


async def respond_to_error(request: Request, error: Exception) -> Response:
    worst = worst_error(error)
    if worst is None:
        raise error
    response = logged_response_for(worst)
    return JSONResponse(dict(response.body), response.status, dict(response.headers))


def client(request: Request) -> DiallerClient:
    dialler: DiallerClient = request.state.dialler
    return dialler


def to_json(campaign: Campaign) -> dict[str, object]:
    return {"id": campaign.id, "name": campaign.name, "user_data": campaign.user_data}


async def list_campaigns(request: Request) -> Response:
    name = request.query_params.get("name")
    campaigns = client(request).campaigns
    found = await (campaigns.list(max_age=10) if name is None else campaigns.find(name))
    return JSONResponse([to_json(campaign) for campaign in found])


async def get_campaign(request: Request) -> Response:
    return JSONResponse(to_json(await client(request).campaigns.get(request.path_params["id"])))


async def get_wire(request: Request) -> Response:
    return JSONResponse((await client(request).campaigns.get(request.path_params["id"])).wire)


async def list_codes(request: Request) -> Response:
    language = Language(int(request.query_params.get("language", "1")))
    codes = await client(request).result_codes.list(request.path_params["id"], language=language, max_age=60)
    return JSONResponse([{"export_key": code.export_key, "content": code.content} for code in codes])


async def create_campaign(request: Request) -> Response:
    new: dict[str, str] = await request.json()
    campaign, created = await client(request).campaigns.get_or_clone(
        new["template"], new["name"], user_data=new.get("user_data")
    )
    return JSONResponse(to_json(campaign), 201 if created else 200)


async def delete_campaign(request: Request) -> Response:
    await client(request).campaigns.delete(request.path_params["id"], missing_ok=True)
    return Response(status_code=204)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/campaigns", list_campaigns),
        Route("/campaigns", create_campaign, methods=["POST"]),
        Route("/campaigns/{id:int}", get_campaign),
        Route("/campaigns/{id:int}", delete_campaign, methods=["DELETE"]),
        Route("/campaigns/{id:int}/wire", get_wire),
        Route("/campaigns/{id:int}/codes", list_codes),
    ],
    exception_handlers={DiallerError: respond_to_error, ExceptionGroup: respond_to_error},
)
