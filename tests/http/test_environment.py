"""Client options by environment variables."""

import pytest

from dialler_async import ConfigurationError, DiallerClient, PoolConfig, RetryPolicy, Timeouts
from dialler_async._http.environment import network_options
from dialler_async.sandbox import Sandbox

POOL, RETRY, TIMEOUTS = PoolConfig(limit=7), RetryPolicy(base_delay=2), Timeouts(read=9)


def options(**environ: str) -> dict[str, object]:
    variables = {f"DIALLER_{name.upper()}": value for name, value in environ.items()}
    return {**network_options(variables, pool=POOL, retry=RETRY, timeouts=TIMEOUTS)}


def test_without_variables_nothing_changes() -> None:
    assert options() == {"pool": POOL, "retry": RETRY, "timeouts": TIMEOUTS}


def test_each_variable_changes_its_option_and_no_other() -> None:
    changed = options(
        ca_file="ca.pem",
        client_cert="cert.pem",
        client_key="key.pem",
        proxy="http://p:1",
        max_rate="2.5",
        deadline="90",
        attempts="3",
    )
    assert changed == {
        "pool": PoolConfig(limit=7, ca_file="ca.pem", client_cert="cert.pem", client_key="key.pem", proxy="http://p:1"),
        "retry": RetryPolicy(base_delay=2, attempts=3),
        "timeouts": Timeouts(read=9, deadline=90.0),
        "max_rate": 2.5,
    }


def test_an_empty_proxy_switches_proxies_off_and_other_empty_variables_do_nothing() -> None:
    changed = options(proxy="", ca_file="", attempts="", deadline="", max_rate="")
    assert changed == {"pool": PoolConfig(limit=7, proxy=None), "retry": RETRY, "timeouts": TIMEOUTS}


@pytest.mark.parametrize("name", ["attempts", "deadline", "max_rate"])
@pytest.mark.parametrize(
    "value", ["0", "-1", "5_3", "0x5", "nan", "inf", "1e3", "٣", " 5", "5 ", "five", "0.0", "1" * 400]
)
def test_number_that_is_not_plain_digits_is_refused_by_name(name: str, value: str) -> None:
    option = "--" + name.replace("_", "-")
    with pytest.raises(
        ConfigurationError, match=rf"DIALLER_{name.upper()} \({option}\) is a positive number in digits"
    ):
        options(**{name: value})


def test_attempts_are_whole() -> None:
    with pytest.raises(ConfigurationError, match="DIALLER_ATTEMPTS"):
        options(attempts="2.5")


async def test_from_env_reads_them_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(1) as sandbox:
        monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", sandbox.token)
        monkeypatch.setenv("DIALLER_CA_FILE", "/no/such/file.pem")
        with pytest.raises(ConfigurationError, match=r"can't load the CA file /no/such/file\.pem: No such file"):
            DiallerClient.from_env()
        async with DiallerClient.from_env(pool=PoolConfig()) as dialler:
            assert len(await dialler.campaigns.list()) == 1
