"""Generates realistic campaigns with result codes. The same seed generates the same campaigns.

The campaigns have no defects: names differ, keys refer to codes of the campaign, and no date is near today. Defects are
seeded afterwards.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from itertools import count
from random import Random
from typing import Any

from attrs import define, field

from .calls import NAME_LENGTH
from .codes import Code, WireRecord
from .dates import DateStyle, format_date
from .vocabulary import (
    CORE_CODES,
    ENGLISH,
    GERMAN,
    LONG_SUFFIX,
    OPTIONAL_CODES,
    PLACES,
    PURPOSES,
    GlobalCode,
)

_FIRST_CAMPAIGN_ID = 535
_FIRST_CODE_ID = 2490
_NAME_FORMATS = (
    "{purpose} {number}",
    "{purpose} {place} {number}",
    "{number} {purpose} {place}",
    "{place}: {purpose} #{number}",
    "{purpose} ({place}) K{number}",
)
_FILLER_VALUES: tuple[Any, ...] = (None, 0, 1, True, False, 15, "", "A")


@define
class Draft:
    """A campaign that is being generated.

    Attributes:
        id: the ID.
        number: digits in the name, which no other name contains. All campaigns have the same number of digits.
        record: the wire record.
        codes: the result codes.
    """

    id: int
    number: str
    record: dict[str, Any] = field(repr=False)
    codes: list[Code] = field(repr=False)


@define
class Generator:
    """Generates drafts for one account."""

    random: Random
    clients_id: int
    now: datetime
    dates: DateStyle
    filler_keys: int
    code_ids: Iterator[int] = field(factory=lambda: count(_FIRST_CODE_ID))
    _templates: dict[GlobalCode, Mapping[int, WireRecord]] = field(factory=dict)

    def drafts(self, number_of_campaigns: int) -> list[Draft]:
        """Return this number of new campaigns, in ascending order of their IDs."""
        id = _FIRST_CAMPAIGN_ID
        drafts = []
        for number in self._numbers(number_of_campaigns):
            drafts.append(self._draft(id, number))
            id += self.random.choice((1, 1, 1, 2, 5))
        return drafts

    def code(self, global_code: GlobalCode, campaign_id: int) -> Code:
        """Return a copy of a global code for a campaign, with a new ID."""
        templates = self._templates.get(global_code)
        if templates is None:
            templates = self._templates[global_code] = global_code.templates()
        return Code(next(self.code_ids), templates, campaign_id)

    def day(self, days: int, at: time = time.min) -> str:
        """Return the date in this number of days, formatted as in a response."""
        return format_date(datetime.combine(self.now.date() + timedelta(days), at), self.dates)

    def _numbers(self, number_of_campaigns: int) -> list[str]:
        # All numbers are different and equally long, so that no name contains another name.
        width = max(4, len(str(number_of_campaigns * 2)))
        lowest = 10 ** (width - 1)
        return list(map(str, self.random.sample(range(lowest, lowest * 10), number_of_campaigns)))

    def _draft(self, id: int, number: str) -> Draft:
        random = self.random
        optional = random.sample(
            OPTIONAL_CODES, random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, len(OPTIONAL_CODES)))
        )
        codes = [self.code(global_code, id) for global_code in (*CORE_CODES, *optional)]
        done, aborted = codes[0], codes[1]
        record: dict[str, Any] = {
            "ID": id,
            "ContactPreviewTime": random.choice((None, 0, 5, 10, 30)),
            "nMaxParallelLines": random.choice((5, 10, 15, 20, 60)),
            "bCloseContactsOnIncomingCallsMatchCallerID": random.choice((True, False, None)),
            "dtFrom": None,
            "dtTo": None,
            "LanguagesID": random.choice((GERMAN, GERMAN, GERMAN, ENGLISH)),
            "bCallerIDActive": random.choice((True, None)),
            "Name": self._name(number),
            "ClientsID": self.clients_id,
            "AbortOnNoTelNumberResultCodesID": random.choice((aborted.id, aborted.id, None)),
            "IncomingCallResultCodesID": random.choice((done.id, done.id, None)),
            "UserData": random.choice((None, "", f"crm-{number}", f"SAP/{number}; Müller & Co")),
        }
        if record["bCloseContactsOnIncomingCallsMatchCallerID"]:
            record["IncomingCallResultCodesID"] = done.id
        if random.random() < 0.7:
            record["dtFrom"] = self.day(-random.randint(10, 700), random.choice((time.min, time(8))))
        if random.random() < 0.6:
            record["dtTo"] = self.day(random.randint(30, 700), time(18, 30))
        fillers = random.choices(_FILLER_VALUES, k=self.filler_keys)
        record.update((f"Column{index:02}", value) for index, value in enumerate(fillers, 1))
        return Draft(id, number, record, codes)

    def _name(self, number: str) -> str:
        name = self.random.choice(_NAME_FORMATS).format(
            purpose=self.random.choice(PURPOSES), place=self.random.choice(PLACES), number=number
        )
        if self.random.random() < 0.05:
            name += LONG_SUFFIX
        return name[:NAME_LENGTH].rstrip()
