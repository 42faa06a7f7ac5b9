"""The driver's book: an output is done if it was made from what the book expects, down to the documents."""

from dataclasses import replace

from toolformer_ray.records.counts import ROWS, read_counts
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.pipeline import PIPELINE

INGEST, PROPOSE, EXECUTE, SCORE, INTERLEAVE = PIPELINE
FINGERPRINTS = {stage.name: f"made by {stage.name}" for stage in PIPELINE}


def open_ledger(headers: dict | None = None, **other_fingerprints: str) -> Ledger:
    return Ledger(PIPELINE, FINGERPRINTS | other_fingerprints, headers or {})


def header(content: str, *, fingerprint: str = "", num_rows: int = 1, **counts: int) -> ShardHeader:
    return ShardHeader(fingerprint=fingerprint, content=content, counts={ROWS: num_rows} | counts, parts={})


def run_through(ledger: Ledger, shard: str, documents: str) -> dict[str, dict[str, ShardHeader]]:
    """Do every stage of one shard, and return the headers that its outputs have then."""
    headers = {}
    stage = ledger.admit(shard, header(documents, num_rows=10))
    while stage:
        fingerprint = ledger.expected(stage, shard).fingerprint
        headers[stage.table] = {shard: header(f"rows of {stage.name}", fingerprint=fingerprint)}
        stage = ledger.finish(stage, shard, headers[stage.table][shard])
    return headers


def test_a_new_shard_goes_through_the_stages_in_order() -> None:
    ledger = open_ledger()
    stages = [ledger.admit("part-00000", header("d", num_rows=10))]
    while stages[-1]:
        stages.append(ledger.finish(stages[-1], "part-00000", header("x")))
    assert stages == [PROPOSE, EXECUTE, SCORE, INTERLEAVE, None]
    assert (ledger.num_open, ledger.num_finished_texts, ledger.num_new_texts) == (0, 10, 10)


def test_outputs_made_from_the_same_are_skipped_and_counted_as_before() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    again = open_ledger(headers)
    assert again.admit("part-00000", header("d", num_rows=10)) is None
    assert (again.num_open, again.num_finished_texts, again.num_new_texts) == (0, 10, 0)
    assert again.counts["score"][ROWS] == 1


def test_other_documents_make_every_output_stale() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    assert open_ledger(headers).admit("part-00000", header("other", num_rows=10)) is PROPOSE


def test_a_changed_stage_makes_its_own_output_and_all_later_ones_stale() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    changed = open_ledger(headers, score="made by a newer score")
    assert changed.admit("part-00000", header("d", num_rows=10)) is SCORE
    assert changed.finish(SCORE, "part-00000", header("other rows")) is INTERLEAVE


def test_a_missing_output_is_made_again_and_later_ones_that_fit_are_kept() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    del headers["executed"]
    again = open_ledger(headers)
    assert again.admit("part-00000", header("d", num_rows=10)) is EXECUTE
    assert again.finish(EXECUTE, "part-00000", header("rows of execute")) is None


def test_a_shard_that_is_given_up_is_neither_open_nor_finished() -> None:
    ledger = open_ledger()
    ledger.admit("part-00000", header("d", num_rows=10))
    ledger.admit("part-00001", header("e", num_rows=5))
    ledger.give_up(PROPOSE, "part-00000")
    assert (ledger.num_open, ledger.num_failed, ledger.num_texts, ledger.num_finished_texts) == (1, 1, 15, 0)


def test_a_stage_made_again_with_the_same_rows_leaves_later_ones_as_they_are() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    changed = open_ledger(headers, propose="made by a newer propose")
    assert changed.admit("part-00000", header("d", num_rows=10)) is PROPOSE
    assert changed.finish(PROPOSE, "part-00000", header("rows of propose")) is None


def test_calls_without_an_answer_are_asked_again_once_if_that_is_wanted() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    done = headers["executed"]["part-00000"]
    headers["executed"]["part-00000"] = replace(done, counts=read_counts({"status.timeout.QA": 1, "status.ok.QA": 5}))
    assert open_ledger(headers).admit("part-00000", header("d", num_rows=10)) is None
    asking = Ledger(PIPELINE, FINGERPRINTS, headers, ask_again=["timeout"])
    assert asking.admit("part-00000", header("d", num_rows=10)) is EXECUTE
    assert asking.finish(EXECUTE, "part-00000", replace(done, content="other answers")) is SCORE
