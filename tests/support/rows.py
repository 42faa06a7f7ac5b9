"""Rows of every table for tests that care about a few columns only."""

from dataclasses import fields

from toolformer_ray.records.schema import RecordT
from toolformer_ray.records.stages import Dropped

COLUMNS: dict[str, object] = {
    "text_id": "t-0",
    "doc_id": "t",
    "part": 0,
    "text": "2 and 3 is 5",
    "title": None,
    "url": None,
    "date": None,
    "source": "test",
    "tool": "Add",
    "token_index": 1,
    "char_offset": 1,
    "open_probability": 0.5,
    "call_input": "2+3",
    "num_samples": 1,
    "loss_without": 2.0,
    "status": "ok",
    "result": "5",
    "seconds": 0.0,
    "from_cache": False,
    "loss_with_result": 1.0,
    "loss_reduction": 1.0,
    "input_sees_future": False,
    "sees_future": False,
    "is_kept": True,
    "stage": "propose",
    "reason": "not_offered",
    "detail": None,
    "count": 1,
}


def make_row(record: type[RecordT], **columns: object) -> RecordT:
    """A row with these columns; the others are as above, and None where a drop need not have them."""
    known = COLUMNS | ({"tool": None, "char_offset": None} if record is Dropped else {})
    return record(**{field.name: known[field.name] for field in fields(record) if field.name in known} | columns)
