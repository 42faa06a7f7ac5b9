import dataclasses
import datetime
import typing

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import make_row
from toolformer_ray.records.schema import Record, arrow_schema, from_plain, is_readable, to_table
from toolformer_ray.records.stages import (
    Augmented,
    Candidate,
    Document,
    Dropped,
    Executed,
    KeptCall,
    Scored,
)

RECORDS = [Document, Candidate, Executed, Scored, Augmented, Dropped]

VALUES = {
    str: st.text(max_size=8),
    int: st.integers(-(2**31), 2**31 - 1),
    float: st.floats(width=32, allow_nan=False),
    bool: st.booleans(),
    datetime.date: st.dates(),
}


def rows_of(record: type[Record]) -> st.SearchStrategy[Record]:
    fields: dict[str, st.SearchStrategy] = {}
    for field in dataclasses.fields(record):
        if field.name == "calls":
            fields["calls"] = st.lists(rows_of(KeptCall), max_size=2).map(tuple)
        elif typing.get_origin(field.type) is tuple:
            fields[field.name] = st.lists(VALUES[typing.get_args(field.type)[0]], max_size=2).map(tuple)
        else:
            kinds = getattr(field.type, "__args__", (field.type,))
            fields[field.name] = st.one_of([VALUES[kind] if kind in VALUES else st.none() for kind in kinds])
    return st.builds(record, **fields)


@pytest.mark.parametrize("record", RECORDS)
@given(data=st.data())
def test_rows_come_back_from_a_table_as_they_went_in(record: type[Record], data: st.DataObject) -> None:
    rows = data.draw(st.lists(rows_of(record), max_size=3))
    table = to_table(record, rows)
    assert table.schema == arrow_schema(record)
    assert list(from_plain(record, table.to_pylist())) == rows


def test_a_column_may_be_null_only_where_its_field_may_be_none() -> None:
    schema = arrow_schema(Executed)
    assert schema.field("result").nullable and schema.field("result").type == pa.string()
    assert not schema.field("seconds").nullable and schema.field("seconds").type == pa.float32()
    assert arrow_schema(Document).field("date").type == pa.date32()
    assert arrow_schema(Augmented).field("calls").type.value_type.names == [
        "tool",
        "call_input",
        "result",
        "char_offset",
        "loss_reduction",
    ]


def test_the_columns_of_the_run_folder_are_the_documented_ones() -> None:
    documented = {
        "documents": "text_id doc_id part text title url date source",
        "candidates": "text_id tool token_index char_offset open_probability call_input num_samples loss_without",
        "executed": "status result seconds from_cache",
        "scored": "loss_with_call loss_with_result loss_reduction sees_future is_kept",
        "augmented": "text_id doc_id text num_calls calls",
    }
    for table, columns in documented.items():
        assert set(columns.split()) <= set(arrow_schema({record.table: record for record in RECORDS}[table]).names)
    assert set(arrow_schema(Candidate).names) < set(arrow_schema(Executed).names) < set(arrow_schema(Scored).names)
    assert set(arrow_schema(Dropped).names) >= {"stage", "reason", "text_id", "tool", "char_offset", "detail"}


def test_a_value_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        to_table(KeptCall, [KeptCall(tool="A", call_input="", result="", char_offset=2**31, loss_reduction=0.0)])


def test_losses_are_stored_with_float32_precision() -> None:
    row = KeptCall(tool="A", call_input="x", result="y", char_offset=1, loss_reduction=0.1)
    (stored,) = from_plain(KeptCall, to_table(KeptCall, [row]).to_pylist())
    assert stored.loss_reduction == float(np.float32(0.1)) != 0.1


def test_rows_from_before_a_column_was_added_or_given_up_are_read_and_others_are_not() -> None:
    today = arrow_schema(Scored)
    before = pa.schema([field for field in today if field.name not in ("decoys", "contrast", "losses_of_decoys")])
    older = before.append(pa.field("screening", pa.string()))
    assert all(is_readable(Scored, schema) for schema in (today, before, older))
    row = make_row(Scored)
    stored = to_table(Scored, [row]).drop_columns(["decoys", "contrast", "losses_of_decoys"])
    assert list(from_plain(Scored, stored.to_pylist())) == [row]
    assert list(from_plain(Scored, [{**stored.to_pylist()[0], "screening": "passed"}])) == [row]
    assert not is_readable(Scored, today.remove(0))
    assert not is_readable(Scored, today.append(pa.field("mood", pa.string())))
