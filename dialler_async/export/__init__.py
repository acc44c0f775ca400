"""An account in a file: every campaign, and its result codes in every language.

    from dialler_async.export import export

    async with DiallerClient.from_env() as dialler:
        exported = await export(dialler, Path("account.parquet"))
    print(exported.campaigns, exported.codes, exported.failed)

The suffix of the file's name decides the format:

`.json`
    Lossless: each record as the server sent it. An object with `schema` (1), `exported` (a date, ISO 8601),
    `languages`, `campaigns`, and at the end `failed`. Each of `campaigns` has `campaign` (the record), `codes`
    (LanguagesID to records) and `errors` (LanguagesID to the error).
`.csv`, `.parquet`
    Flat: a row for each campaign, language and result code, with the columns of `dialler_async.export.flat`. Parquet
    needs the extra: `pip install 'dialler-async[data]'`. CSV is for spreadsheets; `excel=True` writes tabs
    and UTF-16, so that Excel opens it in columns and with umlauts in every locale.

If a lookup fails, or its reply is incomplete, the file has the error in place of the missing codes, and `Exported`
counts it. A campaign that is not as documented comes after the others, with the error in place of its codes: in JSON
as the server sent it, in flat files by ID and name.
"""

from .run import Exported, export

__all__ = ["Exported", "export"]
