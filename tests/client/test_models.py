"""`Campaign`, `ResultCode`, `Language` and `Records`."""

import copy
import pickle
from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import Campaign, Language, Records, ResultCode
from dialler_async._api.decoding import CAMPAIGN
from dialler_async._http.response import finish
from dialler_async.models import Record, wire_keys

T = TypeVar("T")


def unpickled(it: T) -> T:
    copied: T = pickle.loads(pickle.dumps(it))  # noqa: S301  trusted bytes
    return copied


def decoded_campaign(body: bytes) -> Campaign:
    return finish(CAMPAIGN(body))


RECEIVED = decoded_campaign(
    b'{"records": [{"ZZ": [1], "Name": "Summer", "ID": 535, "bCallerIDActive": 1, "dtTo": "2026-07-01T00:00:00Z"}]}'
)
CONSTRUCTED = Campaign(name="Summer", id=535, caller_id_active=True, dt_to=RECEIVED.dt_to)


class TestRecord:
    """The common behaviour of campaigns and result codes."""

    def test_records_are_compared_and_hashed_by_typed_fields_only(self) -> None:
        assert RECEIVED.wire != CONSTRUCTED.wire
        assert RECEIVED == CONSTRUCTED
        assert hash(RECEIVED) == hash(CONSTRUCTED)
        assert len({RECEIVED, CONSTRUCTED}) == 1

    @pytest.mark.parametrize("kind", [Campaign, ResultCode])
    def test_every_typed_field_is_compared(self, kind: type[Any]) -> None:
        plain = kind(name="any") if kind is Campaign else kind()
        for name in wire_keys(kind):
            other = attrs.evolve(plain, **{name: "something else"})
            assert other != plain, name
            assert getattr(other, name) == "something else"

    def test_campaign_never_equals_a_result_code(self) -> None:
        assert ResultCode(id=1) != Campaign(name="any", id=1)

    @pytest.mark.parametrize("record", [RECEIVED, ResultCode()])
    def test_records_are_frozen_and_slotted(self, record: Any) -> None:
        for name in (*wire_keys(type(record)), "wire", "extra", "_wire", "unknown"):
            with pytest.raises(AttributeError):
                setattr(record, name, None)
            assert not hasattr(record, "__dict__")

    @pytest.mark.parametrize("kind", [Campaign, ResultCode])
    def test_records_accept_keyword_arguments_only(self, kind: type[Any]) -> None:
        with pytest.raises(TypeError):
            kind("Summer")

    def test_only_the_name_of_a_campaign_is_required(self) -> None:
        with pytest.raises(TypeError, match="name"):
            Campaign()  # type: ignore[call-arg]  the mistake that is tested
        assert {getattr(Campaign(name="any"), name) for name in wire_keys(Campaign)} == {"any", None}
        assert {getattr(ResultCode(), name) for name in wire_keys(ResultCode)} == {None}

    def test_wire_has_all_keys_and_extra_has_the_unknown_keys(self) -> None:
        assert list(RECEIVED.wire) == ["ZZ", "Name", "ID", "bCallerIDActive", "dtTo"]
        assert RECEIVED.wire["bCallerIDActive"] == 1
        assert RECEIVED.wire["bCallerIDActive"] is not True
        assert RECEIVED.extra == {"ZZ": [1]}

    def test_changing_wire_or_extra_does_not_change_the_record(self) -> None:
        RECEIVED.wire["Name"] = "Winter"
        RECEIVED.wire["ZZ"].append(2)
        cut = decoded_campaign(rb'{"records":[{"Name":"\ud83d","list":[]}]}')
        cut.wire["list"].append(1)
        assert cut.wire == {"Name": "\ud83d", "list": []}
        RECEIVED.wire.clear()
        RECEIVED.extra.clear()
        assert RECEIVED.wire["Name"] == "Summer"
        assert RECEIVED.extra == {"ZZ": [1]}

    def test_wire_of_a_constructed_record_is_empty(self) -> None:
        assert (CONSTRUCTED.wire, CONSTRUCTED.extra) == ({}, {})

    def test_evolved_record_has_no_wire(self) -> None:
        renamed = attrs.evolve(RECEIVED, name="Winter")
        assert (renamed.name, renamed.id) == ("Winter", 535)
        assert (renamed.wire, renamed.extra) == ({}, {})
        assert RECEIVED.wire["Name"] == "Summer"

    @pytest.mark.parametrize("record", [RECEIVED, CONSTRUCTED, ResultCode(id=7)])
    def test_to_dict_and_asdict_have_the_attributes_only(self, record: Campaign | ResultCode) -> None:
        names = list(wire_keys(type(record)))
        assert list(record.to_dict().items()) == [(name, getattr(record, name)) for name in names]
        assert attrs.asdict(record) == record.to_dict()
        assert type(record)(**record.to_dict()) == record

    def test_to_dict_of_a_subclass_has_its_own_attributes(self) -> None:
        @attrs.frozen
        class Marked(Campaign):
            mark: int = 0

        marked = Marked(name="Summer", mark=7)
        assert marked.to_dict() == Campaign(name="Summer").to_dict() | {"mark": 7}

    @pytest.mark.parametrize("duplicate", [unpickled, copy.copy, copy.deepcopy])
    def test_pickles_and_copies_keep_the_wire(self, duplicate: Any) -> None:
        copied = duplicate(RECEIVED)
        assert copied == RECEIVED
        assert hash(copied) == hash(RECEIVED)
        assert list(copied.wire.items()) == list(RECEIVED.wire.items())
        assert copied.extra == RECEIVED.extra

    def test_repr_of_a_record_shows_typed_fields_and_not_the_wire(self) -> None:
        assert repr(CONSTRUCTED).startswith("Campaign(id=535, name='Summer', clients_id=None, ")
        assert "ZZ" not in repr(RECEIVED)
        for record in (RECEIVED, ResultCode(), CONSTRUCTED):
            assert "wire" not in repr(record)

    @pytest.mark.parametrize("kind", [Campaign, ResultCode])
    def test_docstring_of_a_record_names_every_key(self, kind: type[Record]) -> None:
        for name, key in wire_keys(kind).items():
            assert f"{name}: `{key}`" in (kind.__doc__ or "")


class TestLanguage:
    """The published languages have names. Any other int is accepted."""

    def test_constants_of_language_are_the_published_languages(self) -> None:
        assert [(language.name, language.value) for language in Language] == [("ENGLISH", 1), ("GERMAN", 2)]
        assert Language(2) is Language.GERMAN

    @given(number=st.integers().filter(lambda number: number not in (1, 2)))
    def test_any_int_is_accepted_as_a_language(self, number: int) -> None:
        language = Language(number)
        assert isinstance(language, Language)
        assert (language, language.value, int(language)) == (number, number, number)
        assert hash(language) == hash(number)
        assert f"{language}" == str(number)
        assert language.name == f"LANGUAGE_{number}"
        assert repr(language) == f"<Language.LANGUAGE_{number}: {number}>"
        assert unpickled(language) == language
        assert copy.deepcopy(language) == language
        assert list(Language) == [1, 2]

    @pytest.mark.parametrize("value", ["de", "1", None, 1.5, 7.0])
    def test_language_that_is_not_an_int_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="not a valid Language"):
            Language(value)


ITEMS = st.lists(st.integers(0, 5), max_size=8)
INDEXES = st.integers(-10, 10)
BOUNDS = st.none() | INDEXES


class TestRecords:
    """A sequence of records, with the other values of the response."""

    full = Records(
        items=[1, 2, 3],
        total=3,
        filter="f",
        limit_start=4,
        limit_page_size=-1,
        order_by="Name",
        ascending=False,
    )

    @given(items=ITEMS, index=INDEXES, value=st.integers(0, 6), start=BOUNDS, stop=BOUNDS, step=BOUNDS)
    def test_records_behave_like_a_list(
        self, items: list[int], index: int, value: int, start: int | None, stop: int | None, step: int | None
    ) -> None:
        records = Records(items=iter(items), total=len(items))
        assert isinstance(records, Sequence)
        assert len(records) == len(items)
        assert list(records) == items
        assert list(reversed(records)) == items[::-1]
        assert (value in records) is (value in items)
        assert records.count(value) == items.count(value)
        assert bool(records) is bool(items)
        assert outcome(lambda: records[index]) == outcome(lambda: items[index])
        assert outcome(lambda: records.index(value)) == outcome(lambda: items.index(value))
        part = slice(start, stop, step)
        assert outcome(lambda: list(records[part])) == outcome(lambda: items[part])

    @given(left=ITEMS, right=ITEMS)
    def test_records_equal_sequences_with_equal_items_in_order(self, left: list[int], right: list[int]) -> None:
        records = Records(items=left, total=len(left))
        for other in (right, tuple(right), Records(items=right, total=99)):
            assert (records == other) is (left == right)
            assert (other == records) is (left == right)
            assert (records != other) is (left != right)
        if left == right:
            assert hash(records) == hash(Records(items=right, total=99)) == hash(tuple(right))

    def test_records_do_not_equal_other_types(self) -> None:
        assert self.full != {1, 2, 3}
        assert self.full != "123"
        assert self.full != iter([1, 2, 3])
        assert self.full.__eq__(None) is NotImplemented

    def test_slice_keeps_the_attributes_of_the_records(self) -> None:
        part = self.full[1:]
        assert type(part) is Records
        assert part == [2, 3]
        assert (part.total, part.filter, part.limit_start, part.limit_page_size) == (3, "f", 4, -1)
        assert (part.order_by, part.ascending) == ("Name", False)
        assert not part.complete

    @pytest.mark.parametrize(("total", "complete"), [(3, True), (7, False)])
    def test_records_are_complete_when_their_number_equals_total(self, total: int, complete: bool) -> None:
        assert Records(items=[1, 2, 3], total=total).complete is complete

    def test_invalid_index_raises_the_error_of_a_list(self) -> None:
        with pytest.raises(IndexError):
            self.full[3]
        with pytest.raises(TypeError):
            self.full["1"]  # type: ignore[call-overload]  the mistake that is tested

    @pytest.mark.parametrize("name", ["total", "_items", "filter", "unknown"])
    def test_records_are_frozen(self, name: str) -> None:
        with pytest.raises(AttributeError):
            setattr(self.full, name, 1)

    def test_to_dicts_returns_the_attributes_of_each_record(self) -> None:
        records = Records(items=[RECEIVED, CONSTRUCTED], total=2)
        assert records.to_dicts() == [RECEIVED.to_dict(), CONSTRUCTED.to_dict()]
        with pytest.raises(TypeError, match="not int"):
            self.full.to_dicts()

    def test_tables_are_made_of_to_dicts(self) -> None:
        undated = [Campaign(id=number, name=f"Undated {number}") for number in range(101)]
        rows = Records(items=[*undated, RECEIVED], total=102).to_dicts()
        for table in (pandas.DataFrame(rows), polars.DataFrame(rows, infer_schema_length=None)):
            assert list(table.columns) == list(wire_keys(Campaign))
            assert table.shape == (102, 13)
            assert list(table["dt_to"])[-1] == RECEIVED.dt_to

    @pytest.mark.parametrize("duplicate", [unpickled, copy.copy, copy.deepcopy])
    def test_records_can_be_pickled_and_copied(self, duplicate: Any) -> None:
        records = Records(items=[RECEIVED], total=4, order_by="Name")
        copied = duplicate(records)
        assert type(copied) is Records
        assert copied == records
        assert (copied.total, copied.order_by) == (4, "Name")
        assert copied[0].wire == RECEIVED.wire

    def test_repr_of_records_is_short(self) -> None:
        assert repr(Records(items=[], total=0)) == "Records([], total=0)"
        assert repr(Records(items=[1, 2, 3], total=7)) == "Records([1, 2, 3], total=7)"
        assert repr(Records(items=range(5000), total=5000)) == "Records([0, 1, 2, … 4997 more], total=5000)"
        large = repr(Records(items=[Campaign(name="x" * 1000)] * 10, total=10))
        assert len(large) < 300
        assert "x…, Campaign(" in large
        edge = "x" * 78
        assert repr(Records(items=[edge], total=1)) == f"Records(['{edge}'], total=1)"
        assert repr(Records(items=[edge + "x"], total=1)) == f"Records(['{edge}…], total=1)"


def outcome(call: Any) -> object:
    """Return the value of a call, or the type of its error."""
    try:
        return call()
    except (IndexError, ValueError) as error:
        return type(error)
