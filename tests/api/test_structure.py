"""The fast path returns the same record as cattrs, or leaves the record to cattrs."""

import copy
import gc
import json
import pickle
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialler_async import Campaign, PayloadError, ResultCode
from dialler_async._api import decoding, record_list
from dialler_async._api.decoding import CAMPAIGNS, PARTIAL_CAMPAIGNS, RESULT_CODES, ResponseDecoder
from dialler_async._api.fast_path import FastPath
from dialler_async._api.partial_records import PartialRecords
from dialler_async._api.record_list import BYTES_PER_SLICE
from dialler_async._api.structure import structure_strictly
from dialler_async._http.response import finish
from dialler_async.errors import Body, DiallerError
from dialler_async.models import Record, wire_keys

KINDS: list[tuple[type[Record], ResponseDecoder[Any]]] = [(Campaign, CAMPAIGNS), (ResultCode, RESULT_CODES)]
NAME = '"Name":"a"'


class Refusing(FastPath):
    """A fast path that leaves every record to cattrs."""

    def decode_body(self, body: bytes) -> None:
        return None

    def structure(self, records: bytes | memoryview) -> list[Any]:
        return []

    def add_keys_of(self, record: Mapping[str, Any]) -> bool:
        return False


class CountingPath(FastPath):
    """A fast path that counts how often it is tried, and how often it adds keys."""

    tried = 0
    added = 0

    def structure(self, records: bytes | memoryview) -> list[Any]:
        self.tried += 1
        return super().structure(records)

    def add_keys_of(self, record: Mapping[str, Any]) -> bool:
        self.added += 1
        return super().add_keys_of(record)


@contextmanager
def use_fast_path(of_kind: Callable[[type[Record]], FastPath]) -> Iterator[None]:
    with patch.object(record_list, "fast_path", of_kind), patch.object(decoding, "fast_path", of_kind):
        yield


def decode(decoder: ResponseDecoder[Any], body: Body) -> Any:
    """Return the result of a decoder, or its error."""
    try:
        return finish(decoder(body))
    except DiallerError as error:
        return error


def shown(outcome: Any) -> Any:
    """Return the visible parts of an outcome, with the types of all values."""
    if isinstance(outcome, DiallerError):
        return type(outcome), str(outcome), getattr(outcome, "path", None), getattr(outcome, "record_id", None)
    if isinstance(outcome, PartialRecords):
        invalid = [(repr(one.record), *shown(one.error)) for one in outcome.invalid]
        return shown(outcome.records), invalid, outcome.total
    return [(type(record), repr(record), repr(record.wire), repr(record.extra)) for record in outcome]


def envelope(*records: str) -> bytes:
    return f'{{"records":[{",".join(records)}],"count":{len(records)},"status":200}}'.encode("utf-8", "surrogatepass")


def assert_same_without_fast_path(*records: str) -> None:
    body = envelope(*records)
    for decoder in (CAMPAIGNS, RESULT_CODES, PARTIAL_CAMPAIGNS):
        with use_fast_path(Refusing):
            expected = shown(decode(decoder, body))
        assert shown(decode(decoder, body)) == expected
        assert shown(decode(decoder, bytearray(body))) == expected


TEXTS = st.text(max_size=5) | st.sampled_from(
    ["2026-07-01T08:30:00", "2026-07-01 08:30:00.5Z", "2026-13-01 00:00:00", "2026-07-01t08:30:00z", "}", "},{", "e999"]
)


@st.composite
def strings(draw: st.DrawFn, text: st.SearchStrategy[str] = TEXTS) -> str:
    """Return JSON texts: plain, with unnecessary escapes, or with a lone surrogate."""
    characters = [
        f"\\u{ord(one):04x}"
        if ord(one) < 0x10000 and draw(st.booleans())
        else json.dumps(one, ensure_ascii=False)[1:-1]
        for one in draw(text)
    ]
    return f'"{"".join(characters)}{draw(st.sampled_from(["", "", "", chr(92) + "ud83c"]))}"'


NUMBERS = st.sampled_from(
    [
        *("0", "1", "2", "-0", "-1", "1.0", "3.9", "1e2", "1E2", "1e308", "1e309", "1E+400", "-1e400", "1e-400"),
        *("1e099", "9" * 199 + "e99", "9" * 220 + "e99", "0." + "1" * 400, "9" * 309, "9" * 309 + ".0"),
        *(str(2**63), str(2**64), str(-(2**70)), "9" * 4300, "9" * 4301),
        *("NaN", "Infinity", "-", "1.", "+1", "01"),
    ]
)
VALUES = st.recursive(
    st.sampled_from(["null", "true", "false", "0", "1"]) | NUMBERS | strings(),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(strings(), inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key} :{value}" for key, value in items) + "}"
        )
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted({*wire_keys(Campaign).values(), *wire_keys(ResultCode).values(), "Column01", "records"}))
# The same key may come several times.
OBJECTS = st.lists(st.tuples(strings(KEYS) | strings(), VALUES), max_size=8).flatmap(
    lambda members: st.permutations([*members, ('"Name"', '"a"')]).map(
        lambda members: "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"
    )
)


@settings(max_examples=500)
@given(records=st.lists(OBJECTS | VALUES, min_size=1, max_size=3))
@example(records=[f'{{{NAME},"x":1e400}}'])
@example(records=[f'{{{NAME},"x":{"9" * 250}e99}}'])
@example(records=[f'{{{NAME},"x":{"9" * 5000}}}'])
@example(records=[f'{{{NAME},"x":"\udc80"}}'])
@example(records=[f'{{{NAME},"bDone":1}}', f'{{{NAME},"\\u0049D":7}}'])
@example(records=['{"Name":1,"Name":"a","ID":"x","ID":null}'])
@example(records=[f'{{{NAME},"dtTo":"2026-07-01t08:30:00z"}}'])
def test_fast_path_and_cattrs_agree_on_any_json(records: list[str]) -> None:
    assert_same_without_fast_path(*records)


CELLS = st.sampled_from(
    [None, True, False, 0, 1, 2, 1.0, "", "text", "2020-08-09T02:33:50.347", "2026-13-01 00:00:00", [], {}]
)


@pytest.mark.parametrize("kind", [Campaign, ResultCode])
@given(data=st.data())
def test_fast_path_and_cattrs_agree_on_the_values_of_all_known_keys(kind: type[Record], data: st.DataObject) -> None:
    keys = list(wire_keys(kind).values())
    records = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(keys, CELLS)), min_size=1, max_size=4))
    assert_same_without_fast_path(*map(json.dumps, [*records, *records]))


@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_fast_path_accepts_documented_records(kind: type[Record], decoder: ResponseDecoder[Any]) -> None:
    record = dict.fromkeys(wire_keys(kind).values()) | {"Name": "a", "ID": 2**70, "Column01": [1.5e3, "ü"], "x": {}}
    with patch.object(record_list, "structure_strictly", None):
        (made,) = decode(decoder, envelope(json.dumps(record, ensure_ascii=False)))
    assert made == structure_strictly(kind, record, record)
    assert (made.wire, made.extra) == (record, structure_strictly(kind, record, record).extra)


def test_escaped_key_is_decoded_like_the_plain_key() -> None:
    (made,) = decode(CAMPAIGNS, envelope(r'{"\u004eame":"a","\u0049D":7}'))
    assert (made.id, made.name, made.extra) == (7, "a", {})


def test_text_that_is_not_a_date_is_refused_after_a_valid_date() -> None:
    record = dict.fromkeys(wire_keys(Campaign).values())
    dated = json.dumps({**record, "Name": "a", "dtTo": "2026-01-01T00:00:00"})
    (made,) = decode(CAMPAIGNS, envelope(dated))
    assert made.dt_to.year == 2026
    error = decode(CAMPAIGNS, envelope(dated, json.dumps({**record, "Name": "a", "dtTo": "soon"})))
    assert "dtTo is 'soon'" in str(error)


def test_number_is_accepted_as_a_boolean_only_if_it_is_0_or_1() -> None:
    record = dict.fromkeys(wire_keys(ResultCode).values())
    (made,) = decode(RESULT_CODES, envelope(json.dumps({**record, "bDone": 1})))
    assert made.done is True
    assert "bDone is 2" in str(decode(RESULT_CODES, envelope(json.dumps({**record, "bDone": 2}))))


def test_decoded_records_are_frozen_like_constructed_records() -> None:
    record = {**dict.fromkeys(wire_keys(Campaign).values()), "Name": "a"}
    (made,) = decode(CAMPAIGNS, envelope(json.dumps(record)))
    with pytest.raises(AttributeError):
        made.name = "b"
    assert made == Campaign(name="a")
    assert hash(made) == hash(Campaign(name="a"))


def test_one_record_does_not_keep_a_large_body_in_memory() -> None:
    record = json.dumps({"ID": 1, "Name": "a", "filler": "x" * 1000})
    # What is added to the fast path stays in memory.
    decode(CAMPAIGNS, envelope(record))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = decode(CAMPAIGNS, bytearray(envelope(*[record] * 2000)))[0]
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept.wire == json.loads(record)
    assert after - before < BYTES_PER_SLICE + 5_000


def test_record_is_a_single_object_for_the_garbage_collector() -> None:
    body = envelope(*[json.dumps({"ID": 1, "Name": "a", "dtTo": "2026-01-01T00:00:00", "list": [{}]})] * 5000)
    decode(CAMPAIGNS, body)
    gc.collect()
    before = len(gc.get_objects())
    records = decode(CAMPAIGNS, body)
    assert len(gc.get_objects()) - before < 1.1 * len(records)


@pytest.mark.parametrize("text", ["x", "{", r"\""])
def test_record_of_more_than_512_kib_is_refused(text: str) -> None:
    large = f'{{"Name":"{text * (512 * 1024 // len(text))}"}}'
    error = decode(CAMPAIGNS, envelope("[1]", "[2]", large, '{"Name":"b"}'))
    assert isinstance(error, PayloadError)
    assert "a record larger than 524288 bytes" in str(error)
    assert error.path == "records[2]"


def test_record_with_too_many_values_is_refused() -> None:
    for values, path in ((90_000, "records[0]"), (110_000, "records[2]")):
        record = json.dumps({"Name": "a", "filler": "x" * 100 * 1024, "list": [0] * values})
        error = decode(CAMPAIGNS, envelope("[1]", "[2]", record))
        assert error.path == path


@pytest.mark.parametrize("separator", [" " * 300_000 + ",", "," + "\n" * 300_000, " , " + "\t" * (256 * 1024 - 3)])
@pytest.mark.parametrize("last", ['{"Name":"b"}', f'{{"Name":"{"b" * 70_000}"}}'])
def test_much_whitespace_between_records_is_refused(separator: str, last: str) -> None:
    body = b'{"records":[{"Name":"a"}' + separator.encode() + last.encode() + b"]}"
    error = decode(CAMPAIGNS, body)
    assert isinstance(error, PayloadError)
    assert "more than 262144 bytes between two records" in str(error)


def test_keys_are_added_only_a_few_times_for_each_list() -> None:
    path = CountingPath(Campaign)
    with use_fast_path(lambda kind: path):
        decoded = decode(CAMPAIGNS, envelope(*(json.dumps({"Name": "a", f"key {n}": n}) for n in range(100))))
    assert [one.extra for one in decoded] == [{f"key {n}": n} for n in range(100)]
    assert 0 < path.added < 10


def test_unknown_keys_are_added_once() -> None:
    path = FastPath(Campaign)
    body = envelope(*[json.dumps({"Name": "a", "first": 1}), json.dumps({"Name": "b", "second": []})] * 2)
    with use_fast_path(lambda kind: path):
        assert [one.extra for one in decode(CAMPAIGNS, body)] == [{"first": 1}, {"second": []}] * 2
        with patch.object(path, "add_keys_of", None):
            assert len(decode(CAMPAIGNS, body)) == 4
    assert path.decode_body(body) is not None


def test_extra_key_may_be_nested_after_it_was_not() -> None:
    path = FastPath(Campaign)
    nested = {"Name": "a", "first": {"x": [1]}}
    with use_fast_path(lambda kind: path):
        for record in ({"Name": "a", "first": 1}, nested):
            assert decode(CAMPAIGNS, envelope(json.dumps(record)))[0].wire == record
        with patch.object(path, "add_keys_of", None):
            assert decode(CAMPAIGNS, envelope(json.dumps(nested)))[0].wire == nested
    assert path.decode_body(envelope(json.dumps(nested))) is not None


def test_fast_path_forgets_the_oldest_keys_beyond_its_limit() -> None:
    path = FastPath(Campaign)
    old, new = ({"Name": "a", **{f"{word}{n}": 1 for n in range(400)}} for word in ("old", "new"))
    assert path.add_keys_of(old)
    assert path.add_keys_of(new)
    assert [one.name for one in path.structure(json.dumps(new).encode())] == ["a"]
    assert path.structure(json.dumps(old).encode()) == []
    assert not path.add_keys_of(dict.fromkeys(map(str, range(501))))


@pytest.mark.parametrize("text", ["a", "}", "{", "},{", '"}]', "[{", "\\u007d"])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_each_record_has_its_own_bytes(text: str, size: int) -> None:
    """`wire` is cut out of the JSON of several records, whatever their texts contain."""
    records: list[dict[str, Any]] = [{"Name": f"{number}{text}", "x": "x" * size} for number in range(90)]
    for body in (envelope(*map(json.dumps, records)), envelope(*(f" {json.dumps(one)}\n" for one in records))):
        decode(CAMPAIGNS, body)
        decoded = list(decode(CAMPAIGNS, body))
        assert [one.wire for one in reversed(decoded)] == records[::-1]
        assert [bytes(one._wire) for one in decoded] == [json.dumps(one).encode() for one in records]


def test_pickle_of_a_record_contains_no_other_record() -> None:
    body = envelope('{"Name":"first"}', '{"Name":"second"}')
    first, _ = decode(CAMPAIGNS, body)
    for duplicate in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):  # noqa: S301  made in this test
        assert (duplicate, duplicate.wire) == (first, {"Name": "first"})
    assert b"second" not in pickle.dumps(first)


def test_two_threads_may_read_the_first_wire_of_a_response() -> None:
    for _ in range(50):
        decoded = list(decode(CAMPAIGNS, envelope('{"Name":"a"}', '{"Name":"b"}')))
        with ThreadPoolExecutor(4) as threads:
            names = list(threads.map(lambda one: one.wire["Name"], decoded * 4))
        assert names == ["a", "b"] * 4


def test_records_with_nested_lists_are_structured_together() -> None:
    path = CountingPath(Campaign)
    records = [json.dumps({"Name": str(number), "list": [{"a": 1}, {"b": 2}]}) for number in range(5_000)]
    with use_fast_path(lambda kind: path):
        decoded = decode(CAMPAIGNS, envelope(*records))
    assert [one.wire for one in decoded] == [json.loads(record) for record in records]
    assert path.tried < len(records) / 10


def test_many_small_records_are_decoded_with_pauses() -> None:
    assert list(RESULT_CODES(envelope(*["{}"] * 500))) == []
    body = envelope(*["{}"] * 20_000)
    assert len(decode(RESULT_CODES, body)) == 20_000
    assert sum(1 for _ in RESULT_CODES(body)) >= 200


def test_many_lists_are_read_with_pauses() -> None:
    body = b'{"status":404,"lists":[' + b",".join([b'{"records":[]}'] * 5_000) + b"]}"
    pauses: list[None] = []
    with pytest.raises(DiallerError):
        pauses.extend(CAMPAIGNS(body))
    assert len(pauses) >= 5_000


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (r"\ud83d", "\ud83d"),
        (r"\ud83d\ud83d\ude00", "\ud83d😀"),
        (r"\ude00\\ud83d", r"\ud83d".join(["\ude00", ""])),
        (r"\\\ud83d\\", "\\\ud83d\\"),
        (r"\\\\ud83d\udfff", r"\\ud83d" + "\udfff"),
    ],
)
def test_lone_surrogate_is_kept_in_a_record_and_replaced_in_the_envelope(sent: str, name: str) -> None:
    (made,) = decode(CAMPAIGNS, envelope(f'{{"Name":"{sent}"}}'))
    assert (made.name, made.wire) == (name, {"Name": name})
    found = decode(CAMPAIGNS, f'{{"filter":"{sent}","records":[{{"Name":"a"}}]}}'.encode())
    assert found.filter == "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in name)
