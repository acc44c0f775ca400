"""The plan that assigns faults to requests."""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from attrs import define

from .faults import Fault
from .journal import Received

CALLS = frozenset({"list", "get", "find", "result_codes", "clone", "delete", "delete_by_name"})

Match = str | Callable[[Received], bool] | None
"""The name of a call, a predicate, or None for every request.

The predicate is called before the body of the request is read.
"""


@define
class _QueuedFaults:
    matches: Callable[[Received], bool]
    skip: int
    faults: deque[Fault]


@define
class _RandomFaults:
    matches: Callable[[Received], bool]
    share: float
    faults: Sequence[Fault]
    random: Random


class FaultPlan:
    """The faults that are planned for the next requests. A request gets one fault at most."""

    def __init__(self) -> None:
        self._queued: list[_QueuedFaults] = []
        self._random: list[_RandomFaults] = []

    def next(self, *faults: Fault, match: Match = None, after: int = 0) -> None:
        """Assign one fault to each of the next matching requests, in this order. Earlier calls of `next` come first.

        Args:
            faults: the faults to assign.
            match: the matching requests; see `Match`.
            after: the number of matching requests before the first fault.
        Raises:
            ValueError: `match` is not the name of a call.
        """
        self._queued.append(_QueuedFaults(_predicate(match), after, deque(faults)))

    def chance(self, share: float, faults: Sequence[Fault], *, seed: int = 1, match: Match = None) -> None:
        """Assign a random fault to a share of the matching requests. Faults of `next` come first.

        Args:
            share: the share of requests, between 0 and 1.
            faults: the faults to choose from.
            seed: the seed of the random choice. The same seed gives the same requests the same faults.
            match: the matching requests; see `Match`.
        Raises:
            ValueError: `match` is not the name of a call, `faults` is empty, or `share` is not between 0 and 1.
        """
        if not faults or not 0 <= share <= 1:
            raise ValueError("chance needs one or more faults, and a share between 0 and 1")
        random = Random(seed)  # noqa: S311  it must be reproducible, and is no secret
        self._random.append(_RandomFaults(_predicate(match), share, tuple(faults), random))

    def clear(self) -> None:
        """Remove all planned faults."""
        self._queued.clear()
        self._random.clear()

    def pick(self, received: Received) -> Fault | None:
        """Return the fault of a request, or None."""
        for queued in self._queued:
            if queued.faults and queued.matches(received):
                if queued.skip:
                    queued.skip -= 1
                    continue
                return queued.faults.popleft()
        for entry in self._random:
            if entry.matches(received) and entry.random.random() < entry.share:
                return entry.random.choice(entry.faults)
        return None


def _predicate(match: Match) -> Callable[[Received], bool]:
    if match is None:
        return lambda _: True
    if callable(match):
        return match
    if match not in CALLS:
        raise ValueError(f"no such call: {match!r}; use one of {', '.join(sorted(CALLS))}")
    return lambda received: received.call == match
