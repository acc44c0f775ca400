"""Records of a form that has passed before are made as cattrs would make them, and nothing else passes for one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import Campaign, ResultCode
from dialler_async._api.structure import STRUCTURE, MisfitError, judge
from dialler_async.models import Record, wire_keys

VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, 1.0, "", "text", "2020-08-09T02:33:50.347", "2026-13-01 00:00:00", [], {}]
)


def made_or_told(structure: Any, record: dict[str, Any]) -> Any:
    try:
        made = structure(record)
    except MisfitError as misfit:
        return misfit.told
    return made, made.wire, type(made)


@pytest.mark.parametrize("kind", [Campaign, ResultCode])
@given(data=st.data())
def test_a_form_seen_before_changes_nothing(kind: type[Record], data: st.DataObject) -> None:
    keys = list(wire_keys(kind).values())
    # Few values, so that forms come again with other values.
    records = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(keys, VALUES)), min_size=1, max_size=4))
    for record in [*records, *records]:
        assert made_or_told(STRUCTURE[kind], record) == made_or_told(judge(kind), record)


def test_a_date_that_is_none_does_not_pass_for_its_form() -> None:
    record = dict.fromkeys(wire_keys(Campaign).values())
    structure = STRUCTURE[Campaign]
    assert structure({**record, "Name": "a", "dtTo": "2026-01-01T00:00:00"}).dt_to.year == 2026
    with pytest.raises(MisfitError, match="dtTo is 'soon'"):
        structure({**record, "Name": "a", "dtTo": "soon"})


def test_a_number_that_is_no_boolean_does_not_pass_for_one_that_is() -> None:
    record = dict.fromkeys(wire_keys(ResultCode).values())
    structure = STRUCTURE[ResultCode]
    assert structure({**record, "bDone": 1}).done is True
    with pytest.raises(MisfitError, match="bDone is 2"):
        structure({**record, "bDone": 2})


def test_what_is_made_quickly_is_as_frozen_as_what_is_made_by_hand() -> None:
    record = {**dict.fromkeys(wire_keys(Campaign).values()), "Name": "a"}
    STRUCTURE[Campaign](record)
    again = STRUCTURE[Campaign](record)
    with pytest.raises(AttributeError):
        again.name = "b"
    assert again == Campaign(name="a")
    assert hash(again) == hash(Campaign(name="a"))
