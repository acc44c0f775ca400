"""Clients generated from `openapi.yaml`, at benchmark time; kept outside of the source tree until it changes."""

import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

_SPECIFICATION = Path(__file__).with_name("openapi.yaml")
_GENERATORS = {
    "openapi-generator-cli": (
        "openapi-generator-cli generate -g python --library asyncio"
        " -i {specification} -o {directory}/whole --package-name generated_by_openapi_generator"
    ),
    "openapi-python-client": (
        "openapi-python-client generate --meta none --overwrite"
        " --path {specification} --output-path {directory}/generated_by_openapi_python_client"
    ),
}


def generated_clients() -> dict[str, Path]:
    """For each generator's name, the directory that its client is importable from."""
    return {name: _generated(name, command) for name, command in _GENERATORS.items()}


def _generated(name: str, command: str) -> Path:
    digest = hashlib.sha256(_SPECIFICATION.read_bytes() + version(name).encode() + command.encode()).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"dialler-async-benchmarks-{os.getuid()}" / f"{name}-{digest}"
    complete = directory / "complete"
    if not complete.exists():
        directory.mkdir(parents=True, exist_ok=True)
        words = command.format(specification=_SPECIFICATION, directory=directory).split()
        words[0] = str(Path(sys.executable).with_name(words[0]))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "PATH": path})
        complete.touch()
    return directory / "whole" if (directory / "whole").is_dir() else directory
