"""Records in responses of FastAPI, and in pydantic's models."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import pydantic
import pytest
from fastapi import Body, FastAPI
from fastapi.testclient import TestClient

from dialler_async import Campaign, Records, ResultCode
from dialler_async.models import Record, wire_keys
from dialler_async.testing import make_campaign, make_result_code

CAMPAIGN = make_campaign(id=535, name="Summer", dt_to=datetime(2026, 7, 1, 12, tzinfo=UTC), caller_id_active=True)
CODE = make_result_code(id=7, export_key="OK")


@pytest.fixture
def browser() -> TestClient:
    """Return a browser of an app that returns and takes records."""
    app = FastAPI()

    @app.get("/campaign")
    async def campaign() -> Campaign:
        return CAMPAIGN

    @app.get("/list")
    async def campaigns() -> list[Campaign]:
        return [CAMPAIGN]

    @app.get("/records")
    async def records() -> Records[Campaign]:
        return Records(items=[CAMPAIGN, CAMPAIGN], total=2)

    @app.get("/codes")
    async def codes() -> dict[str, Records[ResultCode]]:
        return {"English": Records(items=[CODE], total=1)}

    @app.post("/campaign")
    async def renamed(campaign: Annotated[Campaign, Body()]) -> str:
        return campaign.name

    return TestClient(app)


def in_json(record: Record) -> dict[str, Any]:
    """Return the attributes as pydantic sends them."""
    ends = {"dt_to": "2026-07-01T12:00:00Z"} if record is CAMPAIGN else {}
    return record.to_dict() | ends


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/campaign", in_json(CAMPAIGN)),
        ("/list", [in_json(CAMPAIGN)]),
        ("/records", [in_json(CAMPAIGN)] * 2),
        ("/codes", {"English": [in_json(CODE)]}),
    ],
)
def test_record_as_a_return_type_is_sent_by_attribute_names(browser: TestClient, path: str, expected: object) -> None:
    response = browser.get(path)
    assert (response.status_code, response.json()) == (200, expected)


def test_openapi_describes_the_attributes_of_a_record(browser: TestClient) -> None:
    schemas = browser.get("/openapi.json").json()["components"]["schemas"]
    for kind in (Campaign, ResultCode):
        assert list(schemas[kind.__name__]["properties"]) == list(wire_keys(kind))
    properties = schemas["Campaign"]["properties"]
    assert properties["name"]["type"] == "string"
    assert properties["dt_to"]["anyOf"] == [{"type": "string", "format": "date-time"}, {"type": "null"}]


def test_record_in_a_request_body_is_validated(browser: TestClient) -> None:
    assert browser.post("/campaign", json=in_json(CAMPAIGN)).json() == "Summer"
    assert browser.post("/campaign", json=in_json(CAMPAIGN) | {"name": None}).status_code == 422


@pytest.mark.parametrize("type_", [Campaign, Records[Campaign], Records])
def test_pydantic_refuses_other_objects(type_: Any) -> None:
    with pytest.raises(pydantic.ValidationError, match=type_.__name__):
        pydantic.TypeAdapter(type_).validate_python("Summer")


def test_model_with_a_record_is_restored_from_its_json() -> None:
    class Job(pydantic.BaseModel):
        campaign: Campaign

    restored = Job.model_validate_json(Job(campaign=CAMPAIGN).model_dump_json())
    assert restored.campaign == CAMPAIGN
    assert Job(campaign=CAMPAIGN).campaign is CAMPAIGN


def test_records_do_not_import_pydantic() -> None:
    code = "import sys, dialler_async.models; print(*{'pydantic', 'pydantic_core'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
