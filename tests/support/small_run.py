"""A run folder written by hand: two texts, five calls of two tools, two of them kept, at one place."""

from collections.abc import Mapping
from dataclasses import fields

from tests.support.rows import make_row
from toolformer_ray.records.calls import insert_calls
from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Augmented, Candidate, Document, Dropped, Executed, KeptCall, Scored
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.counts import count_output

SHARD = "part-00000"
SCHOOL = "🏫 Out of 1400 people 400 (or 0.29 of them) passed."
STAGES = {stage.name: stage for stage in PIPELINE}
PLAIN = "Nothing to count or to translate."


def write_small_run(location: str) -> RunFolder:
    """Write the run; all its tables agree with each other."""
    run = RunFolder(location)
    run.write_json("run.json", {"settings": {"tools": ["calculator", "translation"]}})
    documents = [
        make_row(Document, text_id=f"{name}-0", doc_id=name, text=text, source="school.jsonl")
        for name, text in (("a", SCHOOL), ("b", PLAIN))
    ]
    calls = [
        _scored("Calculator", "400 / 1400", "0.29", 2.5),
        _scored("Calculator", "1400 - 400", "1000", 0.75),
        _scored("Calculator", "1400 +", None, None),
        _scored("MT", '"quatre"', "four", 1.5),
        _scored("MT", '"passed"', "passed", 2.0, input_sees_future=True, is_kept=False),
    ]
    drops = [
        make_row(Dropped, reason="sample_malformed", text_id="a-0", tool="MT", count=6),
        make_row(Dropped, reason="not_offered", text_id="b-0", tool="Calculator"),
        make_row(Dropped, reason="no_position", text_id="b-0", tool="MT"),
    ]
    at = {"text_id": "a-0", "tool": "MT", "char_offset": calls[3].char_offset}
    gave_way = [make_row(Dropped, stage="interleave", reason="same_place", **at)]
    proposed = [_only(Candidate, call) for call in calls]
    write(run, "documents", Document, documents)
    write(run, "candidates", Candidate, proposed, count_output(STAGES["propose"], proposed, drops))
    write(run, "executed", Executed, [_only(Executed, call) for call in calls])
    write(run, "scored", Scored, calls)
    augmented = [_augmented(calls[0])]
    write(run, "augmented", Augmented, augmented, count_output(STAGES["interleave"], augmented, gave_way))
    write(run, "dropped/propose", Dropped, drops, count_output(STAGES["propose"], proposed, drops))
    write(run, "dropped/interleave", Dropped, gave_way, count_output(STAGES["interleave"], augmented, gave_way))
    return run


def write(
    run: RunFolder,
    table: str,
    record: type[Record],
    rows: list,
    counts: Mapping[Count, int] | None = None,
    shard: str = SHARD,
) -> None:
    """Write a shard of a table, else the only one; one that is there keeps its counts unless others are given."""
    header = run.header(table, shard)
    told = counts or (header.counts if header else {ROWS: len(rows)})
    run.write_shard(table, shard, record, rows, fingerprint="0", counts=told)


def _scored(tool: str, call_input: str, result: str | None, reduction: float | None, **columns: object) -> Scored:
    """A call before ` 0.29`, kept if it lowers the loss by 1 nat or more."""
    row: dict[str, object] = {
        "text_id": "a-0",
        "tool": tool,
        "token_index": 9,
        "char_offset": SCHOOL.index(" 0.29"),
        "call_input": call_input,
        "loss_without": 3.0,
        "status": "ok" if result else "timeout",
        "result": result,
        "seconds": 0.25,
        "loss_with_call": None if reduction is None else 3.0,
        "loss_with_result": None if reduction is None else 3.0 - reduction,
        "loss_reduction": reduction,
        "loss_in_place": None if reduction is None else 3.0 - reduction,
        "decoys": () if reduction is None else ("7", "8", "9"),
        "losses_of_decoys": () if reduction is None else (3.0, 3.0, 3.0),
        "contrast": reduction,
        "is_kept": reduction is not None and reduction >= 1.0,
    }
    return make_row(Scored, **row | columns)


def _augmented(call: Scored) -> Augmented:
    kept = KeptCall(
        tool=call.tool,
        call_input=call.call_input,
        result=call.result or "",
        char_offset=call.char_offset,
        loss_reduction=call.loss_reduction or 0.0,
    )
    return Augmented(text_id="a-0", doc_id="a", text=insert_calls(SCHOOL, [kept]), num_calls=1, calls=(kept,))


def _only(record: type[Record], row: Record) -> Record:
    return record(**{field.name: getattr(row, field.name) for field in fields(record)})
