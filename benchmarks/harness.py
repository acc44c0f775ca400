"""Shared parts of the measurements: new processes, which run in turns, and medians with their ranges."""

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


def in_new_process(**options: Any) -> dict[str, float]:
    """Run one measurement of `child` in a new process, and return its figures."""
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(options)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if child.returncode:
        raise RuntimeError(f"{options} failed:\n{child.stderr}")
    figures: dict[str, float] = json.loads(child.stdout)
    return figures


def in_turns(rounds: int, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Figures]]:
    """Run each variant once per round, so that other load on the machine affects all variants equally."""
    measured: dict[str, list[Figures]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)
        # Each round begins with another variant, because the first one may have an advantage or disadvantage.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            measured[name].append(in_new_process(**variants[name]))
    return measured


@attrs.frozen
class Spread:
    """A median with the minimum and the maximum."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def format(self, factor: float = 1.0, digits: int = 0) -> str:
        """Return `median (least to most)`."""
        median, least, most = (f"{value * factor:.{digits}f}" for value in (self.median, self.least, self.most))
        return f"{median} ({least} to {most})"


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures], figure: str = "cpu") -> Spread:
    """Return the ratio of our figure to theirs in each round."""
    return Spread.of([one[figure] / other[figure] for one, other in zip(ours, theirs, strict=True)])


@attrs.frozen
class Bar:
    """A bound for a ratio or figure, and the measured value."""

    name: str
    bound: float
    measured: Spread
    at_least: bool = False
    unit: str = ""
    factor: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether the median is within the bound."""
        median = self.measured.median
        return median >= self.bound if self.at_least else median <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "holds" if self.holds else "FALLS SHORT"
        value = self.measured.format(self.factor, 2)
        return f"  {self.name}: {value}{self.unit}, bar {sign} {self.bound * self.factor:g}{self.unit}: {verdict}"


@attrs.frozen
class Row:
    """A row of the table: the measurements and their bars."""

    title: str
    measured: Mapping[str, Sequence[Figures]]
    bars: Sequence[Bar]
    unit: str = "µs"
    factor: float = 1e6

    def __str__(self) -> str:
        lines = [self.title]
        for name, runs in self.measured.items():
            cpu, wall = (Spread.of([run[figure] for run in runs]) for figure in ("cpu", "wall"))
            cpu_time, wall_time = cpu.format(self.factor, 1), wall.format(self.factor, 1)
            line = f"  {name:24} CPU {cpu_time} {self.unit}, wall {wall_time} {self.unit}"
            if all("memory" in run for run in runs):
                line += f", peak {Spread.of([run['memory'] for run in runs]).format(1, 0)} MiB"
            lines.append(line)
        return "\n".join([*lines, *map(str, self.bars)])

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON values, including each run."""
        bars = [attrs.asdict(bar) | {"holds": bar.holds} for bar in self.bars]
        return {"title": self.title, "measured": {k: list(v) for k, v in self.measured.items()}, "bars": bars}
