"""What the error of a request says about its call, besides the message."""

from typing import TypeVar

from ..errors import RequestError

E = TypeVar("E", bound=RequestError)


def with_about(error: E, about: str) -> E:
    """Return the error with a text that says what its call was about. A traceback shows the text as a note."""
    error.about = about
    if about:
        error.add_note(about)
    return error


def in_place_of(error: E, original: RequestError) -> E:
    """Return the error with the request, attempts, response and `about` of the error that it replaces."""
    error.request = original.request
    error.attempts = original.attempts
    error.response = original.response
    return with_about(error, original.about)
