"""Exports of an account to a file: every campaign, and its result codes in every language.

    from dialler_async.export import export

    async with DiallerClient.from_env() as dialler:
        exported = await export(dialler, Path("account.parquet"))
    print(exported.campaigns, exported.codes, exported.failed)

The suffix of the file name selects the format:

`.json`
    A lossless format that contains each record as the server sent it. The file is an object with `schema` (1),
    `exported` (an ISO 8601 date), `languages`, `campaigns` and `failed`. Each item of `campaigns` has `campaign` (the
    record), `codes` (records by LanguagesID) and `errors` (errors by LanguagesID).
`.csv`, `.parquet`
    Flat formats with one row for each campaign, language and result code. `dialler_async.export.flat` lists the
    columns. Parquet needs the extra `data`. With `excel=True`, a CSV file is in
    UTF-16 with tabs, so that Excel shows columns and umlauts in every locale.

If a lookup fails or its response is incomplete, the file contains the error instead of the missing codes. `Exported`
counts such lookups as failed. Invalid campaigns come after the others, with an error instead of codes. A JSON file
contains their records, and a flat file contains their IDs and names.
"""

from .run import Exported, export

__all__ = ["Exported", "export"]
