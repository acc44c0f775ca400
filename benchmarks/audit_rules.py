"""Measure how long all rules take on a large account: `python -m benchmarks.audit_rules`.

The account has 5,000 campaigns with 20 result codes each in two languages. The sandbox generates them with defects, and
they are decoded before the measurement. CPU time is measured, because other load on the machine hardly changes it.
"""

import argparse
import json
import statistics
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dialler_async import Campaign, Language, Records, ResultCode
from dialler_async._api import decoding
from dialler_async._api.partial_records import PartialRecords
from dialler_async.audit import RULES
from dialler_async.audit.options import AuditOptions
from dialler_async.audit.rule_runner import RuleRunner
from dialler_async.audit.rules.names import _pairs
from dialler_async.sandbox import Sandbox

Codes = dict[int, dict[Language, Records[ResultCode]]]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def decode(decoder: decoding.ResponseDecoder[Any], records: list[dict[str, Any]]) -> Any:
    """Return records as the client decodes them."""
    body = json.dumps({"records": records, "count": len(records), "status": 200}).encode()
    values: list[Any] = []

    def run() -> Any:
        values.append((yield from decoder(body)))

    deque(run(), maxlen=0)
    return values[0]


def account(campaigns: int, codes_each: int) -> tuple[PartialRecords[Campaign], Codes]:
    """Return campaigns and their result codes."""
    sandbox = Sandbox(campaigns, seed=1, now=NOW.replace(tzinfo=None))
    codes: Codes = {}
    for id in sandbox.campaigns:
        codes[id] = {}
        for language in Language:
            records = sandbox.result_codes(id, language)[:codes_each]
            more = range(len(records), codes_each)
            records += [
                {**records[0], "ID": id * 1000 + n, "ExportKey": f"MORE {n}", "Content": f"More {n}"} for n in more
            ]
            codes[id][language] = decode(decoding.RESULT_CODES, records)
    return decode(decoding.PARTIAL_CAMPAIGNS, [dict(record) for record in sandbox.campaigns.values()]), codes


def apply_rules(listed: PartialRecords[Campaign], codes: Codes, template: bool) -> int:
    """Apply all rules as an audit does, and return the number of findings."""
    runner = RuleRunner(AuditOptions.of(RULES, Language, NOW, template=template))
    runner.check_list(listed)
    if template:
        runner.add_template("*", listed.records[0], codes[listed.records[0].id or 0])
    for campaign in listed.records:
        runner.check_campaigns([campaign], codes[campaign.id or 0])
    return len(runner.report(seconds=0.0, started=NOW).findings)


def main() -> None:
    """Measure and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaigns", type=int, default=5_000)
    parser.add_argument("--codes", type=int, default=20)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    listed, codes = account(options.campaigns, options.codes)
    names = [campaign.name.casefold() for campaign in listed.records]
    print(f"{options.campaigns:,} campaigns x {options.codes} codes x {len(Language)} languages, {options.runs} runs")
    measurements: dict[str, Callable[[], object]] = {
        "all rules": lambda: apply_rules(listed, codes, template=False),
        "with a template": lambda: apply_rules(listed, codes, template=True),
        "names within names": lambda: deque(_pairs(names), maxlen=0),
    }
    for name, measured in measurements.items():
        times = []
        for _ in range(options.runs):
            begin = time.process_time()
            measured()
            times.append(time.process_time() - begin)
        print(f"{name:20} median {statistics.median(times):5.2f} s ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
