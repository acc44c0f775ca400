"""The rows of the table: the measurements and their bars."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from .harness import Bar, Figures, Row, Spread, in_turns, ratio
from .sandbox_process import sandbox_process
from .ways import WAYS

LANGUAGES = 2
LATENCY = 0.020
GENERATED = ("openapi-generator", "openapi-python-client")
SLOW = ("openapi-python-client", "httpx", "requests")
AUDIT_CONCURRENCY = 64


@attrs.frozen
class Setting:
    """The setting of all measurements.

    Attributes:
        base_url: the base URL of the static server.
        bodies: the directory of the bodies that the server sends.
        generated: the directories of the generated clients, to import them from.
        quick: whether to do a short run.
    """

    base_url: str
    bodies: Path
    generated: Mapping[str, Path]
    quick: bool

    def rounds(self, full: int) -> int:
        """Return the number of rounds: three for a quick run."""
        return 3 if self.quick else full

    def options(self, measure: str, way: str, **more: Any) -> dict[str, Any]:
        """Return the options of `child` for a measurement of a way."""
        path = {"openapi-generator": "openapi-generator-cli"}.get(way, way)
        paths = [str(self.generated[path])] if path in self.generated else []
        return {"measure": measure, "way": way, "base_url": self.base_url, "path": paths, **more}


def fan_out(setting: Setting) -> Row:
    """Measure lookups of many campaigns, 32 at once."""
    lookups = 600 if setting.quick else 3000
    # The slow ways take ten times as long, and need only a fifth of the lookups.
    variants = {way: lookups // 5 if way in SLOW else lookups for way in WAYS}
    measured = in_turns(
        setting.rounds(9), {way: setting.options("fan_out", way, lookups=number) for way, number in variants.items()}
    )
    ours = measured["ours"]
    bars = [
        Bar("ours / naive", 0.93, ratio(ours, measured["naive"])),
        Bar("ours / bare", 1.05, ratio(ours, measured["bare"])),
        Bar("openapi-generator / ours", 5, ratio(measured["openapi-generator"], ours), at_least=True),
        Bar("openapi-python-client / ours", 20, ratio(measured["openapi-python-client"], ours), at_least=True),
    ]
    return Row(f"fan-out of {lookups} lookups, concurrency 32, per lookup", measured, bars)


def one_by_one(setting: Setting) -> Row:
    """Measure sequential lookups."""
    lookups = 300 if setting.quick else 2000
    ways = ("ours", "bare", "naive", "httpx", "requests")
    measured = in_turns(setting.rounds(9), {way: setting.options("one_by_one", way, lookups=lookups) for way in ways})
    bars = [Bar("ours / naive", 0.90, ratio(measured["ours"], measured["naive"]))]
    return Row(f"{lookups} lookups one after another, per lookup", measured, bars)


def whole_list(setting: Setting) -> Row:
    """Measure the list of 10,000 campaigns."""
    measured = in_turns(setting.rounds(9), {way: setting.options("whole_list", way) for way in WAYS})
    ours, bare = measured["ours"], measured["bare"]
    bars = [
        Bar("ours / bare", 0.75, ratio(ours, bare)),
        *(Bar(f"ours / {way}", 0.65, ratio(ours, measured[way])) for way in GENERATED),
        Bar("peak memory, ours / bare", 0.65, ratio(ours, bare, "memory")),
    ]
    return Row("list of 10,000 campaigns of 73 keys (12 MB)", measured, bars, "ms", 1e3)


def wires(setting: Setting) -> Row:
    """Measure the same list with one access to each `wire`."""
    measured = in_turns(setting.rounds(9), {way: setting.options("list_with_wires", way) for way in ("ours", "bare")})
    bar = Bar("ours / bare", 1.30, ratio(measured["ours"], measured["bare"]))
    return Row("that list, and every `wire` of it once", measured, [bar], "ms", 1e3)


def codes(setting: Setting) -> Row:
    """Measure the decoding of the result codes of one lookup."""
    options = {"measure": "decode_codes", "body": str(setting.bodies / "codes.json")}
    measured = in_turns(setting.rounds(9), {name: {**options, "decoder": name} for name in ("ours", "orjson")})
    bar = Bar("ours / orjson", 1.50, ratio(measured["ours"], measured["orjson"]))
    return Row("decoding 7 result codes", measured, [bar])


def list_stop(setting: Setting) -> Row:
    """Measure the longest time for which the list blocks the event loop."""
    ways = [way for way in WAYS if way != "requests"]
    measured = in_turns(setting.rounds(9), {way: setting.options("list_stop", way) for way in ways})
    bar = Bar("ours", 0.010, Spread.of([run["cpu"] for run in measured["ours"]]), unit=" ms", factor=1e3)
    return Row("longest stop of the event loop during that list", measured, [bar], "ms", 1e3)


def many_lookups(setting: Setting) -> Row:
    """Measure 1,000 and 100,000 lookups through `for_campaigns`, without keeping the outcomes."""
    few, many = (200, 2000) if setting.quick else (1_000, 100_000)
    variants = {f"{number:,}": setting.options("fan_out", "ours", lookups=number) for number in (few, many)}
    # The short measurement runs three times, because one run of 0.3 s is not precise.
    variants |= {f"{few:,} again {n}": variants[f"{few:,}"] for n in (1, 2)}
    measured = in_turns(setting.rounds(3), variants)
    few_runs = [run for name, runs in measured.items() if name != f"{many:,}" for run in runs]
    many_runs = measured[f"{many:,}"]
    few_cost, few_memory = (Spread.of([run[figure] for run in few_runs]).median for figure in ("cpu", "memory"))
    bars = [
        Bar("cost per lookup, many / few", 1.05, Spread.of([run["cpu"] / few_cost for run in many_runs])),
        Bar("more memory", 20, Spread.of([run["memory"] - few_memory for run in many_runs]), unit=" MiB"),
    ]
    return Row(
        f"{few:,} and {many:,} lookups through for_campaigns, per lookup",
        {f"{few:,}": few_runs, f"{many:,}": many_runs},
        bars,
    )


def accounts(setting: Setting) -> Row:
    """Measure 100 clients of different accounts on one pool."""
    lookups = 500 if setting.quick else 3000
    options = {"measure": "accounts", "base_url": setting.base_url, "lookups": lookups}
    measured = in_turns(setting.rounds(7), {f"{n} on one pool": {**options, "clients": n} for n in (1, 100)})
    bar = Bar("100 / 1", 1.05, ratio(measured["100 on one pool"], measured["1 on one pool"]))
    return Row("clients of different accounts, per lookup", measured, [bar])


def imports(setting: Setting) -> Row:
    """Measure the import of `dialler_async.client`, which `from dialler_async import DiallerClient` causes."""
    modules = ("dialler_async.client", "aiohttp")
    measured = in_turns(setting.rounds(15), {name: {"measure": "import_time", "module": name} for name in modules})
    bar = Bar("ours / aiohttp", 1.25, ratio(measured["dialler_async.client"], measured["aiohttp"]))
    return Row("import", measured, [bar], "ms", 1e3)


def retry_overhead(setting: Setting) -> Row:
    """Measure what retries and the deadline cost a call that succeeds at once, without network I/O."""
    calls = 3000 if setting.quick else 20_000
    parts = ("send", "attempt")
    measured = in_turns(
        setting.rounds(7), {part: {"measure": "own_work", "part": part, "calls": calls} for part in parts}
    )
    more = Spread.of(
        [one["cpu"] - other["cpu"] for one, other in zip(measured["send"], measured["attempt"], strict=True)]
    )
    bar = Bar("more than a bare attempt", 20e-6, more, unit=" µs", factor=1e6)
    return Row("a first attempt that succeeds, without network I/O, per call", measured, [bar])


def crowded_pool(setting: Setting) -> Row:
    """Measure 300 callers on 100 connections to a sandbox with a latency of 20 ms in another process."""
    with sandbox_process(campaigns=[{"ID": id, "Name": f"{id}"} for id in range(1, 11)], latency=LATENCY) as sandbox:
        common = {"base_url": sandbox.base_url, "token": sandbox.token, "callers": 300, "limit": 100}
        measured = in_turns(
            setting.rounds(9),
            {client: {"measure": "crowded_pool", "client": client, **common} for client in ("ours", "bare")},
        )
    bar = Bar("99th percentile, ours / bare", 0.25, ratio(measured["ours"], measured["bare"], "wall"))
    title = "300 callers on 100 connections, 20 ms a call; wall is the 99th percentile of a lookup"
    return Row(title, measured, [bar], "ms", 1e3)


def writes(setting: Setting) -> Row:
    """Measure reads on a kept connection and clones on their own connections, with and without TLS."""
    measured: dict[str, list[Figures]] = {}
    times = 50 if setting.quick else 300
    for scheme in ("http", "https"):
        for call in ("read", "clone"):
            with sandbox_process(campaigns=1, tls=scheme == "https") as sandbox:
                options = {"measure": "read_or_write", "call": call, "base_url": sandbox.base_url, "times": times}
                options |= {"token": sandbox.token, "ca_file": sandbox.ca_file}
                measured |= in_turns(1, {f"{call} over {scheme}": options})
    return Row("a read on a kept connection, and a clone on its own", measured, [], "ms", 1e3)


def audit(setting: Setting) -> Row:
    """Measure an audit on a sandbox with a latency of 20 ms in another process."""
    campaigns = 500 if setting.quick else 5000
    with sandbox_process(campaigns=campaigns, latency=LATENCY) as sandbox:
        options = {
            "measure": "audit",
            "base_url": sandbox.base_url,
            "token": sandbox.token,
            "concurrency": AUDIT_CONCURRENCY,
        }
        measured = in_turns(setting.rounds(3), {"audit": options})
    calls = campaigns * LANGUAGES / AUDIT_CONCURRENCY
    runs = measured["audit"]
    single_call = Spread.of([run["alone"] for run in runs])
    # The timer of the sandbox's 20 ms is late by up to 1 ms, and the call itself takes time too.
    bars = [
        Bar(f"of what {what} and concurrency allow", 0.90, Spread.of(shares), at_least=True)
        for what, shares in {
            "20 ms": [calls * LATENCY / run["wall"] for run in runs],
            f"the {single_call.format(1e3, 1)} ms of a call alone": [
                calls * run["alone"] / run["wall"] for run in runs
            ],
        }.items()
    ]
    return Row(f"audit of {campaigns:,} campaigns x 2 languages, 20 ms latency, concurrency 64", measured, bars, "s", 1)


def all_rows(setting: Setting) -> Iterator[Row]:
    """Yield each row as soon as it is measured."""
    for row in (
        fan_out,
        one_by_one,
        whole_list,
        wires,
        codes,
        list_stop,
        many_lookups,
        accounts,
        imports,
        retry_overhead,
        crowded_pool,
        writes,
        audit,
    ):
        yield row(setting)
