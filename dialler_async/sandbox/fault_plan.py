"""Which request meets with which fault."""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from attrs import define

from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.journal import Received

CALLS = frozenset({"list", "get", "find", "result_codes", "clone", "delete", "delete_by_name"})

Match = str | Callable[[Received], bool] | None
"""A call by its name in the journal, a test of one's own, or None for every request.

The test sees the request before its body is read.
"""


@define
class _Queued:
    matches: Callable[[Received], bool]
    skip: int
    faults: deque[Fault]


@define
class _ByChance:
    matches: Callable[[Received], bool]
    share: float
    faults: Sequence[Fault]
    random: Random


class FaultPlan:
    """The faults to come; a request meets with one of them at most."""

    def __init__(self) -> None:
        self._queued: list[_Queued] = []
        self._by_chance: list[_ByChance] = []

    def next(self, *faults: Fault, match: Match = None, after: int = 0) -> None:
        """Give the next matching requests a fault each, in this order.

        `after` so many matching requests that are let through. What was asked for first goes
        first. Raises ValueError for an unknown call.
        """
        self._queued.append(_Queued(_test(match), after, deque(faults)))

    def chance(self, share: float, faults: Sequence[Fault], *, seed: int = 1, match: Match = None) -> None:
        """Give a share of the matching requests (1.0: all) one of the faults, by chance.

        The same requests in the same order meet with the same for the same `seed`. Requests that
        `next` has a fault for are left alone. Raises ValueError for an unknown call, for no
        faults, and for a share outside of 0 to 1.
        """
        if not faults or not 0 <= share <= 1:
            raise ValueError("chance needs faults, and a share from 0 to 1")
        random = Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self._by_chance.append(_ByChance(_test(match), share, tuple(faults), random))

    def clear(self) -> None:
        """Forget all faults to come."""
        self._queued.clear()
        self._by_chance.clear()

    def pick(self, received: Received) -> Fault | None:
        """The fault that a request meets with, or None."""
        for queued in self._queued:
            if queued.faults and queued.matches(received):
                if queued.skip:
                    queued.skip -= 1
                    continue
                return queued.faults.popleft()
        for by_chance in self._by_chance:
            if by_chance.matches(received) and by_chance.random.random() < by_chance.share:
                return by_chance.random.choice(by_chance.faults)
        return None


def _test(match: Match) -> Callable[[Received], bool]:
    if match is None:
        return lambda _: True
    if callable(match):
        return match
    if match not in CALLS:
        raise ValueError(f"no such call: {match!r}; there are {', '.join(sorted(CALLS))}")
    return lambda received: received.call == match
