"""Every benchmark reads its own files, asks without giving the answer away, and accepts a right answer."""

import json
from pathlib import Path

import pytest

from evals.rows import read_rows
from evals.tasks import find_tasks
from tools.catalog import find_tools

DATA = Path(__file__).parents[3] / "shared/data/eval"
TASKS = find_tasks()


def _one(key: str, row: dict) -> tuple[str, tuple[str, ...]] | None:
    found = [(question.prompt, question.answers) for question in TASKS[key].questions(row)]
    return found[0] if found else None


def test_asdiv_asks_for_problems_with_one_number_and_leaves_out_the_others() -> None:
    row = {"Body": "Seven apples and two pears.", "Question": "How many?", "Answer": "9 (fruits)"}
    assert _one("asdiv", row) == ("Seven apples and two pears. How many? The answer is", ("9",))
    assert _one("asdiv", row | {"Answer": "9; 5"}) is None
    assert _one("asdiv", row | {"Answer": "yes"}) is None


def test_mawps_puts_numbers_that_stand_apart_back_into_the_text() -> None:
    row = {"Question": "number0 trees and number1 more , number0 again ?", "Numbers": "41.0 4.5", "Answer": "98"}
    assert _one("mawps", row) == ("41 trees and 4.5 more , 41 again ? The answer is", ("98",))
    assert _one("mawps", {"sQuestion": " How many ? ", "lSolutions": [8.0]}) == ("How many ? The answer is", ("8.0",))


def test_lama_asks_only_for_statements_that_end_with_what_is_missing() -> None:
    row = {"masked_sentences": ["It was aired by [MASK]."], "obj_label": "CBS"}
    assert _one("lama_squad", row) == ("It was aired by", ("CBS",))
    assert _one("lama_squad", row | {"masked_sentences": ["The [MASK] color was used."]}) is None


def test_dateset_reckons_from_the_day_that_stands_for_today() -> None:
    import datetime

    today = datetime.date(2024, 3, 1)
    asked = {q.prompt: q.answers for q in TASKS["dateset"].questions({"today": today, "days": 1})}
    assert asked["Question: How many days ago was February 29, 2024?\nAnswer:"] == ("1",)
    assert asked["Question: What day of the week will it be in 1 days?\nAnswer:"] == ("Saturday",)
    assert all(question.today for question in TASKS["dateset"].read("0"))
    assert list(TASKS["dateset"].read("3")) == list(TASKS["dateset"].read("3"))


@pytest.mark.parametrize("key", TASKS)
def test_a_task_bars_only_tools_that_exist_and_says_what_it_is(key: str) -> None:
    names = {tool.name for tool in find_tools().values()}
    assert set(TASKS[key].barred_tools) <= names
    assert TASKS[key].describes


@pytest.mark.parametrize("key", TASKS)
def test_on_its_real_file_a_task_accepts_its_own_answers_and_does_not_show_them_at_the_end(key: str) -> None:
    location = TASKS[key].default_location(str(DATA))
    if key != "dateset" and not Path(location).exists():
        pytest.skip(f"{location} is not there")
    questions = list(TASKS[key].read(location))
    assert len(questions) > 100
    right = [TASKS[key].rule(f" {question.answers[0]}.", question.answers) for question in questions]
    # A few answers are longer than the words that count, or hold no word at all.
    assert sum(right) > 0.9 * len(right)
    assert not any(question.prompt.endswith(question.answers[0]) for question in questions)


def test_rows_are_read_from_json_lines_csv_and_folders_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n\n{"x": 2}\n')
    (tmp_path / "b.csv").write_text("x\n3\n")
    assert [row["x"] for row in read_rows(str(tmp_path))] == [1, 2, "3"]
    (tmp_path / "c.json").write_text(json.dumps([{"x": 1}])[:-1])
    with pytest.raises(ValueError, match=r"c\.json cannot be read"):
        list(read_rows(str(tmp_path / "c.json")))
    with pytest.raises(ValueError, match=r"nowhere\.json is not there; give a file"):
        list(read_rows(str(tmp_path / "nowhere.json")))
    (tmp_path / "d.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(
        ValueError, match=r"d\.jsonl is no data for this task: a row has no usable 'Body' \(it has other\)"
    ):
        list(TASKS["svamp"].read(str(tmp_path / "d.jsonl")))


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')
    with pytest.raises(ValueError, match="XML with entities"):
        list(read_rows(str(bomb)))
