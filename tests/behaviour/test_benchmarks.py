"""The measures of `benchmarks/child.py` run. Their figures are not checked."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import child
from benchmarks.bodies import write_bodies
from benchmarks.static_server import static_server
from benchmarks.ways import WAYS
from dialler_async.sandbox import Sandbox

pytestmark = pytest.mark.slow

MEASURES: dict[str, dict[str, Any]] = {
    "fan_out": {"way": "ours", "lookups": 5},
    "one_by_one": {"way": "ours", "lookups": 5},
    "whole_list": {"way": "ours"},
    "list_with_wires": {"way": "ours"},
    "list_stop": {"way": "ours"},
    "decode_codes": {"decoder": "ours", "times": 5},
    "accounts": {"clients": 2, "lookups": 5},
    "own_work": {"part": "send", "calls": 5},
    "import_time": {"module": "dialler_async.client"},
}
"""What each measure takes, apart from the base URL."""
NEEDED = {
    "openapi-generator": "generated_by_openapi_generator",
    "openapi-python-client": "generated_by_openapi_python_client",
    "bare": "orjson",
}
"""The module that a way needs, where it has another name."""


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the bodies of the static server."""
    directory = tmp_path_factory.mktemp("bodies")
    asyncio.run(write_bodies(directory, rows=100))
    return directory


@pytest.fixture(scope="module")
def base_url(bodies: Path) -> Iterator[str]:
    """Return the base URL of a running static server."""
    with static_server(bodies) as (origin, _):
        yield f"{origin}/rest/v1.0/1"


def figures_of(measure: str, **options: Any) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.child", json.dumps({"measure": measure, **options})]
    process = subprocess.run(command, cwd=Path(child.__file__).parents[1], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    figures: dict[str, float] = json.loads(process.stdout)
    return figures


@pytest.mark.parametrize("measure", MEASURES)
def test_measure_returns_cpu_and_wall_time(measure: str, base_url: str, bodies: Path) -> None:
    options = dict(MEASURES[measure])
    if "way" in options or measure == "accounts":
        options["base_url"] = base_url
    if measure == "decode_codes":
        options["body"] = str(bodies / "codes.json")
    assert {"cpu", "wall"} <= figures_of(measure, **options).keys()


async def test_audit_measure_returns_the_number_of_lookups() -> None:
    async with Sandbox(campaigns=3) as sandbox:
        options = {"base_url": sandbox.base_url, "token": sandbox.token, "concurrency": 2}
        figures = await asyncio.to_thread(figures_of, "audit", **options)
    assert figures["lookups"] == 6


def test_own_work_measure_runs_a_single_attempt() -> None:
    assert figures_of("own_work", part="attempt", calls=5)["cpu"] > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("measure", [{"measure": "fan_out", "lookups": 5}, {"measure": "whole_list"}], ids=str)
def test_measure_runs_with_each_client(way: str, measure: dict[str, Any], base_url: str) -> None:
    if way not in ("ours", "naive"):
        pytest.importorskip(NEEDED.get(way, way), exc_type=ImportError)
    assert figures_of(**measure, way=way, base_url=base_url)["wall"] > 0
