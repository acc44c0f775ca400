"""Run the measurements for the table in `benchmarks/README.md`: `python -m benchmarks`."""

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


def environment(server: str) -> dict[str, str]:
    """Return the machine, the server, and the versions of the measured packages."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    cores = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return {"machine": cores, "python": platform.python_version(), "server": server, **versions}


def main() -> None:
    """Run the measurements and print their rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="do a short run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(write_bodies(directory))
        with static_server(directory) as (origin, server):
            conditions = environment(server)
            print("; ".join(f"{name} {value}" for name, value in conditions.items()), end="\n\n")
            rows = []
            for row in all_rows(Setting(f"{origin}/rest/v1.0/1", directory, generated_clients(), options.quick)):
                print(row, end="\n\n", flush=True)
                rows.append(row.as_json())
    if options.json:
        options.json.write_text(json.dumps({"with": conditions, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
