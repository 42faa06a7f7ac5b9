"""The paper's rules on cases made by hand."""

import pytest

from toolformer_ray.evals.rules import first_number, is_among_first_words, is_first_number, is_next, words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 43 seashells, not 44", 43.0),
        (" $1,250.50 in all", 1250.5),
        ("about .5 of it", 0.5),
        ("-3 degrees", -3.0),
        ("1,2 and 3", 1.0),
        ("none at all", None),
        ("", None),
    ],
)
def test_the_first_number_is_read_as_people_write_it(text: str, number: float | None) -> None:
    assert first_number(text) == number


@pytest.mark.parametrize(
    ("generated", "answer", "is_right"),
    [
        (" 43.", "43.0", True),
        (" 43, not 44", "44", False),
        (" 0.33 of it", "0.333", True),
        (" 0.34 of it", "0.333", False),
        (" forty-three", "43", False),
    ],
)
@pytest.mark.paper("E1")
def test_mathematics_counts_the_first_number_and_no_other(generated: str, answer: str, is_right: bool) -> None:
    assert is_first_number(generated, [answer]) is is_right


@pytest.mark.parametrize(
    ("generated", "answer", "is_right"),
    [
        (" The correct answer is 5+3=8", "8", True),
        (" The correct answer is 5+3=8", "5", False),
        (" 70 - 27 = $1,043.50 in all, not 44", "1043.5", True),
        (" 2 * 3 = 6, 6 + 1 = 7", "6", True),
        (" x = 5", "5", True),
        (" 5 + 3 =", "5", True),
        (" 3 >= 2, as 4 == 4", "3", True),
        (" 8 apples\nHow many? = 9", "8", True),
    ],
)
@pytest.mark.paper("E1")
def test_of_an_equation_the_first_number_behind_its_sign_counts(generated: str, answer: str, is_right: bool) -> None:
    assert is_first_number(generated, [answer]) is is_right


@pytest.mark.paper("E1")
def test_an_equation_on_a_later_line_is_an_explanation_and_no_answer() -> None:
    assert is_first_number(" 81 pieces.\nGeorge had 648 - 8 = 640 pieces.", ["81"])
    assert not is_first_number(" 81 pieces.\nGeorge had 648 - 8 = 640 pieces.", ["640"])
    assert is_first_number("Let us see:\n5 + 3 = 8", ["8"])


@pytest.mark.paper("E2")
def test_an_answer_counts_among_the_first_words_only_whole_and_in_any_case() -> None:
    five = is_among_first_words(5)
    assert five(" the city of PARIS, France", ["Paris"])
    assert not five(" a b c d e Paris", ["Paris"])
    assert not five(" Parisian ways", ["Paris"])
    assert five(" New York.", ["Boston", "new york"])
    assert not five(" one two three four New York", ["New York"])
    assert not five(" anything", ["", "..."])


def test_a_thousands_separator_makes_no_words_and_no_other_number() -> None:
    two = is_among_first_words(2)
    assert two(" about 1,095 days", ["1095"])
    assert two(" about 1095 days", ["1,095"])
    assert not two(" about 1,095 days", ["1", "095", "95"])


def test_punctuation_is_no_word_and_scripts_without_spaces_are_read_character_by_character() -> None:
    assert words(" “It's 3.5%, U.S.A.!”") == ["it's", "3.5", "u.s.a"]
    assert words("$1,095 or 1095, 1,2 and 1,0955") == ["1095", "or", "1095", "1", "2", "and", "1", "0955"]
    assert words("東京の") == ["東", "京", "の"]
    assert is_among_first_words(5)("東京です", ["東京"])


def test_a_text_goes_on_with_a_number_if_it_is_the_first_and_with_words_if_they_come_soon() -> None:
    assert is_next(" 0.29 of all lamps.", ["0.29"])
    assert is_next(" 100 - 71 = 29 lamps", ["29"])
    assert not is_next(" 5 of 168 lamps", ["168"])
    assert is_next(" Wednesday, March 4, 2015, and Mira", ["March 4, 2015"])
    assert not is_next(f"{' word' * 20} Mira", ["Mira"])
    assert not is_next("", ["168"])
