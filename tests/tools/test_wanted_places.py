"""Where the tools say that a call could help: texts are written with a caret before each such place."""

from collections.abc import Callable, Iterable

import pytest

from toolformer_ray.tools.backends.translation_texts import Guess, before_words_behind_foreign_ones
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.calendar import Calendar
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.qa import QuestionAnswering
from toolformer_ray.tools.search import WikiSearch
from toolformer_ray.tools.wanted_places import (
    before_dates,
    before_names_and_numbers,
    before_new_words,
    before_new_words_and_numbers,
    before_numbers,
    before_openers,
)


def agrees(rule: Callable[[str], Iterable[int]], marked: str) -> None:
    text = marked.replace("^", "")
    found = text
    for offset in sorted(rule(text), reverse=True):
        found = found[:offset] + "^" + found[offset:]
    assert found == marked


@pytest.mark.parametrize(
    "marked",
    [
        "She sold ^48 and 48 more.",
        "The ^1,240 books are 1240 books, not ^12.",
        "^48/2 = ^24 clips",
        "He paid ^9 * 50 = $^450 or 450.0.",
        "It has ^4 + 2 = ^6, then 4 - 1 =^3 and a total of ^4.",
        "^0.15 and .15 and ^.5, version 2.0.1b, 10.0.0.1, abc5, ^7kg",
    ],
)
def test_a_calculation_could_give_a_number_that_is_new_or_announced_and_no_operand(marked: str) -> None:
    agrees(before_numbers, marked)


@pytest.mark.parametrize(
    "marked",
    [
        "^Today, ^Monday, June 5, 2017, and at ^5 pm.",
        "It was ^three years ago, in ^2014, on the ^3rd of May 2003.",
        "You may march on in 12 boxes at ^12:30.",
        "Written ^2014-05-02, ^last week.",
    ],
)
def test_a_calendar_could_give_a_date_once_from_its_beginning(marked: str) -> None:
    agrees(before_dates, marked)


@pytest.mark.parametrize(
    "marked",
    [
        "The opera ^Aida was composed by ^Giuseppe Verdi and sung in ^Cairo. Then Verdi left in ^1873.",
        "Then it rained. Rain fell on ^Nile and Nile.",
        "^Giuseppe Verdi came to the ^United States of America.",
        "Nothing here, ^McDonald's or iPhone aside.",
    ],
)
def test_a_fact_could_be_a_name_or_number_that_is_new_and_not_a_sentences_first_word(marked: str) -> None:
    agrees(before_names_and_numbers, marked)


def test_by_default_a_call_could_help_before_a_word_that_is_new_and_says_something() -> None:
    agrees(before_new_words, "The ^river was with the ^bridge, and a River is a bridge as a ^friend.")


def test_a_translation_could_be_any_word_from_within_a_foreign_chunk_to_fifteen_tokens_behind_it() -> None:
    class ThatKnowsFrench:
        def identify(self, text: str) -> Guess:
            return Guess("fr", 0.9) if "mer" in text.split() else Guess("en", 0.9)

    text = f"{'one ' * 20}{'mer ' * 10}{'two ' * 40}"
    found = list(before_words_behind_foreign_ones(text, ThatKnowsFrench()))
    # A chunk is foreign if it holds one of tokens 20 to 29; the first begins at token 15, the last at 25.
    assert found == list(range(4 * 20, 4 * 51, 4))


def test_a_sign_that_opens_a_word_or_number_belongs_to_it() -> None:
    assert before_openers('is ("$5', 6) == 3
    assert before_openers("it's", 3) == 3, "inside a word nothing opens"
    assert before_openers("3-5", 2) == 2


def test_each_tool_has_its_rule() -> None:
    text = "On May 5, 2017, Ann Lee paid 30."
    rules = {"calculator": Calculator, "calendar": Calendar}
    wanted = {key: list(find_tools()[key].wanted_places(tool(), text)) for key, tool in rules.items()}
    assert wanted == {"calculator": [7, 10, 29], "calendar": [3]}
    for tool in (QuestionAnswering, WikiSearch):
        assert 16 in tool.wanted_places(tool.__new__(tool), text)


@pytest.mark.parametrize("rule", [before_numbers, before_dates, before_names_and_numbers, before_new_words])
@pytest.mark.parametrize("unit", ["1", "1,", "A ", "a-", "(", "5 May ", "\n", "$-", "A of the ", "Ab.", "'"])
def test_a_long_text_takes_a_time_that_grows_with_its_length(rule: Callable[[str], Iterable[int]], unit: str) -> None:
    # Quadratic rules would take minutes.
    assert len(list(rule(unit * 20_000))) <= 20_000


def test_where_nobody_knows_what_a_tool_answers_new_words_and_numbers_count() -> None:
    agrees(before_new_words_and_numbers, "The ^road is ^26 ^miles, that is ^41.8 ^kilometres, of road.")
