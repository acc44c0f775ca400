"""`dialler campaigns delete`: shows the campaign, asks, and deletes it."""

import sys

from dialler_async import Campaign, DiallerClient, DiallerError, NotFoundError

from .connection import FROM_ENVIRONMENT, Connection
from .exits import Exit, UsageError, print_error
from .numbers import Id
from .options import Flag
from .output import counted, print_line, quoted
from .prompt import ask
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

    Args:
        id: ID of the campaign.
        name: Its exact name, in place of the ID. Nothing is deleted if several campaigns have it.
        yes: Do not ask.
        missing_ok: Exit with 0 if there is no such campaign.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("stdin is no terminal, so nobody can confirm: give --yes to delete without a question")
    writes = WriteWatcher()
    async with connection.open(observer=writes) as dialler:
        try:
            campaign = await _find(dialler, id, name)
        except NotFoundError:
            if not missing_ok:
                raise
            print_error(f"nothing to delete: there is no campaign {id if name is None else quoted(name)}")
            return Exit.DONE
        target = campaign if id is None else id
        shown = f"campaign {id or campaign.id or 'without ID'} {quoted(campaign.name)}"
        codes = await _describe_codes(dialler, target)
        print_error(f"going to delete {shown} with {codes} and all other related data, for good")
        if not yes and not _confirmed():
            print_error("nothing was deleted")
            return Exit.INTERRUPTED
        # By ID, even if the name was given: what was shown is what is deleted.
        number = id or campaign.id
        interrupted = f"interrupted: {shown} may have been deleted; look: dialler campaigns get {number}"
        with writes.error_if_interrupted(interrupted):
            await dialler.campaigns.delete(target, missing_ok=missing_ok)
    print_line(f"deleted {shown}")
    return Exit.DONE


async def _find(dialler: DiallerClient, id: int | None, name: str | None) -> Campaign:
    match id, name:
        case int(), None:
            return await dialler.campaigns.get(id)
        case None, str():
            return await dialler.campaigns.get_by_name(name)
        case _:
            raise UsageError("give either the ID of the campaign or --name")


async def _describe_codes(dialler: DiallerClient, campaign: Campaign | int) -> str:
    try:
        return f"its {counted((await dialler.result_codes.list(campaign)).total, 'result code')}"
    except DiallerError:
        # The number only helps to recognise the campaign; its lookup must not prevent the deletion.
        return "its result codes"


def _confirmed() -> bool:
    return ask("Delete it? [y/N] ").lower() in ("y", "yes")
