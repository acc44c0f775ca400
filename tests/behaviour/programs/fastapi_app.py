"""A FastAPI app that uses the dialler: `uvicorn fastapi_app:app`."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict

from dialler_async import Campaign, DiallerClient, Language, Records, ResultCode
from dialler_async.contrib.fastapi import Dialler, add_error_handlers, lifespan

app = FastAPI(lifespan=lifespan(DiallerClient.from_env))
add_error_handlers(app)


class CampaignOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int | None
    name: str
    user_data: str | None
    dt_from: datetime | None
    dt_to: datetime | None


class CodeOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    export_key: str | None
    content: str | None


class NewCampaign(BaseModel):
    template: str
    name: str
    user_data: str | None = None


@app.get("/campaigns", response_model=list[CampaignOut])
async def list_campaigns(dialler: Dialler, name: str | None = None) -> Records[Campaign]:
    if name is None:
        return await dialler.campaigns.list(max_age=10)
    return await dialler.campaigns.find(name)


@app.get("/campaigns/{id}", response_model=CampaignOut)
async def get_campaign(id: int, dialler: Dialler) -> Campaign:
    return await dialler.campaigns.get(id)


@app.get("/campaigns/{id}/wire")
async def get_wire(id: int, dialler: Dialler) -> dict[str, Any]:
    return dict((await dialler.campaigns.get(id)).wire)


@app.get("/campaigns/{id}/codes", response_model=list[CodeOut])
async def list_codes(id: int, dialler: Dialler, language: int = Language.ENGLISH) -> Records[ResultCode]:
    return await dialler.result_codes.list(id, language=language, max_age=60)


@app.post("/campaigns", response_model=CampaignOut)
async def create_campaign(new: NewCampaign, response: Response, dialler: Dialler) -> Campaign:
    campaign, created = await dialler.campaigns.get_or_clone(new.template, new.name, user_data=new.user_data)
    response.status_code = 201 if created else 200
    return campaign


@app.delete("/campaigns/{id}", status_code=204)
async def delete_campaign(id: int, dialler: Dialler) -> None:
    await dialler.campaigns.delete(id, missing_ok=True)
