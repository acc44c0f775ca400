"""Everything in one run on one machine: `python -m benchmarks`. See README.md beside it for how to read it."""

import argparse
import asyncio
import json
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .bodies import write_bodies
from .generated import generated_clients
from .rows import Setting, all_rows
from .static_server import static_server

_PACKAGES = (
    *("dialler-async", "aiohttp", "yarl", "multidict", "attrs", "cattrs", "msgspec", "orjson", "pydantic"),
    *("httpx", "requests", "openapi-generator-cli", "openapi-python-client"),
)


def machine(server: str) -> dict[str, str]:
    """What was measured with what, and on what."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    cores = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return {"machine": cores, "python": platform.python_version(), "server": server, **versions}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(write_bodies(directory))
        with static_server(directory) as (origin, server):
            told = machine(server)
            print("; ".join(f"{name} {value}" for name, value in told.items()), end="\n\n")
            rows = []
            for row in all_rows(Setting(f"{origin}/rest/v1.0/1", directory, generated_clients(), options.quick)):
                print(row, end="\n\n", flush=True)
                rows.append(row.as_json())
    if options.json:
        options.json.write_text(json.dumps({"with": told, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
