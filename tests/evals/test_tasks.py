"""Every benchmark reads its own files, asks without giving the answer away, and accepts a right answer."""

import datetime
import json
from collections import Counter
from pathlib import Path

import pytest

from toolformer_ray.evals.task import texts_of
from toolformer_ray.evals.tasks import find_tasks
from toolformer_ray.tools.catalog import find_tools

DATA = Path(__file__).parents[3] / "shared/data/eval"
TASKS = find_tasks()
COMPLETE = "Please complete the following text so that it is factually correct:"


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


@pytest.mark.paper("E5")
def test_a_prompt_says_what_is_asked_for_as_in_the_paper() -> None:
    person = {"pred": "/people/person/place_of_birth", "sub_label": "Dante", "obj_label": "Florence"}
    assert _one("lama_google_re", person) == (f"{COMPLETE} Dante was born in", ("Florence",))
    assert _one("nq_open", {"question": "who is it", "answer": ["Sam"]}) == (
        "Answer the following question: who is it?",
        ("Sam",),
    )
    paragraph = {"qas": [{"id": "1", "question": "Wie?"}], "english": {"1": ("It is so.", ("so",))}, "language": "de"}
    assert _one("xquad", paragraph) == (
        "Your task is to answer a question based on the following paragraph: It is so. "
        "Now answer the following question in English: Wie?",
        ("so",),
    )


def test_lama_asks_only_for_statements_that_end_with_what_is_missing() -> None:
    row = {"masked_sentences": ["It was aired by [MASK]."], "obj_label": "CBS"}
    assert _one("lama_squad", row) == (f"{COMPLETE} It was aired by", ("CBS",))
    assert _one("lama_squad", row | {"masked_sentences": ["The [MASK] color was used."]}) is None


def _asked(today: str, past: str, future: str) -> dict[str, tuple[str, ...]]:
    days = {"today": today, "past": past, "future": future}
    row = {name: datetime.date.fromisoformat(day) for name, day in days.items()}
    questions = list(TASKS["dateset"].questions(row))
    assert {question.today for question in questions} == {row["today"]}
    return {question.prompt.removeprefix("Answer the following question: "): question.answers for question in questions}


@pytest.mark.paper("E4")
def test_dateset_reckons_from_the_day_that_stands_for_today() -> None:
    asked = _asked("2024-03-01", "2024-02-29", "2027-03-01")  # a Friday; 3 years of 365 days
    assert asked["How many days ago was February 29, 2024?"] == ("1",)
    assert asked["How many days are there until March 1, 2027?"] == ("1095",)
    assert asked["What day of the week was it on February 29, 2024?"] == ("Thursday",)
    assert asked["What day of the month was it 1 day ago?"] == ("29", "29th")
    assert asked["What month will it be in 1095 days?"] == ("March",)
    assert asked["What day of the month was it the day before yesterday?"] == ("28", "28th")
    assert asked["What day of the week is it the day after tomorrow?"] == ("Sunday",)
    assert asked["What day of the week is it today?"] == ("Friday",)
    assert asked["What day of the month was Washington's Birthday this year?"] == ("19", "19th")
    assert asked["What day of the month is Memorial Day this year?"] == ("27", "27th")
    assert asked["What month is Thanksgiving this year?"] == ("November",)
    assert asked["How many days ago was New Year's Day this year?"] == ("60",)
    assert asked["How many months are there until Christmas this year?"] == ("9",)
    assert asked["How many months ago was Washington's Birthday this year?"] == ("0",)
    assert TASKS["dateset"].rule(" It will be in 1,095 days", asked["How many days are there until March 1, 2027?"])


@pytest.mark.paper("E4")
def test_dateset_counts_whole_units_and_asks_of_no_day_that_is_none() -> None:
    asked = _asked("2023-03-31", "2021-02-28", "2023-04-01")  # 761 days, 25 months, 2 years
    assert asked["What day of the week was it 108 weeks ago?"] == ("Friday",)
    assert asked["What day of the month was it 2 years ago?"] == ("31", "31st")
    assert not any("months ago?" in question for question in asked)  # there is no February 31, 2021
    assert asked["What year will it be in 1 day?"] == ("2023",)
    assert asked["What day of the month is Memorial Day this year?"] == ("29", "29th")
    on_the_day = _asked("2023-12-25", "2023-12-22", "2023-12-26")
    assert "What day of the week is Christmas this year?" in on_the_day
    assert not any(question.startswith("How many") and "Christmas" in question for question in on_the_day)
    assert not any("0 weeks ago" in question for question in on_the_day)


@pytest.mark.paper("E4")
def test_dateset_has_as_many_questions_of_each_template_as_the_paper() -> None:
    questions = list(TASKS["dateset"].read("0"))
    assert sorted(Counter(question.about["template"] for question in questions).values()) == [
        *(400, 400, 800, 800, 1200, 1800, 4000)
    ]
    assert len({(question.prompt, question.today) for question in questions}) == 9400
    assert len({question.today for question in questions}) == 500
    assert list(TASKS["dateset"].read("0")) == questions
    assert list(TASKS["dateset"].read("1")) != questions
    with pytest.raises(ValueError, match="svamp is no seed; give a whole number"):
        next(TASKS["dateset"].read("svamp"))


@pytest.mark.paper("E2")
def test_as_many_words_count_as_in_the_paper() -> None:
    five = ("lama_squad", "lama_google_re", "lama_trex", "situatedqa", "timeqa", "dateset")
    words = dict.fromkeys(five, 5) | dict.fromkeys(("webquestions", "nq_open", "triviaqa"), 20) | {"xquad": 10}
    for key, number in words.items():
        assert TASKS[key].rule(" a" * (number - 1) + " Paris", ["Paris"]), key
        assert not TASKS[key].rule(" a" * number + " Paris", ["Paris"]), key


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


def test_answers_are_read_from_text_lists_and_mappings_with_aliases_and_from_nothing_else() -> None:
    aliases = {"value": "Sam", "aliases": ["Sam", "Samuel"], "normalized_aliases": ["sam"], "type": "WikipediaEntity"}
    assert texts_of(aliases) == ["Sam", "Samuel", "sam"]
    assert texts_of({"text": ["Paris"], "answer_start": [5]}) == ["Paris"]
    assert texts_of([1, 2.5, "three"]) == ["1", "2.5", "three"]
    for other in ({"start": 1}, None, [None]):
        with pytest.raises(TypeError, match="answer: "):
            texts_of(other)


def test_triviaqa_is_read_as_the_hub_has_it_too() -> None:
    row = {"question": "Who?", "answer": {"value": "Sam", "aliases": ["Samuel"], "normalized_aliases": ["sam"]}}
    assert _one("triviaqa", row) == ("Answer the following question: Who?", ("Sam", "Samuel", "sam"))
    assert _one("triviaqa", {"question": "Who?", "golden_answers": ["Sam"]}) == (
        "Answer the following question: Who?",
        ("Sam",),
    )


def test_xquad_says_which_question_has_no_english_and_which_row_is_none(tmp_path: Path) -> None:
    english = {"context": "It is so.", "qas": [{"id": "1", "question": "How?", "answers": [{"text": "so"}]}]}
    german = {"context": "Es ist so.", "qas": [{"id": "1", "question": "Wie?"}]}

    def write(language: str, *rows: object) -> None:
        (tmp_path / f"xquad.{language}.json").write_text(json.dumps({"data": [{"paragraphs": rows}]}))

    write("en", english)
    write("de", german)
    [question] = TASKS["xquad"].read(str(tmp_path))
    assert (question.answers, question.about) == (("so",), {"language": "de"})
    assert "It is so." in question.prompt and "Wie?" in question.prompt
    write("de", {"qas": [{"id": "2", "question": "Wie?"}]})
    with pytest.raises(ValueError, match=r"xquad\.en\.json has no question '2', which xquad\.de\.json asks"):
        list(TASKS["xquad"].read(str(tmp_path)))
    write("en", {"qas": english["qas"]})
    with pytest.raises(ValueError, match="is no data for this task: a row has no usable 'context'"):
        list(TASKS["xquad"].read(str(tmp_path)))


def test_a_day_of_a_text_of_ones_own_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "It is", "answers": "so", "today": "March"}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl is no data for this task: .* today: it is 'March'"):
        list(TASKS["continuation"].read(str(path)))
