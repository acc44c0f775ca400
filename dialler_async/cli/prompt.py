"""Questions to the user, on stderr."""

import signal
import sys


def ask(question: str) -> str:
    """Print a question, and return the line that is typed, without blanks around it; empty at the end of the input."""
    # Under asyncio the first Ctrl-C only asks the task to stop, but the task waits for a line of input here.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline().strip()
    finally:
        signal.signal(signal.SIGINT, before)
