import json
from pathlib import Path

import pytest

from toolformer_ray.annotate.endpoint.answered import Answered, BudgetSpentError
from toolformer_ray.annotate.endpoint.client import Fault
from toolformer_ray.records.run_folder import RunFolder


class Sender:
    """Counts what is sent, and gives what it is told."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.num_sent = list(answers), 0

    def __call__(self) -> object:
        self.num_sent += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered(folder: Path, budget: int | None = None) -> Answered:
    return Answered(RunFolder(str(folder)), budget)


def test_an_answer_is_there_for_whoever_asks_next_and_so_is_a_refusal(tmp_path: Path) -> None:
    send = Sender({"text": None}, Fault("HTTP 400: no"))
    for _ in range(2):
        assert answered(tmp_path).ask("/completions", {"prompt": "a"}, send) == {"text": None}
        assert answered(tmp_path).ask("/completions", {"prompt": "b"}, send) == Fault("HTTP 400: no")
    assert send.num_sent == 2


def test_what_failed_for_the_moment_is_asked_again(tmp_path: Path) -> None:
    send = Sender(Fault("HTTP 500", is_final=False), OSError("gone"), 5)
    store = answered(tmp_path, budget=1)
    assert store.ask("/p", {}, send) == Fault("HTTP 500", is_final=False)
    with pytest.raises(OSError, match="gone"):
        store.ask("/p", {}, send)
    assert store.ask("/p", {}, send) == 5 and send.num_sent == 3, "only answers count against the budget"


def test_the_budget_is_the_run_folders_and_what_was_answered_stays_free(tmp_path: Path) -> None:
    send = Sender(1, 2, 3)
    assert [answered(tmp_path, 2).ask("/p", {"n": n}, send) for n in (1, 2)] == [1, 2]
    store = answered(tmp_path, 2)
    with pytest.raises(BudgetSpentError, match="budget of 2 requests is spent; raise `proposer_budget`"):
        store.ask("/p", {"n": 3}, send)
    assert store.ask("/p", {"n": 1}, send) == 1 and send.num_sent == 2
    assert answered(tmp_path, 3).ask("/p", {"n": 3}, send) == 3


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"name": "other", "fault": null, "answer": 7}', '{"name": 1}'])
def test_a_damaged_file_counts_as_missing(damage: str, tmp_path: Path) -> None:
    assert answered(tmp_path).ask("/p", {}, Sender(5)) == 5
    (file,) = (tmp_path / "proposer").iterdir()
    assert json.loads(file.read_text())["answer"] == 5
    file.write_text(damage)
    assert answered(tmp_path).ask("/p", {}, Sender(6)) == 6
