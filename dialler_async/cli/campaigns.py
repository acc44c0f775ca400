"""`dialler campaigns`: list, get, find, clone."""

import shlex
from datetime import datetime
from typing import Annotated

from cyclopts import App, Parameter

from .connection import FROM_ENVIRONMENT, ConnectionOptions
from .delete import delete
from .exits import print_error
from .listing import DEFAULT_LIST_OPTIONS, ListOptions
from .numbers import Id
from .options import Flag
from .output import print_line, quoted
from .records import show_campaign, show_campaigns
from .writes import WriteWatcher

app: App = App(name="campaigns", help="List, show, find, clone and delete campaigns.")
app.command(delete)


@app.command(name="list")
async def list_(
    *, listing: ListOptions = DEFAULT_LIST_OPTIONS, connection: ConnectionOptions = FROM_ENVIRONMENT
) -> None:
    """List all campaigns of the account. A wide terminal shows more columns.

    For scripts, use JSON or CSV:

    dialler campaigns list --json | jq '.records[].ID'

    dialler campaigns list --csv --columns ID --filter 'Name=VIP*' | tail -n +2
    """
    listing.check()
    async with connection.open() as dialler:
        campaigns = await dialler.campaigns.list()
    listing.show(campaigns)


@app.command
async def get(id: Id, /, *, json: Flag = False, connection: ConnectionOptions = FROM_ENVIRONMENT) -> None:
    """Show all keys of one campaign.

    Args:
        id: ID of the campaign.
        json: Print the unchanged record and the count as JSON, in the format of the server.
    """
    async with connection.open() as dialler:
        show_campaign(await dialler.campaigns.get(id), as_json=json)


@app.command
async def find(text: str, /, *, json: Flag = False, connection: ConnectionOptions = FROM_ENVIRONMENT) -> None:
    """List the campaigns whose name contains a text.

    Args:
        text: The text to search for in the names.
        json: Print the unchanged records and their count as JSON, in the format of the server.
    """
    async with connection.open() as dialler:
        campaigns = await dialler.campaigns.find(text)
    if not campaigns:
        print_error(f"no campaign has {quoted(text)} in its name")
    if campaigns or json:
        show_campaigns(campaigns, as_json=json)


@app.command
async def clone(
    source: str,
    destination: str,
    /,
    *,
    user_data: str | None = None,
    from_: Annotated[datetime | None, Parameter(name="--from")] = None,
    to: datetime | None = None,
    exist_ok: Flag = False,
    connection: ConnectionOptions = FROM_ENVIRONMENT,
) -> None:
    """Copy a campaign with everything except its contacts.

    Args:
        source: Name of the campaign to copy.
        destination: Name of the new campaign.
        user_data: Key of the new campaign in another system, such as a CRM.
        from_: Date from which the new campaign is valid. A date without a time zone is sent unchanged.
        to: Date until which the new campaign is valid.
        exist_ok: Change nothing and exit with 0 if a campaign with the new name exists.
    """
    writes = WriteWatcher()
    check = f"dialler campaigns find -- {shlex.quote(destination)}"
    async with connection.open(observer=writes) as dialler:
        with writes.error_if_interrupted(f"interrupted: the campaign may have been cloned; check with: {check}"):
            campaign = await dialler.campaigns.clone(
                source, destination, user_data=user_data, dt_from=from_, dt_to=to, exist_ok=exist_ok
            )
    # `campaign.name` is not used, because the documented response to a clone has the name of the source.
    done = "there is" if exist_ok else "cloned:"
    print_line(f"{done} campaign {'without ID' if campaign.id is None else campaign.id} {quoted(destination)}")
