"""Measure what the parts of a lookup cost: `python -m benchmarks.call_cost`.

Each variant replaces or leaves out a part, and runs the fan-out of `python -m benchmarks` in new processes, in turns
with the other variants. The last variant leaves out decoding and the read timeout.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from .bodies import write_bodies
from .harness import Spread, in_turns, ratio
from .static_server import static_server


@contextmanager
def _decoded_by(decoder: str) -> Iterator[None]:
    """Replace the decoding and all checks of a response."""
    import orjson

    from dialler_async._api.fast_path import fast_path
    from dialler_async._http import transport
    from dialler_async.models import Records, ResultCode

    nothing: Records[ResultCode] = Records(items=(), total=0)
    decode = {
        "nothing": lambda _: nothing,
        "orjson": orjson.loads,
        "structs": fast_path(ResultCode)._decoders.decode_envelope,
        "instances": fast_path(ResultCode).decode_body,
    }[decoder]

    async def outcome_of(_request: Any, response: Any, _secrets: Any, _info: Any) -> Any:
        return decode(response.body)

    with patch.object(transport, "outcome_of", outcome_of):
        yield


def _without_read_timeout() -> AbstractContextManager[Any]:
    from dialler_async._http.attempt import Sender

    return patch.object(Sender, "_start_reading", lambda _self, _call: None)


@contextmanager
def _without_all() -> Iterator[None]:
    with ExitStack() as stack:
        for replacement in (partial(_decoded_by, "nothing"), _without_read_timeout):
            stack.enter_context(replacement())
        yield


REPLACEMENTS: Final[Mapping[str, Any]] = {
    "orjson instead of decoding": partial(_decoded_by, "orjson"),
    "typed structs only": partial(_decoded_by, "structs"),
    "attrs instances and wire, without Records and checks": partial(_decoded_by, "instances"),
    "without decoding": partial(_decoded_by, "nothing"),
    "without the read timeout": _without_read_timeout,
    "without these two": _without_all,
}
"""What is replaced in this library, by the name of the variant."""


def main() -> None:
    """Run the measurement and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.call_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="runs of each variant (default: 9)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(write_bodies(directory))
        with static_server(directory) as (origin, server):
            options = {"measure": "fan_out", "base_url": f"{origin}/rest/v1.0/1", "lookups": 3000}
            variants: dict[str, dict[str, Any]] = {way: {**options, "way": way} for way in ("bare", "naive", "ours")}
            replacing = {**options, "measure": "fan_out_with_replacement", "way": "ours"}
            variants |= {name: {**replacing, "replacement": name} for name in REPLACEMENTS}
            measured = in_turns(rounds, variants)
    print(f"CPU time per lookup, concurrency 32, {server}, {rounds} rounds")
    for name, runs in measured.items():
        cpu = Spread.of([run["cpu"] for run in runs]).format(1e6)
        print(f"  {name:54}{cpu:18} µs  {ratio(runs, measured['bare']).format(digits=2)} x bare")


if __name__ == "__main__":
    main()
