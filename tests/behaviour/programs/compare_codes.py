"""Compare the result codes of all campaigns with those of a template: `python compare_codes.py TEMPLATE OUT.csv`."""

import asyncio
import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dialler_async import DiallerClient, Failure, Language, ResultCode, RetryPolicy, Success

Row = tuple[int | None, str, str, str, str]


def by_export_key(codes: Iterable[ResultCode]) -> dict[str, ResultCode]:
    return {code.export_key: code for code in codes if code.export_key}


def differences(expected: dict[str, ResultCode], actual: dict[str, ResultCode]) -> Iterator[tuple[str, str]]:
    for key in sorted(expected.keys() - actual.keys()):
        yield key, "missing"
    for key in sorted(actual.keys() - expected.keys()):
        yield key, "additional"
    for key in sorted(expected.keys() & actual.keys()):
        if expected[key].content != actual[key].content:
            yield key, f"{expected[key].content} is {actual[key].content}"


def print_progress(done: int, failed: int, total: int | None) -> None:
    sys.stderr.write(f"\r{done} of {total}, {failed} failed")


async def compare(template_name: str) -> list[Row]:
    rows: list[Row] = []
    async with DiallerClient.from_env(retry=RetryPolicy.patient()) as dialler:
        template = await dialler.campaigns.get_by_name(template_name)
        languages = [Language.ENGLISH, Language.GERMAN]
        expected = {
            language: by_export_key(await dialler.result_codes.list(template, language=language))
            for language in languages
        }
        others = [campaign for campaign in await dialler.campaigns.list() if campaign != template]
        names = {campaign.id: campaign.name for campaign in others}
        async for outcome in dialler.result_codes.for_campaigns(
            others, languages=languages, in_order=True, on_progress=print_progress
        ):
            lookup = outcome.item
            name = names[lookup.campaign_id]
            match outcome:
                case Success(value=codes):
                    rows.extend(
                        (lookup.campaign_id, name, lookup.language.name, key, difference)
                        for key, difference in differences(expected[lookup.language], by_export_key(codes))
                    )
                case Failure(error=error):
                    rows.append((lookup.campaign_id, name, lookup.language.name, "", f"not fetched: {error}"))
    return rows


def main(template_name: str, path: str) -> int:
    rows = asyncio.run(compare(template_name))
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["campaign ID", "campaign", "language", "export key", "difference"])
        writer.writerows(rows)
    return 1 if rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
