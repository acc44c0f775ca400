"""`dialler campaigns delete`: shows what it is going to delete, and asks."""

import signal
import sys

from dialler_async import Campaign, DiallerClient, DiallerError, NotFoundError

from .connection import FROM_ENVIRONMENT, Connection
from .exits import Exit, UsageError, say
from .numbers import Id
from .options import Flag
from .output import counted, print_line, quoted
from .writes import WriteWatcher


async def delete(
    id: Id | None = None,
    /,
    *,
    name: str | None = None,
    yes: Flag = False,
    missing_ok: Flag = False,
    connection: Connection = FROM_ENVIRONMENT,
) -> Exit:
    """Delete a campaign and all its related data, for good.

    Parameters
    ----------
    id
        ID of the campaign.
    name
        Its exact name, in place of the ID. Nothing is deleted if several campaigns have it.
    yes
        Do not ask.
    missing_ok
        It is fine if there is no such campaign.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("nobody is there to ask: give --yes to delete without asking")
    writes = WriteWatcher()
    async with connection.open(observer=writes) as dialler:
        try:
            campaign = await _looked_up(dialler, id, name)
        except NotFoundError:
            if not missing_ok:
                raise
            say(f"nothing to delete: there is no campaign {id if name is None else quoted(name)}")
            return Exit.DONE
        target = campaign if id is None else id
        doomed = f"campaign {id or campaign.id or 'without ID'} {quoted(campaign.name)}"
        say(f"going to delete {doomed} with {await _codes_of(dialler, target)} and all other related data, for good")
        if not yes and not _agreed():
            say("nothing was deleted")
            return Exit.INTERRUPTED
        # By ID, also when it was looked up by name: what was shown is what is deleted.
        number = id or campaign.id
        interrupted = f"interrupted: {doomed} may have been deleted; look: dialler campaigns get {number}"
        with writes.told_if_interrupted(interrupted):
            await dialler.campaigns.delete(target, missing_ok=missing_ok)
    print_line(f"deleted {doomed}")
    return Exit.DONE


async def _looked_up(dialler: DiallerClient, id: int | None, name: str | None) -> Campaign:
    match id, name:
        case int(), None:
            return await dialler.campaigns.get(id)
        case None, str():
            return await dialler.campaigns.get_by_name(name)
        case _:
            raise UsageError("give either the ID of the campaign or --name")


async def _codes_of(dialler: DiallerClient, campaign: Campaign | int) -> str:
    try:
        return f"its {counted((await dialler.result_codes.list(campaign)).total, 'result code')}"
    except DiallerError:
        # It only helps to recognise the campaign; whether it can be deleted is for the deletion to find out.
        return "its result codes"


def _agreed() -> bool:
    # Under asyncio the first Ctrl-C only asks the task to stop, which here waits for a line of input.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stderr.write("Delete it? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    finally:
        signal.signal(signal.SIGINT, before)
