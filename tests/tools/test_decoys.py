"""Decoys are answers of the same kind and shape that do not say the same."""

import datetime
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolformer_ray.records.calls import clean_result
from toolformer_ray.tools.backends.arithmetic import format_rounded
from toolformer_ray.tools.backends.passage_index import build_index
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.calendar import Calendar, write_date
from toolformer_ray.tools.decoys.pool import Pool
from toolformer_ray.tools.decoys.shapes import shaped_decoys
from toolformer_ray.tools.qa import QuestionAnswering, QuestionAnsweringOptions
from toolformer_ray.tools.search import SearchOptions, WikiSearch
from toolformer_ray.tools.tool import CallContext
from toolformer_ray.tools.translation import MachineTranslation, TranslationOptions


@given(st.fractions(min_value=-(10**9), max_value=10**9), st.text(max_size=5))
def test_a_decoy_of_a_number_has_its_shape_and_another_value(value, key: str) -> None:
    result = format_rounded(value)
    decoys = Calculator().decoys(result, key, 3)
    assert len(set(decoys)) == 3
    for decoy in decoys:
        assert re.sub(r"\d", "0", decoy) == re.sub(r"\d", "0", result)
        assert float(decoy) != float(result)


def test_zeros_at_the_ends_of_a_number_stay() -> None:
    assert all(re.fullmatch(r"[1-9]000", decoy) for decoy in shaped_decoys("4000", "a", 3))
    assert all(re.fullmatch(r"0\.\d[1-9]", decoy) for decoy in shaped_decoys("0.29", "a", 3))


@given(st.text(max_size=60), st.text(max_size=5))
def test_no_decoy_of_any_answer_says_what_the_answer_says(answer: str, key: str) -> None:
    decoys = shaped_decoys(clean_result(answer), key, 3)
    said = [" ".join(decoy.casefold().split()) for decoy in decoys]
    assert len(set(said)) == len(said) and " ".join(answer.casefold().split()) not in said


def test_names_give_names_and_words_give_words_of_about_their_length() -> None:
    for decoy in shaped_decoys("Giuseppe Verdi", "a", 3):
        assert [word[0].isupper() for word in decoy.split()] == [True, True]
        assert [abs(len(word) - length) <= 2 for word, length in zip(decoy.split(), (8, 5), strict=True)] == [True] * 2
    assert all(decoy.islower() for decoy in shaped_decoys("the lighthouse", "a", 3))
    assert all(decoy.startswith("the ") for decoy in shaped_decoys("the lighthouse", "a", 3))


def test_what_is_drawn_depends_on_the_key_alone() -> None:
    assert shaped_decoys("432", "a", 3) == shaped_decoys("432", "a", 3) != shaped_decoys("432", "b", 3)
    assert shaped_decoys("432", "a", 5)[:3] == shaped_decoys("432", "a", 3)


def test_a_pool_gives_answers_of_the_same_sort_and_nearest_length() -> None:
    pool = Pool([*("x" * length for length in range(1, 80)), "Rome", "1798"])
    assert {len(answer) for answer in pool.like("y" * 40, "a")} <= set(range(25, 56))
    assert pool.like("Oslo", "a") == ["Rome"] and pool.like("1812", "a") == ["1798"]


def test_the_calendar_gives_other_days_that_share_nothing_with_the_day() -> None:
    day = datetime.date(2017, 6, 5)
    result = Calendar().run("", CallContext(today=day))
    decoys = Calendar().decoys(result, "a", 3)
    assert len(decoys) == 3
    for decoy in decoys:
        said = datetime.datetime.strptime(decoy, "Today is %A, %B %d, %Y.").date()
        assert decoy == f"Today is {write_date(said)}."
        assert not {*decoy[9:-1].replace(",", "").split()} & {*result[9:-1].replace(",", "").split()}


def test_a_table_of_questions_gives_its_other_answers_before_words_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    known = ["Oslo", "Lima", "Rome", "1798", "the old king"]
    path.write_text("".join(json.dumps({"question": f"Question {a}?", "answer": a}) + "\n" for a in known))
    tool = QuestionAnswering(QuestionAnsweringOptions(table=str(path)))
    decoys = tool.decoys("Oslo", "a", 3)
    assert {*decoys[:2]} == {"Lima", "Rome"} and len({*decoys, "Oslo"}) == 4


def test_a_search_gives_other_passages_of_its_index(tmp_path: Path) -> None:
    passages = [{"title": f"Town {n}", "text": f"Town {n} lies on river number {n}."} for n in range(9)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in passages))
    build_index(str(tmp_path / "p.jsonl"), str(tmp_path / "index"))
    tool = WikiSearch(SearchOptions(index=str(tmp_path / "index")))
    decoys = tool.decoys(passages[4]["text"], "a", 3)
    assert len({*decoys}) == 3 and {*decoys} <= {row["text"] for row in passages} - {passages[4]["text"]}


def test_a_glossary_gives_other_meanings(tmp_path: Path) -> None:
    words = {"mer": "sea", "nuit": "night", "jour": "day", "eau": "water", "ciel": "sky"}
    (tmp_path / "words.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in words.items()))
    tool = MachineTranslation(TranslationOptions(glossary=str(tmp_path / "words.tsv")))
    for decoy in tool.decoys("the night", "a", 3):
        assert decoy.startswith("the ") and decoy.split()[1] in set(words.values()) - {"night"}


@pytest.mark.parametrize("result", ["", "…", "- -"])
def test_what_has_neither_words_nor_numbers_has_no_decoys(result: str) -> None:
    assert shaped_decoys(result, "a", 3) == []
