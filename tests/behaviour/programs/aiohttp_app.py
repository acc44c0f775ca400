"""An aiohttp.web app that uses the dialler: `python aiohttp_app.py`."""

from typing import Any

from aiohttp import web

from dialler_async import Campaign, DiallerClient, Language
from dialler_async.contrib.aiohttp_web import DIALLER, dialler_context, dialler_errors

routes = web.RouteTableDef()


def campaign_id(request: web.Request) -> int:
    return int(request.match_info["id"])


def to_json(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "user_data": campaign.user_data,
        "dt_from": None if campaign.dt_from is None else campaign.dt_from.isoformat(),
        "dt_to": None if campaign.dt_to is None else campaign.dt_to.isoformat(),
    }


@routes.get("/campaigns")
async def list_campaigns(request: web.Request) -> web.Response:
    campaigns = request.app[DIALLER].campaigns
    name = request.query.get("name")
    found = await (campaigns.list(max_age=10) if name is None else campaigns.find(name))
    return web.json_response([to_json(campaign) for campaign in found])


@routes.get(r"/campaigns/{id:\d+}")
async def get_campaign(request: web.Request) -> web.Response:
    return web.json_response(to_json(await request.app[DIALLER].campaigns.get(campaign_id(request))))


@routes.get(r"/campaigns/{id:\d+}/wire")
async def get_wire(request: web.Request) -> web.Response:
    return web.json_response(dict((await request.app[DIALLER].campaigns.get(campaign_id(request))).wire))


@routes.get(r"/campaigns/{id:\d+}/codes")
async def list_codes(request: web.Request) -> web.Response:
    language = Language(int(request.query.get("language", "1")))
    codes = await request.app[DIALLER].result_codes.list(campaign_id(request), language=language, max_age=60)
    return web.json_response([{"export_key": code.export_key, "content": code.content} for code in codes])


@routes.post("/campaigns")
async def create_campaign(request: web.Request) -> web.Response:
    new: dict[str, str] = await request.json()
    campaign, created = await request.app[DIALLER].campaigns.get_or_clone(
        new["template"], new["name"], user_data=new.get("user_data")
    )
    return web.json_response(to_json(campaign), status=201 if created else 200)


@routes.delete(r"/campaigns/{id:\d+}")
async def delete_campaign(request: web.Request) -> web.Response:
    await request.app[DIALLER].campaigns.delete(campaign_id(request), missing_ok=True)
    return web.Response(status=204)


def make_app() -> web.Application:
    app = web.Application(middlewares=[dialler_errors])
    app.cleanup_ctx.append(dialler_context(DiallerClient.from_env))
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(make_app())
