"""The response of a web app to each error. It does not contain the error's text."""

import logging
import subprocess
import sys

import pytest

import dialler_async.errors as errors_module
from dialler_async import errors
from dialler_async.contrib.error_responses import logged_response_for, response_for, worst_error

SECRET = "s3cret-Müller"
SENT = errors.SentRequest("GET", "/dialler/campaigns/{DiallerCampaignsID}")
STATUSES = {
    "DiallerError": 502,
    "ConfigurationError": 500,
    "InvalidInputError": 400,
    "ClientStateError": 500,
    "ClientClosedError": 503,
    "RequestError": 502,
    "NoReplyError": 503,
    "ConnectError": 503,
    "DeadlineError": 503,
    "OutcomeUnknownError": 502,
    "StatusError": 502,
    "RedirectError": 502,
    "BadRequestError": 400,
    "AuthenticationError": 502,
    "NotFoundError": 404,
    "EndpointNotFoundError": 502,
    "ConflictError": 409,
    "RateLimitedError": 503,
    "ServerError": 503,
    "PayloadError": 502,
    "AmbiguousNameError": 409,
    "TokenSourceError": 502,
    "InvalidTokenError": 502,
    "ItemCancelledError": 502,
}
KINDS = {
    name: kind
    for name, kind in vars(errors_module).items()
    if isinstance(kind, type) and issubclass(kind, errors.DiallerError)
}


def test_every_error_class_has_its_status() -> None:
    assert {name: response_for(kind(SECRET)).status for name, kind in KINDS.items()} == STATUSES


@pytest.mark.parametrize("kind", KINDS.values())
def test_only_the_log_of_a_mistake_contains_the_text_of_the_error(
    kind: type[errors.DiallerError], caplog: pytest.LogCaptureFixture
) -> None:
    error = kind(SECRET)
    vars(error).update(message=SECRET, location=SECRET, excerpt=SECRET)
    with caplog.at_level(logging.DEBUG):
        response = logged_response_for(error)
    assert SECRET not in str(response)
    assert (SECRET in caplog.text) == (response.status == 500)
    assert list(response.body) == ["detail"]
    assert response.headers == {}
    assert bool(caplog.records) == (response.status >= 500)


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.RateLimitedError(retry_after=3.2), {"Retry-After": "4"}),
        (errors.ServerError(retry_after=0.0), {"Retry-After": "0"}),
        (errors.ServerError(retry_after=float("inf")), {}),
        (errors.ServerError(), {}),
        (errors.ConflictError(retry_after=3), {}),
        (errors.RedirectError(retry_after=3), {}),
    ],
)
def test_503_has_retry_after_if_the_error_has_a_finite_value(
    error: errors.StatusError, headers: dict[str, str]
) -> None:
    assert response_for(error).headers == headers


def test_log_line_names_request_error_class_and_status(caplog: pytest.LogCaptureFixture) -> None:
    logged_response_for(errors.ServerError(status=500, request=SENT))
    logged_response_for(errors.ClientClosedError())
    logged_response_for(errors.ConfigurationError("an ID must be an int, not str"))
    assert caplog.messages == [
        "GET /dialler/campaigns/{DiallerCampaignsID}: ServerError, 500; responded with 503",
        "a call to the dialler: ClientClosedError, no status; responded with 503",
        "ConfigurationError: an ID must be an int, not str; responded with 500",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "ERROR"]
    assert caplog.records[-1].exc_info


GROUPED = [
    errors.NotFoundError(),
    errors.BadRequestError(),
    errors.ConflictError(),
    errors.ServerError(),
    errors.RateLimitedError(retry_after=5),
    errors.AuthenticationError(),
    errors.ConfigurationError(),
    errors.OutcomeUnknownError(),
]


def test_worst_error_of_a_group_does_not_depend_on_its_order() -> None:
    for number in range(1, len(GROUPED) + 1):
        for some in (GROUPED[:number], GROUPED[:number][::-1]):
            assert worst_error(ExceptionGroup("", some)) is GROUPED[number - 1]


def test_worst_error_looks_into_nested_groups() -> None:
    nested = ExceptionGroup("", [ExceptionGroup("", [errors.NotFoundError()]), errors.ConflictError()])
    assert worst_error(nested) == errors.ConflictError()


def test_group_with_an_error_of_the_app_has_no_response() -> None:
    assert worst_error(ExceptionGroup("", [errors.NotFoundError(), ValueError()])) is None
    assert worst_error(ValueError()) is None


LOG_IN_AN_APP = """
import logging
{setup}
from dialler_async.client import DiallerClient
from dialler_async.contrib.error_responses import logged_response_for
from dialler_async.errors import AuthenticationError
logged_response_for(AuthenticationError(status=401))
"""
LINE = "None: AuthenticationError, 401; responded with 502"


@pytest.mark.parametrize(
    ("setup", "printed"),
    [
        ("", LINE),
        ("import uvicorn; uvicorn.Config('app:app')", LINE),
        ("logging.basicConfig()", f"WARNING:dialler_async.contrib:{LINE}"),
        ("logging.getLogger('dialler_async').addHandler(logging.StreamHandler())", LINE),
        ("logging.getLogger('dialler_async').setLevel(logging.ERROR)", ""),
    ],
    ids=["no logging", "uvicorn's default", "root handler", "handler of the library", "switched off"],
)
def test_wrong_token_is_logged_once_with_any_logging_setup(setup: str, printed: str) -> None:
    program = LOG_IN_AN_APP.format(setup=setup)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == printed
