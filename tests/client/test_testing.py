"""The tools for users' own tests: factories of records, instant waits, and the pytest plugin."""

import contextlib
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from aioresponses import aioresponses

from dialler_async import DiallerClient, Language, PayloadError, RetryPolicy
from dialler_async import testing as testing_module
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Sandbox, faults
from dialler_async.testing import Status, instant_waits, make_campaign, make_result_code, patch_aioresponses

pytestmark = pytest.mark.slow


async def test_client_reads_a_factory_campaign_from_the_sandbox(sandbox: Sandbox) -> None:
    campaign = make_campaign(
        id=7,
        name="Müller & Söhne",
        languages_id=Language.GERMAN,
        caller_id_active=True,
        dt_from=datetime(2026, 1, 31, 8, 30),  # noqa: DTZ001  as the server prints it
        dt_to=datetime(2026, 2, 1, tzinfo=timezone(timedelta(hours=1))),
        extra={"Column01": [1, None]},
    )
    sandbox.load(campaign.wire)
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        found = await dialler.campaigns.get(7)
    assert found == campaign
    assert found.wire == campaign.wire
    assert campaign.wire["dtFrom"] == "2026-01-31T08:30:00"
    assert campaign.wire["nMaxParallelLines"] is None
    assert campaign.extra == {"Column01": [1, None]}


async def test_client_reads_factory_result_codes_from_the_sandbox(sandbox: Sandbox) -> None:
    english = [make_result_code(id=1, export_key="OK"), make_result_code(id=2, delay=True, time_offset=15)]
    german = [make_result_code(id=1, content="Erledigt"), make_result_code(id=2, content="Später", delay=True)]
    campaign = make_campaign()
    sandbox.load(
        campaign.wire,
        codes={language: [code.wire for code in codes] for language, codes in ((1, english), (2, german))},
    )
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        assert await dialler.result_codes.list(campaign) == english
        assert await dialler.result_codes.list(campaign, language=Language.GERMAN) == german
    assert [(code.done, code.delay, code.aborted, code.content) for code in english] == [
        (True, False, False, "Done"),
        (False, True, False, "Delay"),
    ]
    assert make_result_code(done=False).done is False


def test_records_made_without_arguments_differ() -> None:
    one, other = make_campaign(), make_campaign()
    assert one.id != other.id
    assert one.name != other.name
    assert make_result_code().id != make_result_code().id


def test_unknown_attributes_and_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="a Campaign has no attribute dt_till, nme"):
        make_campaign(nme="x", dt_till=None)
    with pytest.raises(TypeError, match="a ResultCode has no attribute finished"):
        make_result_code(finished=True)
    with pytest.raises(PayloadError, match="bCallerIDActive is 'yes'"):
        make_campaign(caller_id_active="yes")


def test_all_faults_of_the_sandbox_are_exported() -> None:
    kinds = {name for name, kind in vars(faults).items() if isinstance(kind, type) and issubclass(kind, faults.Fault)}
    assert kinds <= set(testing_module.__all__)
    assert all(getattr(testing_module, name) is getattr(faults, name) for name in kinds)


async def test_instant_waits_take_no_time_and_are_listed(sandbox: Sandbox) -> None:
    sandbox.faults.next(Status(503, retry_after=50), Status(429, retry_after=60))
    started_at = time.monotonic()
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(base_delay=0)) as dialler:
        with instant_waits() as waits:
            assert await dialler.campaigns.list()
            assert sum(waits) >= 110
            assert CLOCK.monotonic() - time.monotonic() >= 109
            assert CLOCK.now() - datetime.now(UTC) >= timedelta(seconds=109)
    assert time.monotonic() - started_at < 50


async def test_cached_responses_expire_in_instant_waits(sandbox: Sandbox) -> None:
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        id = next(iter(sandbox.campaigns))
        with instant_waits():
            await dialler.result_codes.list(id, max_age=60)
            await CLOCK.sleep(61)
            await dialler.result_codes.list(id, max_age=60)
    assert len(sandbox.journal) == 2


def test_waits_are_real_again_after_instant_waits() -> None:
    before = (CLOCK.sleep, CLOCK.now, CLOCK.random)
    with contextlib.suppress(LookupError), instant_waits():
        assert CLOCK.sleep is not before[0]
        raise LookupError
    assert (CLOCK.sleep, CLOCK.now, CLOCK.random) == before


async def test_call_after_instant_waits_does_not_wait_for_a_pause_inside(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(CLOCK, "sleep", sleep)
    monkeypatch.setattr(CLOCK, "monotonic", CLOCK.monotonic)
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(base_delay=0)) as dialler:
        for _ in range(2):
            sandbox.faults.next(Status(429, retry_after=8))
            with instant_waits() as waits:
                await dialler.campaigns.list()
            assert sum(waits) >= 8
        await dialler.campaigns.list()
    assert slept == []


async def test_aioresponses_works_with_the_patch() -> None:
    with patch_aioresponses(), aioresponses() as server:
        server.get("https://acd.example.com/rest/v1.0/1/dialler/campaigns/7", payload={"records": [{"Name": "Summer"}]})
        async with DiallerClient("https://acd.example.com/rest/v1.0/1", "token") as dialler:
            assert (await dialler.campaigns.get(7)).name == "Summer"


USERS_TEST = """
    import pytest
    from dialler_async.testing import make_campaign

    {mark}
    async def test_users_own(dialler_sandbox, dialler_client):
        assert len(await dialler_client.campaigns.list()) == 0
        campaign = make_campaign(name="Summer")
        dialler_sandbox.load(campaign.wire)
        assert await dialler_client.campaigns.get_by_name("Summer") == campaign
        await dialler_client.campaigns.delete(campaign)
        assert not dialler_sandbox.campaigns

    {mark}
    async def test_users_next(dialler_sandbox):
        assert not dialler_sandbox.journal
"""


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> pytest.Pytester:
    """The fixture `pytester`, in a project that raises warnings as errors."""
    pytester.makeini("""
        [pytest]
        filterwarnings = error
        asyncio_debug = true
        asyncio_default_fixture_loop_scope = function
    """)
    return pytester


@pytest.mark.parametrize(("mode", "mark"), [("auto", ""), ("strict", "@pytest.mark.asyncio")])
def test_fixtures_work_in_every_mode_of_pytest_asyncio(pytester: pytest.Pytester, mode: str, mark: str) -> None:
    pytester.makepyfile(USERS_TEST.format(mark=mark))
    result = pytester.runpytest_subprocess("-o", f"asyncio_mode={mode}")
    result.assert_outcomes(passed=2)


def test_fixtures_work_with_anyio_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makeini("""
        [pytest]
        filterwarnings = error
    """)
    pytester.makeconftest("""
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
    """)
    pytester.makepyfile(USERS_TEST.format(mark="@pytest.mark.anyio"))
    # The plugin is disabled, as if it were not installed.
    pytester.makepyfile(pytest_asyncio="raise ImportError('not there')")
    result = pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:cov")
    result.assert_outcomes(passed=2)


def test_sandbox_fixture_serves_synchronous_tests_without_any_plugin(pytester: pytest.Pytester) -> None:
    pytester.makeini("""
        [pytest]
        filterwarnings = error
    """)
    pytester.makepyfile("""
        import urllib.request
        from dialler_async.testing import make_campaign

        def test_users_own(dialler_sandbox):
            dialler_sandbox.load(make_campaign(id=7).wire)
            url = dialler_sandbox.base_url + "/dialler/campaigns/7"
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {dialler_sandbox.token}"})
            with urllib.request.urlopen(request, timeout=10) as response:
                assert response.status == 200
    """)
    pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:anyio").assert_outcomes(passed=1)


def test_fixture_of_the_same_name_replaces_the_empty_sandbox(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest_asyncio
        from dialler_async.testing import Sandbox

        @pytest_asyncio.fixture
        async def dialler_sandbox():
            async with Sandbox(campaigns=3, seed=1) as sandbox:
                yield sandbox

        async def test_users_own(dialler_client):
            assert len(await dialler_client.campaigns.list()) == 3
    """)
    pytester.runpytest_subprocess("-o", "asyncio_mode=auto").assert_outcomes(passed=1)


def test_plugin_imports_the_library_only_for_its_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_users_own(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("dialler_async")
            assert "dialler_async.pytest_plugin" in sys.modules
            assert {"dialler_async.client", "aiohttp", "msgspec"}.isdisjoint(sys.modules)
    """)
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_fixtures_have_descriptions(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures")
    result.stdout.fnmatch_lines(["dialler_sandbox*", "*Yield a running sandbox without campaigns*"])
    result.stdout.fnmatch_lines(["dialler_client*", "*Yield a client of `dialler_sandbox`*"])
