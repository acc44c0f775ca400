"""Exports as JSON, CSV and Parquet, with errors instead of missing data."""

import codecs
import csv
import errno
import json
import os
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import polars
import pytest

from dialler_async import (
    AuthenticationError,
    Campaign,
    ConfigurationError,
    DiallerClient,
    Language,
    PayloadError,
    ResultCode,
    RetryPolicy,
)
from dialler_async._text.files import whole_file
from dialler_async.cli import main
from dialler_async.export import Exported, export
from dialler_async.export.campaign import ExportedCampaign
from dialler_async.export.flat import COLUMNS
from dialler_async.export.run import writer_for
from dialler_async.models import with_wire
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, HangUp, Status

FORMATS = ("json", "csv", "parquet")
FORMULA = '=HYPERLINK("http://evil.example")'


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(campaigns=30, seed=1, filler_keys=2)


async def run_export(sandbox: Sandbox, path: Path, **options: Any) -> Exported:
    async with DiallerClient(sandbox.base_url, sandbox.token, retry=RetryPolicy(attempts=1)) as dialler:
        return await export(dialler, path, **options)


async def test_json_contains_every_record_unchanged(sandbox: Sandbox, tmp_path: Path) -> None:
    async with sandbox:
        result = await run_export(sandbox, tmp_path / "account.json")
    account = json.loads((tmp_path / "account.json").read_text())
    assert {key: account[key] for key in ("schema", "languages", "failed")} == {
        "schema": 1,
        "languages": [1, 2],
        "failed": 0,
    }
    campaigns = [entry["campaign"] for entry in account["campaigns"]]
    assert {campaign["ID"]: campaign for campaign in campaigns} == dict(sandbox.campaigns)
    assert campaigns == sorted(campaigns, key=lambda campaign: campaign["Name"].casefold())  # as the server sends them
    for entry in account["campaigns"]:
        campaign = entry["campaign"]["ID"]
        assert entry["codes"] == {str(int(language)): sandbox.result_codes(campaign, language) for language in Language}
        assert entry["errors"] == {}
        # The keys are in the server's order too.
        assert list(entry["campaign"]) == list(sandbox.campaigns[campaign])
    codes = sum(len(codes) for entry in account["campaigns"] for codes in entry["codes"].values())
    assert result == Exported(campaigns=30, codes=codes, lookups=60, failed=0, errors=())


@pytest.mark.parametrize("format", ["csv", "parquet"])
async def test_flat_file_has_a_row_for_each_code_and_language(sandbox: Sandbox, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"account.{format}"
    async with sandbox:
        result = await run_export(sandbox, path)
    rows = read(path)
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == result.codes
    expected = [
        (str(campaign), str(int(language)), str(code["ID"]), code["Content"] or "")
        for campaign in sandbox.campaigns
        for language in Language
        for code in sandbox.result_codes(campaign, language)
    ]
    columns = ("campaign_id", "language", "code_id", "code_content")
    assert sorted(tuple(str(row[name] or "") for name in columns) for row in rows) == sorted(expected)
    extra = json.loads(rows[0]["campaign_extra"])
    assert set(extra) == {"Column01", "Column02"}


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return polars.read_parquet(path).to_dicts()
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_flat_columns_are_the_public_attributes_of_the_records() -> None:
    public = [f"campaign_{name}" for name in Campaign.__slots__] + [f"code_{name}" for name in ResultCode.__slots__]
    assert [name for name in COLUMNS if name not in ("language", "error", "campaign_extra", "code_extra")] == public


async def test_parquet_columns_have_types(sandbox: Sandbox, tmp_path: Path) -> None:
    async with sandbox:
        await run_export(sandbox, tmp_path / "account.parquet")
    schema = polars.read_parquet_schema(tmp_path / "account.parquet")
    assert (schema["campaign_id"], schema["code_done"], schema["campaign_name"], schema["campaign_dt_from"]) == (
        polars.Int64,
        polars.Boolean,
        polars.String,
        polars.Datetime("us"),
    )


async def test_parquet_of_several_chunks_has_all_rows(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialler_async.export.parquet_file._ROWS_PER_CHUNK", 50)
    async with sandbox:
        result = await run_export(sandbox, tmp_path / "account.parquet")
    assert len(read(tmp_path / "account.parquet")) == result.codes > 50


@pytest.mark.parametrize("format", FORMATS)
async def test_file_has_an_error_instead_of_codes_for_a_failed_lookup(
    sandbox: Sandbox, tmp_path: Path, format: str
) -> None:
    path = tmp_path / f"account.{format}"
    async with sandbox:
        campaign = next(iter(sandbox.campaigns))
        sandbox.faults.chance(
            1.0,
            [Status(500)],
            match=lambda received: received.target.endswith(f"/{campaign}/resultCodes?languagesID=2"),
        )
        result = await run_export(sandbox, path)
    assert (result.campaigns, result.failed, len(result.errors)) == (30, 1, 1)
    if format == "json":
        account = json.loads(path.read_text())
        (errors,) = [entry["errors"] for entry in account["campaigns"] if entry["errors"]]
        assert (account["failed"], set(errors)) == (1, {"2"})
        assert "500" in errors["2"]
    else:
        (row,) = [row for row in read(path) if row["error"]]
        assert (str(row["campaign_id"]), str(row["language"])) == (str(campaign), "2")
        assert "500" in row["error"]
        assert not any(row[name] for name in COLUMNS if name.startswith("code_"))


@pytest.mark.parametrize("format", FORMATS)
async def test_file_has_an_error_for_an_incomplete_response(tmp_path: Path, format: str) -> None:
    body = b'{"records": [{"ID": 7, "Content": "Text"}], "count": 3, "status": 200}'
    async with Sandbox([{"ID": 1, "Name": "One"}]) as sandbox:
        sandbox.faults.next(CannedResponse(200, body), match="result_codes")
        result = await run_export(sandbox, tmp_path / f"account.{format}", languages=[Language.ENGLISH])
    assert (result.failed, result.codes) == (1, 1)
    text = (tmp_path / f"account.{format}").read_bytes()
    assert b"the server counts 3 result codes, but sent 1" in text


async def test_campaign_without_codes_has_one_row_per_language(tmp_path: Path) -> None:
    sandbox = Sandbox([{"ID": 1, "Name": FORMULA}])
    async with sandbox:
        for format in ("csv", "parquet"):
            await run_export(sandbox, tmp_path / f"account.{format}", languages=[Language.GERMAN])
    (row,) = read(tmp_path / "account.csv")
    assert (row["campaign_name"], row["language"], row["error"]) == (f"'{FORMULA}", "2", "")
    (row,) = read(tmp_path / "account.parquet")
    assert (row["campaign_name"], row["language"], row["error"]) == (FORMULA, 2, None)


async def test_campaign_without_id_is_exported_with_an_error(tmp_path: Path) -> None:
    sandbox = Sandbox([{"Name": "Nameless"}, {"ID": 2, "Name": "Two"}])
    async with sandbox:
        result = await run_export(sandbox, tmp_path / "account.json")
    campaigns = json.loads((tmp_path / "account.json").read_text())["campaigns"]
    assert [(entry["campaign"]["Name"], sorted(entry["errors"])) for entry in campaigns] == [
        ("Nameless", ["1", "2"]),
        ("Two", []),
    ]
    assert result.failed == 2


@pytest.mark.parametrize("format", FORMATS)
async def test_invalid_campaign_does_not_stop_the_export(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"account.{format}"
    record = {"ID": 1, "Name": "Invalid", "nMaxParallelLines": "many", "Own": 5}
    async with Sandbox([record, {"ID": 2, "Name": "Valid"}, {"ID": 3, "Name": 7}]) as sandbox:
        result = await run_export(sandbox, path, languages=[Language.GERMAN])
        assert [received.path.split("/")[-2] for received in sandbox.journal[1:]] == ["2"]
    assert (result.campaigns, result.lookups, result.failed) == (3, 1, 0)
    assert {error.record_id for error in result.invalid} == {1, 3}
    if format == "json":
        campaigns = {entry["campaign"]["ID"]: entry for entry in json.loads(path.read_text())["campaigns"]}
        assert campaigns[1]["campaign"] == record
        assert (campaigns[1]["codes"], campaigns[2]["errors"]) == ({}, {})
        errors_by_id = {id: entry["errors"]["2"] for id, entry in campaigns.items() if entry["errors"]}
    else:
        rows = {int(row["campaign_id"]): row for row in read(path)}
        assert [rows[id]["campaign_name"] or "" for id in (1, 2, 3)] == ["Invalid", "Valid", ""]
        assert json.loads(rows[1]["campaign_extra"]) == {"Own": 5}
        errors_by_id = {id: row["error"] for id, row in rows.items() if row["error"]}
    assert set(errors_by_id) == {1, 3}
    assert "nMaxParallelLines" in errors_by_id[1]


async def test_export_raises_when_more_campaigns_are_invalid_than_the_list_keeps(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with sandbox:
        records = ",".join(["{}"] * 1_001)
        sandbox.faults.next(CannedResponse(200, f'{{"records": [{records}], "status": 200}}'.encode()))
        with pytest.raises(PayloadError, match="1001 of 1001 campaigns are invalid"):
            await run_export(sandbox, tmp_path / "account.json")
    assert os.listdir(tmp_path) == []


async def test_incomplete_list_of_campaigns_raises_and_writes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    async with sandbox:
        sandbox.faults.next(CannedResponse(200, b'{"records": [{"ID": 7, "Name": "x"}], "count": 3, "status": 200}'))
        with pytest.raises(PayloadError, match="counts 3 campaigns, but sent 1"):
            await run_export(sandbox, tmp_path / "account.json")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
async def test_failed_export_does_not_change_the_file(sandbox: Sandbox, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"account.{format}"
    path.write_text("before")
    async with sandbox:
        sandbox.faults.next(Status(401), match="result_codes", after=10)
        with pytest.raises(AuthenticationError):
            await run_export(sandbox, path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text() == "before"


class TestRefusedBeforeTheFirstRequest:
    async def error_of(self, path: Path, **options: Any) -> str:
        async with Sandbox(campaigns=1) as sandbox:
            with pytest.raises((ConfigurationError, OSError)) as raised:
                await run_export(sandbox, path, **options)
            assert sandbox.journal == []
        return str(raised.value)

    async def test_export_to_an_unknown_suffix_is_refused(self, tmp_path: Path) -> None:
        assert ".parquet" in await self.error_of(tmp_path / "account.xlsx")

    @pytest.mark.parametrize("format", ["json", "parquet"])
    async def test_excel_option_is_refused_for_another_format_than_csv(self, format: str, tmp_path: Path) -> None:
        assert "does not end in .csv" in await self.error_of(tmp_path / f"account.{format}", excel=True)

    async def test_export_without_languages_is_refused(self, tmp_path: Path) -> None:
        assert "language" in await self.error_of(tmp_path / "account.json", languages=[])

    @pytest.mark.parametrize("format", FORMATS)
    async def test_export_to_a_missing_directory_is_refused(self, tmp_path: Path, format: str) -> None:
        assert os.strerror(errno.ENOENT) in await self.error_of(tmp_path / "none" / f"account.{format}")

    async def test_parquet_without_the_extra_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "dialler_async.export.parquet_file", raising=False)
        monkeypatch.setitem(sys.modules, "polars", None)
        assert "a Parquet file needs the extra “data”: " in await self.error_of(tmp_path / "account.parquet")


class TestCommand:
    @pytest.mark.parametrize("format", FORMATS)
    def test_export_command_writes_a_file(
        self, format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / f"account.{format}"
        assert main(["export", "--sandbox", "--output", str(path), "--language", "de"]) == 0
        assert capsys.readouterr().out.startswith("500 campaigns, ")
        assert path.stat().st_size > 10_000

    @pytest.mark.parametrize(("fault", "exit"), [(Status(500), 3), (HangUp(), 4)])
    def test_failed_lookups_give_a_message_and_an_exit_code(
        self,
        fault: Any,
        exit: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def failing_sandbox(**options: Any) -> Sandbox:
            sandbox = Sandbox(campaigns=3)
            sandbox.faults.chance(1.0, [fault], match="result_codes")
            return sandbox

        monkeypatch.setattr("dialler_async.sandbox.Sandbox", failing_sandbox)
        assert main(["export", "--sandbox", "--attempts", "1", "--output", str(tmp_path / "account.json")]) == exit
        result = capsys.readouterr()
        assert (result.out, result.err.count("\n")) == ("3 campaigns, 0 records of result codes\n", 1)
        assert result.err.startswith("dialler: 6 lookups of result codes failed: ")
        assert json.loads((tmp_path / "account.json").read_text())["failed"] == 6

    def test_invalid_campaigns_are_named_on_stderr(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(
            "dialler_async.sandbox.Sandbox", lambda **_: Sandbox([{"ID": 1, "Name": 5}, {"ID": 2, "Name": "Valid"}])
        )
        assert main(["export", "--sandbox", "--output", str(tmp_path / "account.csv")]) == 3
        result = capsys.readouterr()
        assert (result.out, result.err.count("\n")) == ("2 campaigns, 0 records of result codes\n", 1)
        assert result.err.startswith("dialler: 1 campaign exported without result codes, because the record is ")
        assert result.err.endswith("in records[0] (ID 1) Name is 5, not text\n")

    @pytest.mark.parametrize("name", ["account.xlsx", "none/account.json", ""])
    def test_export_command_with_a_wrong_file_is_a_usage_error_of_one_line(
        self, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["export", "--sandbox", "--output", str(tmp_path / name)]) == 2
        result = capsys.readouterr()
        assert (result.out, result.err.count("\n")) == ("", 1)


SURROGATE = "half an emoji \ud83c"
BEYOND_64_BITS = 2**64 + 1


def write_campaigns(path: Path, *campaigns: Campaign) -> None:
    """Write campaigns with one result code each, with the writer that `export` uses."""
    with whole_file(path) as file, closing(writer_for(path)(file, datetime.now(UTC), (Language.GERMAN,))) as writer:
        for campaign in campaigns:
            code = ResultCode(id=campaign.id, content=campaign.name)
            with_wire(code, {"ID": campaign.id, "Content": campaign.name})
            error = {Language.ENGLISH: f"no codes of {campaign.name}"}
            writer.add(ExportedCampaign(campaign, {Language.GERMAN: (code,)}, error))
        writer.finish(0)


def campaign(id: int, name: str) -> Campaign:
    return with_wire(Campaign(id=id, name=name), {"ID": id, "Name": name})


def test_parquet_column_with_a_number_beyond_64_bits_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Large numbers come before and after chunks with usual numbers.
    monkeypatch.setattr("dialler_async.export.parquet_file._ROWS_PER_CHUNK", 2)
    ids = [1, BEYOND_64_BITS, 2, -BEYOND_64_BITS, 2**63 - 1, -(2**63)]
    write_campaigns(tmp_path / "account.parquet", *(campaign(id, "Any") for id in ids))
    table = polars.read_parquet(tmp_path / "account.parquet")
    assert table["campaign_id"].unique(maintain_order=True).to_list() == [str(id) for id in ids]
    assert table["code_id"].drop_nulls().to_list() == [str(id) for id in ids]
    assert table.schema["language"] == polars.Int64


def test_parquet_column_with_numbers_of_64_bits_is_numeric(tmp_path: Path) -> None:
    ids = [2**63 - 1, -(2**63)]
    write_campaigns(tmp_path / "account.parquet", *(campaign(id, "Any") for id in ids))
    assert polars.read_parquet(tmp_path / "account.parquet")["code_id"].drop_nulls().to_list() == ids


def wire_date(*parts: int) -> datetime:
    """Return a date without a zone, as the server sends it."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  # the test needs a naive date


NAIVE, AWARE = wire_date(2026, 3, 2, 12, 0, 0, 250_000), datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=1)))
EXTREME = [wire_date(1, 1, 1), wire_date(9999, 12, 31, 23, 59)]
BEYOND_UTC = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5)))


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ([NAIVE, None], [NAIVE, None]),
        ([AWARE, None, AWARE.astimezone(UTC)], [AWARE, None, AWARE]),
        ([NAIVE, AWARE], [NAIVE.isoformat(), AWARE.isoformat()]),
        (EXTREME, EXTREME),
        ([AWARE, BEYOND_UTC], [AWARE.isoformat(), BEYOND_UTC.isoformat()]),
        ([None], [None]),
    ],
    ids=["naive", "aware", "both", "extreme", "beyond_utc", "none"],
)
def test_parquet_dates_are_text_only_if_no_timestamp_type_is_exact(
    dates: list[datetime | None], expected: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialler_async.export.parquet_file._ROWS_PER_CHUNK", 2)
    campaigns = [attrs.evolve(campaign(id, "Any"), dt_to=date) for id, date in enumerate(dates)]
    write_campaigns(tmp_path / "account.parquet", *campaigns)
    table = polars.read_parquet(tmp_path / "account.parquet")
    column = table.filter(polars.col("language") == 2)["campaign_dt_to"]
    assert column.to_list() == expected
    zone = "UTC" if AWARE in expected else None
    assert column.dtype == (polars.String() if isinstance(expected[0], str) else polars.Datetime("us", zone))


def test_csv_dates_are_in_iso_8601(tmp_path: Path) -> None:
    write_campaigns(tmp_path / "account.csv", attrs.evolve(campaign(1, "Any"), dt_from=NAIVE, dt_to=AWARE))
    row = read(tmp_path / "account.csv")[0]
    assert row["campaign_dt_from"] == "2026-03-02T12:00:00.250000"
    assert row["campaign_dt_to"] == "2026-03-02T12:00:00+01:00"


async def test_csv_for_excel_has_tabs_and_utf_16_with_a_byte_order_mark(tmp_path: Path) -> None:
    async with Sandbox([{"ID": 1, "Name": "Müller, A;B"}]) as sandbox:
        for name, excel in (("plain.csv", False), ("excel.csv", True)):
            await run_export(sandbox, tmp_path / name, excel=excel)
    plain, for_excel = ((tmp_path / name).read_bytes() for name in ("plain.csv", "excel.csv"))
    assert for_excel.startswith(codecs.BOM_UTF16_LE)
    lines = for_excel.decode("utf-16").splitlines()
    assert list(csv.reader(lines, delimiter="\t")) == list(csv.reader(plain.decode().splitlines()))
    assert all(line.count("\t") == len(COLUMNS) - 1 for line in lines)
    assert "Müller, A;B" in lines[1]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_flat_files_escape_a_lone_surrogate(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"account.{format}"
    write_campaigns(path, campaign(1, SURROGATE))
    rows = {str(row["language"]): row for row in read(path)}
    escaped = "half an emoji \\ud83c"
    assert {row["campaign_name"] for row in rows.values()} == {escaped}
    assert rows["2"]["code_content"] == escaped
    assert rows["1"]["error"] == f"no codes of {escaped}"


def test_json_keeps_a_lone_surrogate(tmp_path: Path) -> None:
    write_campaigns(tmp_path / "account.json", campaign(BEYOND_64_BITS, SURROGATE))
    [exported] = json.loads((tmp_path / "account.json").read_text())["campaigns"]
    assert exported["campaign"] == {"ID": BEYOND_64_BITS, "Name": SURROGATE}
