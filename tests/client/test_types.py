"""What type checkers see of the public face."""

import subprocess
import sys
from pathlib import Path

import dialler_async

PROGRAM = """
from collections.abc import Sequence
from typing import assert_type

from dialler_async import Campaign, CloneResult, DiallerClient, NotFoundError, Records, ResultCode


async def records_stand_for_their_ids(dialler: DiallerClient) -> None:
    campaigns = await dialler.campaigns.list()
    assert_type(campaigns, Records[Campaign])
    for campaign in campaigns:
        same = await dialler.campaigns.get(campaign, max_age=60)
        assert_type(same, Campaign)
        assert_type(await dialler.result_codes.list(same, max_age=60), Records[ResultCode])
        await dialler.campaigns.delete(same)
    found = await dialler.campaigns.find("Summer", max_age=60)
    await dialler.campaigns.delete(found[0])


async def clones(dialler: DiallerClient) -> None:
    assert_type(await dialler.campaigns.clone("Template", "Monday", exist_ok=True), Campaign)
    result = await dialler.campaigns.get_or_clone("Template", "Monday")
    assert_type(result, CloneResult)
    campaign, created = result
    assert_type(campaign, Campaign)
    assert_type(created, bool | None)


def records_are_a_sequence(records: Records[Campaign], campaign: Campaign) -> None:
    sequence: Sequence[Campaign] = records
    assert_type(sequence.count(campaign), int)
    assert_type(records.count(campaign), int)
    assert_type(records.total, int)


def absence_is_a_lookup_error(error: NotFoundError) -> LookupError:
    return error
"""


def test_typical_calls_pass_mypy_strict(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = Path(dialler_async.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert run.returncode == 0, run.stdout
