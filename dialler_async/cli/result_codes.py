"""`dialler result-codes`: list the result codes of a campaign."""

from .connection import FROM_ENVIRONMENT, ConnectionOptions
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
    connection: ConnectionOptions = FROM_ENVIRONMENT,
) -> None:
    """List the result codes of a campaign.

    Args:
        campaign: ID of the campaign.
        language: Language of the texts.
        json: Print the unchanged records and their count as JSON, in the format of the server.
    """
    (chosen,) = languages_named([language])
    async with connection.open() as dialler:
        show_result_codes(await dialler.result_codes.list(campaign, language=chosen), as_json=json)
