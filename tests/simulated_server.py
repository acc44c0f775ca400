"""A server with a queue, and a client that keeps as many calls in flight as it is told: both without a clock."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from random import Random

import attrs

WORK = 0.020
"""Seconds that a call takes the server."""
WAY = 0.001
"""Seconds that a call is on its way, there and back."""


@attrs.frozen
class Done:
    """A call that came back."""

    at: float
    latency: float
    refused: bool = False


@attrs.define
class Simulation:
    """What the server does, and when it changes.

    With `crowding`, it works longer on each call the more there are: twice as long at that many. `changes` are points
    in time with what to set then. `refuse_above` calls in the server are turned away.
    """

    capacity: int
    work: Callable[[Random], float] = lambda random: WORK
    changes: Iterable[tuple[float, dict[str, object]]] = ()
    refuse_above: int | None = None
    crowding: float | None = None
    seed: int = 1
    levels: list[tuple[float, int]] = attrs.field(factory=list)
    """The client's levels, each with the time from which it was told so."""

    def run(
        self,
        seconds: float,
        level: Callable[[], int],
        finished: Callable[[float, float, float], None] = lambda now, latency, in_flight: None,
        refused: Callable[[float, float], None] = lambda now, latency: None,
    ) -> list[Done]:
        """The calls of that many seconds."""
        random = Random(self.seed)
        numbers = itertools.count()
        events: list[tuple[float, int, str, object]] = []
        queue: deque[object] = deque()
        busy = in_flight = 0
        done: list[Done] = []

        def later(at: float, what: str, begun: object) -> None:
            heapq.heappush(events, (at, next(numbers), what, begun))

        for at, change in self.changes:
            later(at, "change", change)
        now = 0.0
        while now <= seconds:
            if not self.levels or self.levels[-1][1] != level():
                self.levels.append((now, level()))
            while in_flight < level():
                in_flight += 1
                later(now + WAY / 2, "arrive", now)
            now, _, what, begun = heapq.heappop(events)
            match what:
                case "change":
                    for name, value in begun.items():
                        setattr(self, name, value)
                case "arrive" if self.refuse_above is not None and busy + len(queue) >= self.refuse_above:
                    later(now + WAY / 2, "refused", begun)
                case "arrive":
                    queue.append(begun)
                case "served":
                    busy -= 1
                    later(now + WAY / 2, "finished", begun)
                case "finished" | "refused":
                    latency = now - begun
                    done.append(Done(now, latency, refused=what == "refused"))
                    if what == "refused":
                        refused(now, latency)
                    else:
                        finished(now, latency, in_flight)
                    in_flight -= 1
            while queue and busy < self.capacity:
                busy += 1
                slowdown = 1 if self.crowding is None else 1 + busy / self.crowding
                later(now + self.work(random) * slowdown, "served", queue.popleft())
        return done


def throughput(done: Iterable[Done], since: float, until: float) -> float:
    """Answered calls a second."""
    return sum(since <= one.at < until and not one.refused for one in done) / (until - since)


def p95(done: Iterable[Done], since: float, until: float) -> float:
    """The latency that 95 % of the calls keep within."""
    latencies = sorted(one.latency for one in done if since <= one.at < until)
    return latencies[int(0.95 * len(latencies))]
