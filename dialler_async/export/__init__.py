"""An account in a file: every campaign, and its result codes in every language.

    from dialler_async.export import export

    async with DiallerClient.from_env() as dialler:
        exported = await export(dialler, Path("account.parquet"))
    print(exported.campaigns, exported.codes, exported.failed)

The end of the file's name says its format:

`.json`
    Lossless: each record as the server sent it. An object with `schema` (1), `exported` (when, ISO 8601), `languages`,
    `campaigns`, and at the end `failed`. Each of `campaigns` has `campaign` (the record), `codes` (LanguagesID to
    records) and `errors` (LanguagesID to what went wrong).
`.csv`, `.parquet`
    Flat: a row for each campaign, language and result code, with the columns of `dialler_async.export.flat`. Parquet
    needs the extra: `pip install 'dialler-async[data]'`. CSV is made for spreadsheets.

A lookup that failed, or whose answer was shortened, is never silent: the file has the error in the place of what is
missing, and `Exported` tells of it. So it is with a campaign that is not as documented: it comes after the others, in
JSON as the server sent it, flat by ID and name, and with the error in place of its codes.
"""

from .run import Exported, export

__all__ = ["Exported", "export"]
