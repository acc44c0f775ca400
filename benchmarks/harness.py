"""What all measurements share: fresh processes, taken in turns; medians with their spread; ratios of pairs."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parent.parent
Figures = Mapping[str, float]


def in_fresh_process(**asked: Any) -> dict[str, float]:
    """The figures of one measurement of `child`."""
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(asked)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if child.returncode:
        raise RuntimeError(f"{asked} failed:\n{child.stderr}")
    figures: dict[str, float] = json.loads(child.stdout)
    return figures


def in_turns(rounds: int, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Figures]]:
    """Every variant once a round, so that what else runs on the machine hits all alike."""
    measured: dict[str, list[Figures]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)
        # Another begins each time: whatever the first of a round may have for or against it.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            measured[name].append(in_fresh_process(**variants[name]))
    return measured


@attrs.frozen
class Spread:
    """A median, and what it lies between."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def told(self, factor: float = 1.0, digits: int = 0) -> str:
        """As `median (least to most)`."""
        median, least, most = (f"{value * factor:.{digits}f}" for value in (self.median, self.least, self.most))
        return f"{median} ({least} to {most})"


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures], figure: str = "cpu") -> Spread:
    """Ours in terms of theirs, round by round."""
    return Spread.of([one[figure] / other[figure] for one, other in zip(ours, theirs, strict=True)])


@attrs.frozen
class Bar:
    """What a ratio or figure has to keep to, and what it came to."""

    what: str
    bound: float
    came_to: Spread
    at_least: bool = False
    unit: str = ""
    factor: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether the median keeps to it."""
        median = self.came_to.median
        return median >= self.bound if self.at_least else median <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "holds" if self.holds else "FALLS SHORT"
        told = self.came_to.told(self.factor, 2)
        return f"  {self.what}: {told}{self.unit}, bar {sign} {self.bound * self.factor:g}{self.unit}: {verdict}"


@attrs.frozen
class Row:
    """One row of the table: what was measured, and the bars."""

    title: str
    measured: Mapping[str, Sequence[Figures]]
    bars: Sequence[Bar]
    unit: str = "µs"
    factor: float = 1e6

    def __str__(self) -> str:
        lines = [self.title]
        for name, runs in self.measured.items():
            cpu, wall = (Spread.of([run[figure] for run in runs]) for figure in ("cpu", "wall"))
            line = (
                f"  {name:24} CPU {cpu.told(self.factor, 1)} {self.unit}, wall {wall.told(self.factor, 1)} {self.unit}"
            )
            if all("memory" in run for run in runs):
                line += f", peak {Spread.of([run['memory'] for run in runs]).told(1, 0)} MiB"
            lines.append(line)
        return "\n".join([*lines, *map(str, self.bars)])

    def as_json(self) -> dict[str, Any]:
        """All of it, each single run included."""
        bars = [attrs.asdict(bar) | {"holds": bar.holds} for bar in self.bars]
        return {"title": self.title, "measured": {k: list(v) for k, v in self.measured.items()}, "bars": bars}
