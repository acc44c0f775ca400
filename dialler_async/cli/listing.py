"""`dialler campaigns list`: filter and sort campaigns, and print some of their keys.

Keys are the server's names, such as `dtTo`. Their case is ignored.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any

import attrs
from cyclopts import Group, Parameter

from .. import Campaign, Records
from .._text.csv_cells import csv_line
from .exits import UsageError
from .options import Flag
from .output import print_table, text
from .records import show_campaigns, warn_if_incomplete


@Parameter(name="*", group=Group("List", sort_key=0))
@attrs.frozen(kw_only=True)
class ListOptions:
    """The options of `dialler campaigns list`.

    Attributes:
        sort: Key to sort by, such as Name; -Name sorts in descending order. Campaigns without the key come last.
        filter: Show only campaigns that match KEY=PATTERN, such as 'Name=VIP*'. Case is ignored.
            Can be given several times.
        columns: Keys to show, separated by commas, such as ID,Name,UserData.
        csv: Print CSV with the keys of --columns, or with all keys.
        json: Print the unchanged records, their count and their order as JSON, in the format of the server.
    """

    sort: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    filter: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    columns: str | None = None
    csv: Flag = False
    json: Flag = False

    def check(self) -> None:
        """Check the options before the first request.

        Raises:
            UsageError: two options contradict each other, or a filter has no `=`.
        """
        if self.json and (self.csv or self.columns is not None):
            raise UsageError("--json prints whole records: leave out --csv and --columns")
        for filter in self.filter:
            if "=" not in filter:
                raise UsageError(f"--filter needs KEY=PATTERN, such as 'Name=VIP*', but “{filter}” has no =")

    def show(self, campaigns: Records[Campaign]) -> None:
        """Print the campaigns.

        Raises:
            UsageError: an option names a key that no campaign has.
        """
        chosen = self._choose(campaigns)
        if self.csv or self.columns is not None:
            every_key = _keys(campaigns)
            names = every_key if self.columns is None else self.columns.split(",")
            keys = [_resolve(name, every_key) for name in names]
            show = _print_csv if self.csv else _print_columns
            show(keys, [campaign.wire for campaign in chosen])
            warn_if_incomplete(campaigns)
        elif len(chosen) == len(campaigns):
            show_campaigns(attrs.evolve(campaigns, items=chosen), as_json=self.json)
        else:
            warn_if_incomplete(campaigns)
            show_campaigns(attrs.evolve(campaigns, items=chosen, total=len(chosen)), as_json=self.json)

    def _choose(self, campaigns: Records[Campaign]) -> list[Campaign]:
        every_key = _keys(campaigns)
        chosen = list(campaigns)
        for filter in self.filter:
            name, _, pattern = filter.partition("=")
            key = _resolve(name, every_key)
            chosen = [it for it in chosen if fnmatchcase(_as_text(it.wire.get(key)).casefold(), pattern.casefold())]
        if self.sort is not None:
            key = _resolve(self.sort.removeprefix("-"), every_key)
            known = [it for it in chosen if it.wire.get(key) is not None]
            known.sort(key=lambda it: _sort_key(it.wire[key]), reverse=self.sort.startswith("-"))
            chosen = known + [it for it in chosen if it.wire.get(key) is None]
        return chosen


DEFAULT_LIST_OPTIONS = ListOptions()
"""All campaigns, in the server's order."""


def _keys(campaigns: Iterable[Campaign]) -> list[str]:
    """Return the keys of all records in the server's order, without duplicates."""
    return list(dict.fromkeys(key for campaign in campaigns for key in campaign.wire))


def _resolve(name: str, keys: Sequence[str]) -> str:
    """Return the key with this name; case is ignored.

    Raises:
        UsageError: no key has this name.
    """
    by_name = {key.casefold(): key for key in reversed(keys)}
    if not keys or name in keys:
        return name
    if name.casefold() in by_name:
        return by_name[name.casefold()]
    close = get_close_matches(name.casefold(), by_name, n=1)
    hint = f"did you mean {by_name[close[0]]}?" if close else f"the keys are {', '.join(keys)}"
    raise UsageError(f"no campaign has the key “{name}”: {hint}")


def _as_text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sort_key(value: Any) -> tuple[bool, float, str]:
    """Return a sort key: numbers by value, then texts in alphabetical order."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0, "" if is_number else _as_text(value).casefold()


def _print_columns(keys: Sequence[str], records: Iterable[dict[str, Any]]) -> None:
    print_table(keys, ([text(_as_text(record.get(key))) for key in keys] for record in records))


def _print_csv(keys: Sequence[str], records: Iterable[dict[str, Any]]) -> None:
    sys.stdout.write(csv_line(keys))
    for record in records:
        cells = (record.get(key) for key in keys)
        # `csv_line` escapes text cells only. It would write a bool, which is an int, as `True`.
        sys.stdout.write(csv_line(cell if type(cell) is int else _as_text(cell) for cell in cells))
