"""Generates realistic campaigns with result codes, the same for the same seed.

They have no defects: names differ, keys refer to codes of the campaign, and dates are in order and far from their
limits. Defects are seeded afterwards.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from itertools import count
from random import Random
from typing import Any

from attrs import define, field

from dialler_async.sandbox.calls import NAME_LENGTH
from dialler_async.sandbox.codes import Code, WireRecord
from dialler_async.sandbox.dates import DateStyle, printed
from dialler_async.sandbox.vocabulary import (
    CORE,
    ENGLISH,
    GERMAN,
    MORE,
    PLACES,
    PURPOSES,
    SEQUEL,
    Word,
)

_FIRST_CAMPAIGN_ID = 535
_FIRST_CODE_ID = 2490
_SHAPES = (
    "{purpose} {number}",
    "{purpose} {place} {number}",
    "{number} {purpose} {place}",
    "{place}: {purpose} #{number}",
    "{purpose} ({place}) K{number}",
)
_FILLING: tuple[Any, ...] = (None, 0, 1, True, False, 15, "", "A")


@define
class Draft:
    """A campaign that is being generated.

    Attributes:
        id: its ID.
        number: digits that occur in no other campaign's name, and are as long as those of all others.
        record: its wire record.
        codes: its result codes.
    """

    id: int
    number: str
    record: dict[str, Any] = field(repr=False)
    codes: list[Code] = field(repr=False)


@define
class Generator:
    """Generates drafts for one account, with one random source and one counter of code IDs."""

    random: Random
    clients_id: int
    now: datetime
    dates: DateStyle
    filler_keys: int
    code_ids: Iterator[int] = field(factory=lambda: count(_FIRST_CODE_ID))
    _templates: dict[Word, Mapping[int, WireRecord]] = field(factory=dict)

    def drafts(self, number_of_campaigns: int) -> list[Draft]:
        """Return as many campaigns, in ascending order of their IDs."""
        id = _FIRST_CAMPAIGN_ID
        drafts = []
        for number in self._numbers(number_of_campaigns):
            drafts.append(self._draft(id, number))
            id += self.random.choice((1, 1, 1, 2, 5))
        return drafts

    def code(self, word: Word, campaign_id: int) -> Code:
        """Return a campaign's copy of a global code, with an ID of its own."""
        templates = self._templates.get(word)
        if templates is None:
            templates = self._templates[word] = word.templates()
        return Code(next(self.code_ids), templates, campaign_id)

    def day(self, days: int, at: time = time.min) -> str:
        """Return the date so many days from now, as it is served."""
        return printed(datetime.combine(self.now.date() + timedelta(days), at), self.dates)

    def _numbers(self, number_of_campaigns: int) -> list[str]:
        # Of equal length and each in one name only, so no name contains another.
        width = max(4, len(str(number_of_campaigns * 2)))
        lowest = 10 ** (width - 1)
        return list(map(str, self.random.sample(range(lowest, lowest * 10), number_of_campaigns)))

    def _draft(self, id: int, number: str) -> Draft:
        random = self.random
        more = random.sample(MORE, random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, len(MORE))))
        codes = [self.code(word, id) for word in (*CORE, *more)]
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
        filling = random.choices(_FILLING, k=self.filler_keys)
        record.update((f"Column{index:02}", value) for index, value in enumerate(filling, 1))
        return Draft(id, number, record, codes)

    def _name(self, number: str) -> str:
        name = self.random.choice(_SHAPES).format(
            purpose=self.random.choice(PURPOSES), place=self.random.choice(PLACES), number=number
        )
        if self.random.random() < 0.05:
            name += SEQUEL
        return name[:NAME_LENGTH].rstrip()
