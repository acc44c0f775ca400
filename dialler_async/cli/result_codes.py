"""`dialler result-codes`."""

from .connection import FROM_ENVIRONMENT, Connection
from .languages import LanguageName, languages_named
from .numbers import Id
from .options import Flag
from .records import show_result_codes


async def result_codes(
    campaign: Id,
    /,
    *,
    language: LanguageName = "en",
    json: Flag = False,
    connection: Connection = FROM_ENVIRONMENT,
) -> None:
    """List the result codes of a campaign.

    Args:
        campaign: ID of the campaign.
        language: The language of their texts.
        json: Print the server's envelope (records, count), with each record as it came.
    """
    (chosen,) = languages_named([language])
    async with connection.open() as dialler:
        show_result_codes(await dialler.result_codes.list(campaign, language=chosen), as_json=json)
