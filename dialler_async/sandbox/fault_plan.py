"""Which fault each request meets."""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from attrs import define

from dialler_async.sandbox.faults import Fault
from dialler_async.sandbox.journal import Received

CALLS = frozenset({"list", "get", "find", "result_codes", "clone", "delete", "delete_by_name"})

Match = str | Callable[[Received], bool] | None
"""A call by its name in the journal, a predicate, or None for every request.

The predicate sees the request before its body is read.
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
    """The faults of the coming requests. A request meets at most one of them."""

    def __init__(self) -> None:
        self._queued: list[_Queued] = []
        self._by_chance: list[_ByChance] = []

    def next(self, *faults: Fault, match: Match = None, after: int = 0) -> None:
        """Give each of the next matching requests one fault, in this order. Earlier plans go first.

        Args:
            faults: the faults.
            match: which requests match.
            after: how many matching requests pass without a fault before.
        Raises:
            ValueError: there is no such call.
        """
        self._queued.append(_Queued(_predicate(match), after, deque(faults)))

    def chance(self, share: float, faults: Sequence[Fault], *, seed: int = 1, match: Match = None) -> None:
        """Give a random share of the matching requests one of the faults each, unless `next` gives them one.

        Args:
            share: the share of requests; 1.0 for all.
            faults: the faults to choose from.
            seed: the same requests in the same order meet the same faults for the same seed.
            match: which requests match.
        Raises:
            ValueError: there is no such call, there are no faults, or the share is not between 0 and 1.
        """
        if not faults or not 0 <= share <= 1:
            raise ValueError("chance needs faults, and a share between 0 and 1")
        random = Random(seed)  # noqa: S311  reproducible, no secret
        self._by_chance.append(_ByChance(_predicate(match), share, tuple(faults), random))

    def clear(self) -> None:
        """Plan no faults any more."""
        self._queued.clear()
        self._by_chance.clear()

    def pick(self, received: Received) -> Fault | None:
        """Return the fault that a request meets, or None."""
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


def _predicate(match: Match) -> Callable[[Received], bool]:
    if match is None:
        return lambda _: True
    if callable(match):
        return match
    if match not in CALLS:
        raise ValueError(f"no such call: {match!r}; there are {', '.join(sorted(CALLS))}")
    return lambda received: received.call == match
