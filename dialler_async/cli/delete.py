"""`dialler campaigns delete`: show the campaign, ask for confirmation, and delete it."""

import sys

from .. import Campaign, DiallerClient, DiallerError, NotFoundError
from .connection import FROM_ENVIRONMENT, ConnectionOptions
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
    connection: ConnectionOptions = FROM_ENVIRONMENT,
) -> Exit:
    """Delete a campaign and all its related data permanently.

    Args:
        id: ID of the campaign.
        name: Exact name of the campaign, instead of the ID. If several campaigns have this name, none is deleted.
        yes: Delete without confirmation.
        missing_ok: Exit with 0 if there is no such campaign.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "can't ask for confirmation, because stdin is not a terminal: give --yes to delete without confirmation"
        )
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
        label = f"campaign {id or campaign.id or 'without ID'} {quoted(campaign.name)}"
        codes = await _describe_codes(dialler, target)
        print_error(f"going to delete {label} with {codes} and all other related data permanently")
        if not yes and not _confirmed():
            print_error("nothing was deleted")
            return Exit.INTERRUPTED
        # By ID even if a name was given, so that exactly the shown campaign is deleted.
        shown_id = id or campaign.id
        interrupted = f"interrupted: {label} may have been deleted; check with: dialler campaigns get {shown_id}"
        with writes.error_if_interrupted(interrupted):
            await dialler.campaigns.delete(target, missing_ok=missing_ok)
    print_line(f"deleted {label}")
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
        # The number is only information, so a failed lookup must not prevent the deletion.
        return "its result codes"


def _confirmed() -> bool:
    return ask("Delete it? [y/N] ").lower() in ("y", "yes")
