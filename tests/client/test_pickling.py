"""Values can be pickled and copied, and are equal afterwards."""

import copy
import pickle
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from dialler_async import (
    Campaign,
    DiallerClient,
    Language,
    PoolConfig,
    Records,
    ResultCode,
    RetryPolicy,
    SentRequest,
    Timeouts,
)
from dialler_async.sandbox import Sandbox

REQUEST = SentRequest("GET", "/dialler/campaigns")
CAMPAIGN = Campaign(id=535, name="Sömmer", dt_from=datetime(2026, 1, 2, 3, 4, 5), dt_to=datetime.now(UTC))  # noqa: DTZ001  naive, as the server sends it
VALUES: list[Any] = [
    PoolConfig(limit=3, max_body=5),
    RetryPolicy(attempts=2),
    Timeouts(read=1),
    REQUEST,
    CAMPAIGN,
    ResultCode(id=1, content="Sale", done=True, time_offset=None),
    Records(items=[CAMPAIGN], total=1, order_by="Name", ascending=True),
    Records(items=(), total=0),
    Language.GERMAN,
    Language(7),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_unpickled_values_are_equal(value: Any, protocol: int) -> None:
    back = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  our own bytes
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    assert copy.deepcopy(value) == value


async def test_unpickled_records_have_all_that_the_server_sent() -> None:
    async with Sandbox(5, filler_keys=4) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        campaigns = await dialler.campaigns.list()
        codes = await dialler.result_codes.list(campaigns[0])
    for records in (campaigns, codes):
        back = pickle.loads(pickle.dumps(records))  # noqa: S301  our own bytes
        assert back == records
        assert [one.wire for one in back] == [one.wire for one in records]
        assert (back.total, back.order_by) == (records.total, records.order_by)


def test_pickle_of_a_pool_config_with_an_ssl_context_raises() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(PoolConfig(ssl=ssl.create_default_context()))
