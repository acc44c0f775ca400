"""The response of a call at hand: `with_options(on_response=…)`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dialler_async import ConfigurationError, DiallerClient, ObservedCall, Observer, ResponseInfo, RetryPolicy
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Status

BODY = b'{"records": [{"ID": 535, "Name": "Summer"}], "count": 1, "status": 200}'


async def test_response_of_a_successful_call_has_status_headers_and_request_id(sandbox: Sandbox) -> None:
    headers = {"X-Request-ID": "r-7", "Set-Cookie": "session=s3cret", "Content-Type": "application/json"}
    sandbox.faults.next(CannedResponse(200, BODY, headers))
    responses: list[ResponseInfo] = []
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        campaign = await dialler.with_options(on_response=responses.append).campaigns.get(535)
        await dialler.campaigns.list()
    assert campaign.name == "Summer"
    [response] = responses
    assert (response.status, response.request_id) == (200, "r-7")
    assert response.headers["set-cookie"] == "***"
    assert abs((datetime.now(UTC) - response.received_at).total_seconds()) < 60


async def test_each_response_of_a_retried_call_is_passed_also_to_the_observer(sandbox: Sandbox) -> None:
    class Recorder(Observer):
        def response_received(self, call: ObservedCall, response: ResponseInfo) -> None:
            observed.append(response)

    observed: list[ResponseInfo] = []
    responses: list[ResponseInfo] = []
    sandbox.faults.next(Status(503, retry_after=0))
    retry = RetryPolicy(base_delay=0)
    async with DiallerClient(sandbox.base_url, sandbox.token, observer=Recorder(), retry=retry) as dialler:
        group = dialler.with_options(on_response=responses.append)
        # Options that are added later keep the function.
        await group.with_options(headers={"X-Own": "1"}).campaigns.list()
    assert [response.status for response in responses] == [503, 200]
    assert observed == responses


async def test_cached_response_is_not_passed_again(sandbox: Sandbox) -> None:
    responses: list[ResponseInfo] = []
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        group = dialler.with_options(on_response=responses.append)
        for _ in range(2):
            await group.campaigns.list(max_age=60)
    assert len(responses) == len(sandbox.journal) == 1


async def test_error_of_the_function_does_not_fail_a_call(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    def fail(response: ResponseInfo) -> None:
        raise LookupError("s3cret")

    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        template = next(iter(sandbox.campaigns.values()))["Name"]
        assert (await dialler.with_options(on_response=fail).campaigns.clone(template, "Monday")).name == "Monday"
    assert "on_response raised LookupError" in [record.getMessage() for record in caplog.records]
    assert "s3cret" not in caplog.text


async def test_function_that_is_not_callable_is_refused(sandbox: Sandbox) -> None:
    wrong: Any = []
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        with pytest.raises(ConfigurationError, match="on_response=… must be a function"):
            dialler.with_options(on_response=wrong)
