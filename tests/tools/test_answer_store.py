"""Answers on disk: a cache for many runs, a recording, its replay; and that none of it can make a wrong row."""

import contextlib
import datetime
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.answer_store import AnswerOptions, AnswerStore, Mode, open_store
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.options import Asking, Teaching, ToolOptions
from toolformer_ray.tools.qa import QuestionAnswering, QuestionAnsweringOptions
from toolformer_ray.tools.tool import BadInput, CallContext, Tool, Unavailable, answer_fingerprint

MONDAY, TUESDAY = datetime.date(2017, 6, 5), datetime.date(2017, 6, 6)


@dataclass(frozen=True, kw_only=True)
class ShoutOptions(ToolOptions):
    """How loudly."""

    suffix: str = ""
    """What comes after the input."""
    device: str = "cpu"
    """Where it runs."""


class Shout(Tool):
    """Says the input in capitals; fails for some. Remembers what it was asked."""

    Options = ShoutOptions
    asking = Asking(max_retries=0, pause_after=1_000)
    changes_no_answer = frozenset({"device"})
    name = "Shout"
    instruction = ""
    demonstrations = ()
    data = ""

    def __init__(self, options: ShoutOptions | None = None) -> None:
        super().__init__(options)
        self.seen: list[str] = []

    def data_version(self) -> str:
        return self.data

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        self.seen.append(call_input)
        if call_input in ERRORS:
            raise ERRORS[call_input]
        return "" if call_input == "nothing" else f"{call_input.upper()}{vars(self.options)['suffix']}"


ERRORS: dict[str, Exception] = {
    "bad": BadInput("no"),
    "away": Unavailable("no"),
    "broken": ZeroDivisionError("no"),
}
INPUTS = ["a", "nothing", "bad", "away", "broken", "a", "x" * 2_000]
FACTS = ["a", "nothing", "bad", "x" * 2_000]


def use(folder: Path, mode: Mode, tool: Tool, inputs: list[str]) -> list[Outcome]:
    store = open_store(AnswerOptions(**{mode: str(folder)}))
    return ToolExecutor({tool.name: tool}, store, first_retry_delay=0.0).run(
        [(tool.name, text, None) for text in inputs]
    )


def row(outcome: Outcome) -> tuple[str, str | None, str | None]:
    return outcome.status, outcome.result, outcome.note


def test_a_cache_answers_the_facts_of_an_earlier_run_and_asks_again_what_failed(tmp_path: Path) -> None:
    first, second = Shout(), Shout()
    before = use(tmp_path, "cache", first, INPUTS)
    after = use(tmp_path, "cache", second, INPUTS)
    assert list(map(row, after)) == list(map(row, before))
    assert sorted(second.seen) == ["away", "broken"]
    assert [outcome.from_cache for outcome in after] == [True, True, True, False, False, True, True]
    assert [outcome.seconds == 0 for outcome in after] == [True, True, True, False, False, True, True]


def test_rows_are_the_same_with_a_cache_and_without(tmp_path: Path) -> None:
    tool = Shout()
    plain = ToolExecutor({"Shout": tool}, first_retry_delay=0.0).run([("Shout", text, None) for text in INPUTS])
    assert list(map(row, use(tmp_path, "cache", tool, INPUTS))) == list(map(row, plain))


@pytest.mark.parametrize(
    "other",
    [
        lambda tool: setattr(tool, "data", "another table"),
        lambda tool: setattr(tool, "version", 2),
        lambda tool: setattr(tool, "options", ShoutOptions(suffix="!")),
    ],
)
def test_another_version_other_data_or_other_options_are_asked_anew(
    tmp_path: Path, other: Callable[[Tool], None]
) -> None:
    use(tmp_path, "cache", Shout(), ["a"])
    tool = Shout()
    other(tool)
    use(tmp_path, "cache", tool, ["a"])
    assert tool.seen == ["a"]


def test_thresholds_the_device_and_how_a_tool_is_asked_do_not_make_it_another() -> None:
    plain = answer_fingerprint(Shout(ShoutOptions()))
    elsewhere = Shout(ShoutOptions(device="cuda"))
    elsewhere.teaching, elsewhere.asking = Teaching(num_samples=2), Asking(timeout=1.0, max_retries=9)
    assert answer_fingerprint(elsewhere) == plain
    assert answer_fingerprint(Shout(ShoutOptions(suffix="!"))) != plain


def test_where_data_lie_does_not_make_a_tool_another_but_what_they_hold_does(tmp_path: Path) -> None:
    def fingerprint_with(content: str, folder: str) -> str:
        table = tmp_path / folder / "table.tsv"
        table.parent.mkdir(exist_ok=True)
        table.write_text(f"question\tanswer\n{content}")
        return answer_fingerprint(QuestionAnswering(QuestionAnsweringOptions(table=str(table))))

    assert fingerprint_with("Who?\tI.", "a") == fingerprint_with("Who?\tI.", "b")
    assert fingerprint_with("Who?\tI.", "a") != fingerprint_with("Who?\tYou.", "a")


def test_a_key_in_a_url_does_not_make_a_tool_another() -> None:
    with_key, with_another = (
        answer_fingerprint(Shout(ShoutOptions(suffix=f"https://{key}@host/v1?api_key={key}"))) for key in ("k1", "k2")
    )
    assert with_key == with_another


def test_a_tool_that_reads_today_has_an_answer_for_each_day(tmp_path: Path) -> None:
    class Today(Shout):
        reads_today = True

    for tool, seen in ((Today(), ["a", "a"]), (Today(), [])):
        store = open_store(AnswerOptions(cache=str(tmp_path)))
        ToolExecutor({"Shout": tool}, store).run([("Shout", "a", MONDAY), ("Shout", "a", TUESDAY)])
        assert tool.seen == seen


def test_inputs_are_equal_only_to_the_letter(tmp_path: Path) -> None:
    use(tmp_path, "cache", Shout(), ["a"])
    tool = Shout()
    use(tmp_path, "cache", tool, ["A", "a ", '"a"', "a"])
    assert sorted(tool.seen) == ['"a"', "A", "a "]


def test_a_cache_leaves_out_what_is_faster_calculated_than_looked_up_and_a_recording_does_not(tmp_path: Path) -> None:
    calculator = Calculator()
    assert not use(tmp_path / "cache", "cache", calculator, ["1 + 1"])[0].from_cache
    assert not use(tmp_path / "cache", "cache", calculator, ["1 + 1"])[0].from_cache
    use(tmp_path / "record", "record", calculator, ["1 + 1"])
    assert use(tmp_path / "record", "replay", calculator, ["1 + 1"])[0].result == "2"


def test_a_replay_gives_the_rows_of_the_recorded_run_and_asks_nobody(tmp_path: Path) -> None:
    recorded = use(tmp_path, "record", Shout(), INPUTS)
    tool = Shout()
    replayed = use(tmp_path, "replay", tool, INPUTS)
    assert list(map(row, replayed)) == list(map(row, recorded))
    assert tool.seen == []
    assert all(outcome.from_cache and outcome.seconds == 0 for outcome in replayed)


def test_a_recording_that_goes_on_keeps_its_facts_and_tries_again_what_failed(tmp_path: Path) -> None:
    use(tmp_path, "record", Shout(), INPUTS)
    tool = Shout()
    tool.run = lambda call_input, context: "back"  # type: ignore[method-assign]
    again = use(tmp_path, "record", tool, INPUTS)
    assert [row(outcome)[:2] for outcome in again][3:5] == [("ok", "back")] * 2
    assert again[0].result == "A"
    assert list(map(row, use(tmp_path, "replay", Shout(), INPUTS))) == list(map(row, again))


def test_a_call_that_was_not_recorded_is_unavailable_for_that_reason_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(tmp_path, "record", Shout(), ["a"])
    tool = Shout()
    with caplog.at_level(logging.WARNING):
        outcomes = use(tmp_path, "replay", tool, ["a", "b", "c"])
    assert [row(outcome) for outcome in outcomes[1:]] == [("unavailable", None, "not_recorded")] * 2
    assert tool.seen == []
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{tmp_path}: the recording lacks calls of Shout, such as ") and message[-2] in "bc"


@pytest.mark.parametrize("damage", ["", "{", "[]", "\ud800", '{"status": "ok", "result": "EVIL"}'])
def test_a_damaged_answer_counts_as_not_there(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    use(tmp_path, "record", Shout(), ["a"])
    (answer,) = tmp_path.glob("Shout/*/*/*.json")
    answer.write_bytes(damage.encode("utf-8", "surrogatepass"))
    assert row(use(tmp_path, "replay", Shout(), ["a"])[0]) == ("unavailable", None, "not_recorded")
    tool = Shout()
    with caplog.at_level(logging.WARNING):
        assert use(tmp_path, "cache", tool, ["a"])[0].result == "A"
    assert tool.seen == ["a"]
    assert "is damaged" in caplog.text
    assert json.loads(answer.read_text())["result"] == "A"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "fine"},
        {"result": None},
        {"result": ""},
        {"result": 5},
        {"result": "a [call] of its own"},
        {"result": "x" * 2_000},
        {"result": "two\nlines"},
        {"status": "empty"},
        {"note": "anything"},
        {"name": "Shout/other.json"},
    ],
)
def test_an_answer_that_no_store_would_have_written_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    use(tmp_path, "record", Shout(), ["a"])
    (answer,) = tmp_path.glob("Shout/*/*/*.json")
    answer.write_text(json.dumps(json.loads(answer.read_text()) | change))
    assert use(tmp_path, "replay", Shout(), ["a"])[0].status == "unavailable"


@pytest.mark.parametrize("call_input", ["\ud800", "\0", "../../etc/passwd", "x" * 10**6, "\n", "🙂"])
def test_any_input_can_be_kept_and_none_decides_where(tmp_path: Path, call_input: str) -> None:
    folder = tmp_path / "answers"
    before, after = (use(folder, "cache", Shout(), [call_input])[0] for _ in range(2))
    assert after.from_cache and row(after) == row(before)
    assert [path.name for path in tmp_path.iterdir()] == ["answers"]
    assert len(list(folder.glob("Shout/*/??/" + "?" * 30 + ".json"))) == 1


def test_many_workers_share_one_folder(tmp_path: Path) -> None:
    inputs = [f"call {number}" for number in range(60)]
    tools = [Shout() for _ in range(4)]
    threads = [threading.Thread(target=use, args=(tmp_path, "cache", tool, inputs)) for tool in tools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = Shout()
    assert [outcome.result for outcome in use(tmp_path, "cache", last, inputs)] == [text.upper() for text in inputs]
    assert last.seen == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"]


class FullDisk(RunFolder):
    """Takes the first `room` files."""

    room = 2

    def write_json(self, name: str, value: object) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device")
        super().write_json(name, value)


def test_a_cache_that_is_full_costs_a_line_and_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    executor = ToolExecutor({"Shout": Shout()}, AnswerStore(FullDisk(str(tmp_path)), "cache"))
    with caplog.at_level(logging.WARNING):
        outcomes = executor.run([("Shout", str(number), None) for number in range(20)])
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert len(list(tmp_path.rglob("*.json"))) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: answers cannot be kept: [Errno 28] No space left on device"
    ]


def test_a_recording_that_is_full_is_an_error_since_it_would_be_worth_nothing(tmp_path: Path) -> None:
    executor = ToolExecutor({"Shout": Shout()}, AnswerStore(FullDisk(str(tmp_path)), "record"))
    with pytest.raises(OSError, match="No space left"):
        executor.run([("Shout", str(number), None) for number in range(20)])


@pytest.mark.parametrize("mode", ["cache", "record"])
def test_after_a_write_that_failed_the_next_batch_is_kept_again(tmp_path: Path, mode: Mode) -> None:
    folder = FullDisk(str(tmp_path))
    folder.room = 0
    executor = ToolExecutor({"Shout": Shout()}, AnswerStore(folder, mode))
    with pytest.raises(OSError, match="No space left") if mode == "record" else contextlib.nullcontext():
        executor.run([("Shout", "a", None)])
    folder.room = 1
    executor.run([("Shout", "a", None)])
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_only_one_way_of_using_answers_can_be_chosen() -> None:
    with pytest.raises(ValueError, match=r"^`cache` and `replay` were given; choose one of them$"):
        AnswerOptions(cache="a", replay="b")
    assert open_store(AnswerOptions()) is None


@pytest.mark.parametrize("mode", ["cache", "record", "replay"])
def test_a_folder_that_cannot_be_used_is_named_with_its_option(tmp_path: Path, mode: Mode) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ValueError, match=f"^{mode} is {path}; ") as caught:
        open_store(AnswerOptions(**{mode: str(path)}))
    assert "\n" not in str(caught.value)


def test_a_replay_of_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it holds no recording; make one with `record`"):
        open_store(AnswerOptions(replay=str(tmp_path)))
