"""Client options from environment variables."""

import pytest

from dialler_async import ConfigurationError, DiallerClient, PoolConfig, RetryPolicy, Timeouts
from dialler_async._environment import network_options
from dialler_async.sandbox import Sandbox


def options(**environ: str) -> dict[str, object]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in environ.items():
            monkeypatch.setenv(f"DIALLER_{name.upper()}", value)
        return {**network_options()}


def test_no_variables_set_no_options() -> None:
    assert options() == {}


def test_each_variable_sets_its_option_and_no_other() -> None:
    assert options(
        ca_file="ca.pem",
        client_cert="cert.pem",
        client_key="key.pem",
        proxy="http://p:1",
        max_rate="2.5",
        deadline="90",
        attempts="3",
    ) == {
        "pool": PoolConfig(ca_file="ca.pem", client_cert="cert.pem", client_key="key.pem", proxy="http://p:1"),
        "retry": RetryPolicy(attempts=3),
        "timeouts": Timeouts(deadline=90.0),
        "max_rate": 2.5,
    }
    assert options(deadline="1.5") == {"timeouts": Timeouts(deadline=1.5)}


def test_empty_proxy_means_no_proxy_and_other_empty_variables_count_as_missing() -> None:
    assert options(ca_file="", client_cert="", client_key="", attempts="", deadline="", max_rate="") == {}
    assert options(proxy="") == {"pool": PoolConfig(proxy=None)}


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("attempts", "a whole number in digits, 1 or more"),
        ("deadline", "a number above 0 in digits"),
        ("max_rate", "a number above 0 in digits"),
    ],
)
@pytest.mark.parametrize(
    "value", ["0", "-1", "5_3", "0x5", "nan", "inf", "1e3", "٣", " 5", "5 ", "5\n", "five", "0.0", "1" * 400]
)
def test_number_that_is_not_plain_digits_is_refused(name: str, accepted: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DIALLER_{name.upper()} must be {accepted}"):
        options(**{name: value})


def test_fractional_attempts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="DIALLER_ATTEMPTS"):
        options(attempts="2.5")


@pytest.mark.parametrize("name", ["DIALLER_BASE_URL", "DIALLER_TOKEN"])
def test_from_env_names_the_missing_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DIALLER_BASE_URL", "https://acd.example.com/rest/v1.0/1")
    monkeypatch.setenv("DIALLER_TOKEN", "abc-123")
    monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        DiallerClient.from_env()


async def test_from_env_reads_the_environment_and_arguments_override_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(1) as sandbox:
        monkeypatch.setenv("DIALLER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("DIALLER_TOKEN", sandbox.token)
        monkeypatch.setenv("DIALLER_CA_FILE", "/no/such/file.pem")
        with pytest.raises(ConfigurationError, match=r"can't load the CA file /no/such/file\.pem: "):
            DiallerClient.from_env()
        async with DiallerClient.from_env(pool=PoolConfig()) as dialler:
            assert len(await dialler.campaigns.list()) == 1
