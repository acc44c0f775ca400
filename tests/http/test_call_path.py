"""The way of a call through the package: few functions, few modules, and no step back up."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dialler_async import DiallerClient

LAYERS = ("dialler_async.result_codes", "dialler_async._http", "dialler_async._api", "dialler_async.models")
"""From top to bottom. The decoder of a request is in `_api`, and the records are in `models`."""


async def test_lookup_enters_at_most_42_functions_in_13_modules_and_takes_no_step_up(dialler: DiallerClient) -> None:
    entered: dict[tuple[str, str], None] = {}
    steps_up: list[tuple[str, str]] = []

    def layer_of(module: str) -> int | None:
        return next((number for number, name in enumerate(LAYERS) if module.startswith(name)), None)

    def profile(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event != "call" or not module.startswith("dialler_async") or ".sandbox" in module:
            return
        entered[module, frame.f_code.co_qualname] = None
        caller: FrameType | None = frame.f_back
        above, here = layer_of(caller.f_globals.get("__name__", "") if caller else ""), layer_of(module)
        if above is not None and here is not None and here < above:
            steps_up.append((caller.f_code.co_qualname if caller else "", frame.f_code.co_qualname))

    for _ in range(3):
        await dialler.result_codes.list(535)
    sys.setprofile(profile)
    try:
        await dialler.result_codes.list(535)
    finally:
        sys.setprofile(None)
    assert len(entered) <= 42, entered
    assert len({module for module, _ in entered}) <= 13
    assert steps_up == []
