"""The driver's book: an output is done if it was made from what the book expects, down to the documents."""

from jobs.ledger import Ledger
from jobs.pipeline import PIPELINE
from records.run_folder import ShardHeader

INGEST, PROPOSE, EXECUTE, SCORE, INTERLEAVE = PIPELINE
FINGERPRINTS = {stage.name: f"made by {stage.name}" for stage in PIPELINE}


def open_ledger(headers: dict | None = None, **other_fingerprints: str) -> Ledger:
    return Ledger(PIPELINE, FINGERPRINTS | other_fingerprints, headers or {})


def run_through(ledger: Ledger, shard: str, documents: str) -> dict[str, dict[str, ShardHeader]]:
    """Do every stage of one shard, and return the headers that its outputs have then."""
    headers = {}
    stage = ledger.admit(shard, documents, {"rows": 10})
    while stage:
        fingerprint = ledger.expected(stage, shard)
        headers[stage.writes] = {shard: ShardHeader(fingerprint=fingerprint, counts={"rows": 1}, num_rows=1)}
        stage = ledger.finish(stage, shard, {"rows": 1})
    return headers


def test_a_new_shard_goes_through_the_stages_in_order() -> None:
    ledger = open_ledger()
    stages = [ledger.admit("part-00000", "d", {"rows": 10})]
    while stages[-1]:
        stages.append(ledger.finish(stages[-1], "part-00000", {}))
    assert stages == [PROPOSE, EXECUTE, SCORE, INTERLEAVE, None]
    assert (ledger.num_open, ledger.num_finished_texts, ledger.num_new_texts) == (0, 10, 10)


def test_outputs_made_from_the_same_are_skipped_and_counted_as_before() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    again = open_ledger(headers)
    assert again.admit("part-00000", "d", {"rows": 10}) is None
    assert (again.num_open, again.num_finished_texts, again.num_new_texts) == (0, 10, 0)
    assert again.counts["score"]["rows"] == 1


def test_other_documents_make_every_output_stale() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    assert open_ledger(headers).admit("part-00000", "other", {"rows": 10}) is PROPOSE


def test_a_changed_stage_makes_its_own_output_and_all_later_ones_stale() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    changed = open_ledger(headers, score="made by a newer score")
    assert changed.admit("part-00000", "d", {"rows": 10}) is SCORE
    assert changed.finish(SCORE, "part-00000", {}) is INTERLEAVE


def test_a_missing_output_is_made_again_and_later_ones_that_fit_are_kept() -> None:
    headers = run_through(open_ledger(), "part-00000", "d")
    del headers["executed"]
    again = open_ledger(headers)
    assert again.admit("part-00000", "d", {"rows": 10}) is EXECUTE
    assert again.finish(EXECUTE, "part-00000", {}) is None


def test_a_shard_that_is_given_up_is_neither_open_nor_finished() -> None:
    ledger = open_ledger()
    ledger.admit("part-00000", "d", {"rows": 10})
    ledger.admit("part-00001", "e", {"rows": 5})
    ledger.give_up(PROPOSE, "part-00000")
    assert (ledger.num_open, ledger.num_failed, ledger.num_texts, ledger.num_finished_texts) == (1, 1, 15, 0)
