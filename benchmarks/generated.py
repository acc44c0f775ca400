"""Generates clients from `openapi.yaml`. They are cached in a temporary directory until the file changes."""

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
    """Return the import directory of each generated client, by the name of the generator."""
    return {name: _generate(name, command) for name, command in _GENERATORS.items()}


def _generate(name: str, command: str) -> Path:
    digest = hashlib.sha256(_SPECIFICATION.read_bytes() + version(name).encode() + command.encode()).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"dialler-async-benchmarks-{os.getuid()}" / f"{name}-{digest}"
    complete = directory / "complete"
    if not complete.exists():
        directory.mkdir(parents=True, exist_ok=True)
        arguments = command.format(specification=_SPECIFICATION, directory=directory).split()
        arguments[0] = str(Path(sys.executable).with_name(arguments[0]))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(arguments, check=True, capture_output=True, env={**os.environ, "PATH": path})
        complete.touch()
    return directory / "whole" if (directory / "whole").is_dir() else directory
