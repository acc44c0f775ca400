"""Which answer a web app gives to which error, and that nothing from inside is in it."""

import logging

import pytest

import dialler_async.errors as errors_module
from dialler_async import errors
from dialler_async.contrib.error_answers import answer_for, logged_answer_for

SECRET = "s3cret-Müller"
SENT = errors.SentRequest("GET", "/dialler/campaigns/{DiallerCampaignsID}")
STATUSES = {
    "DiallerError": 502,
    "ConfigurationError": 400,
    "ClientStateError": 503,
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


def test_every_error_has_its_answer() -> None:
    assert {name: answer_for(kind(SECRET)).status for name, kind in KINDS.items()} == STATUSES


@pytest.mark.parametrize("kind", KINDS.values())
def test_what_the_error_says_is_not_in_the_answer_nor_in_the_log(
    kind: type[errors.DiallerError], caplog: pytest.LogCaptureFixture
) -> None:
    error = kind(SECRET)
    vars(error).update(message=SECRET, location=SECRET, excerpt=SECRET)
    with caplog.at_level(logging.DEBUG):
        answer = logged_answer_for(error)
    assert SECRET not in f"{answer} {caplog.text}"
    assert list(answer.body) == ["detail"]
    assert answer.headers == {}
    assert bool(caplog.records) == (answer.status >= 500)


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
def test_retry_after_is_told_where_it_is_known_and_makes_sense(
    error: errors.StatusError, headers: dict[str, str]
) -> None:
    assert answer_for(error).headers == headers


def test_the_log_says_which_call_failed_and_how(caplog: pytest.LogCaptureFixture) -> None:
    logged_answer_for(errors.ServerError(status=500, request=SENT))
    logged_answer_for(errors.ClientStateError())
    assert caplog.messages == [
        "GET /dialler/campaigns/{DiallerCampaignsID}: ServerError, 500; answered with 503",
        "a call to the dialler: ClientStateError, no status; answered with 503",
    ]
