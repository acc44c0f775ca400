"""Questions to the user. They are printed on stderr."""

import signal
import sys

from .exits import UsageError


def ask(question: str) -> str:
    """Return the stripped line that the user types after a question, or "" at the end of the input.

    Raises:
        UsageError: the line can't be decoded.
    """
    # asyncio's handler only cancels the task at Ctrl-C, but the task is blocked in `readline`.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"the answer is not text in {error.encoding}") from None
    finally:
        signal.signal(signal.SIGINT, before)
