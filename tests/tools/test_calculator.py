"""The calculator's arithmetic and the rule about which texts it sees (paper, section 3 and appendix A.1)."""

import contextlib
import operator
import time
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.rows import make_row
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.number_texts import is_drawn, wants_calculator
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.tool import BadInput, CallContext

calculator = Calculator()


def calculate(expression: str) -> str:
    return calculator.run(expression, CallContext())


@pytest.mark.paper("T4")
@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("18 * 24", "432"),
        ("400 / 1400", "0.29"),
        ("5 / 2", "2.5"),
        ("7 - 7", "0"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("100 - 10 - 5", "85"),
        ("64 / 8 / 2", "4"),
        ("-3 + 5", "2"),
        ("0.1 + 0.2", "0.3"),
        (".5 * 4", "2"),
        ("007 + 1", "8"),
    ],
)
def test_calculates_the_four_operations_as_school_teaches_them(expression: str, result: str) -> None:
    assert calculate(expression) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("18 × 24", "432"),
        ("18 x 24", "432"),
        ("1240 ÷ 8", "155"),
        ("1,240 / 8", "155"),
        ("1,234,567.5 + 0.5", "1234568"),
        ("9 − 4", "5"),
        ("$320 + $415 =", "735"),
        ('"3 + 4"', "7"),
        ("1/4 of 80", "20"),
    ],
)
def test_reads_the_signs_that_people_write(expression: str, result: str) -> None:
    assert calculate(expression) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("50%", "0.5"),
        ("15% of 80", "12"),
        ("15 percent of 80", "12"),
        ("6 / 50%", "12"),
        ("200 * 10%", "20"),
        ("200 + 10%", "220"),
        ("200 - 10%", "180"),
        ("200 + 10% - 10%", "198"),
        ("200 + 10% of 80", "208"),
        ("10% + 20%", "0.3"),
        ("200 + (10% + 5%)", "230"),
        ("(10 + 5)% of 200", "30"),
    ],
)
def test_a_percentage_is_a_hundredth_but_after_plus_or_minus_one_of_the_left_side(expression: str, result: str) -> None:
    assert calculate(expression) == result


@pytest.mark.paper("T4")
@pytest.mark.parametrize(
    ("expression", "result"), [("1 / 8", "0.13"), ("-1 / 8", "-0.13"), ("1.005 * 1", "1.01"), ("-0.001 * 1", "0")]
)
def test_rounds_halves_away_from_zero_and_knows_no_negative_zero(expression: str, result: str) -> None:
    assert calculate(expression) == result


@pytest.mark.paper("T4")
@pytest.mark.parametrize(
    "expression",
    [
        *("", " ", "=", "abc", "1 +", "1 2", "1,24", "1240,5", "3 +* 4", "2 ** 3", "2**3", "2 ^ 3", "7 // 2", "10 % 3"),
        *("50%%", "1 / 0", "1 / (2 - 2)", "(1", "1)", "()", "(3)(4)", "1e9", "0b10", "1_000", "1 < 2", "True", "5 kg"),
        *("'a' * 9", "[1]", "1 if 1 else 2", "1, 2", "x = 1", "__import__('os')", "(1).__class__", "9" * 16, "1;2"),
        *("1 + " * 60 + "1", "(" * 150 + "1", "999999999999999 * 999999999999999", "1\0+ 1", "٣ + ٤"),
        *("open('/etc/passwd').read()", "().__class__.__bases__[0].__subclasses__()", "exec('1')", "(lambda: 1)()"),
        *("[x for x in (1,2)]", "globals()", "a := 5", "f'{1}'", "1\n2", "1j", "1 == 1", "~1"),
    ],
)
def test_refuses_what_is_no_expression_or_too_large(expression: str) -> None:
    with pytest.raises(BadInput):
        calculate(expression)


OPERATIONS = {"+": operator.add, "-": operator.sub, "−": operator.sub, "*": operator.mul, "×": operator.mul}
DIVISIONS = {"/": operator.truediv, "÷": operator.truediv}
numbers = st.builds(
    lambda whole, decimals: (f"{whole:,}.{decimals:03}", whole + Fraction(decimals, 1000)),
    st.integers(0, 9_999),
    st.integers(0, 999),
)


def combine(left: tuple[str, Fraction], sign: str, right: tuple[str, Fraction]) -> tuple[str, Fraction]:
    if sign in DIVISIONS:
        assume(right[1] != 0)
    return f"({left[0]} {sign} {right[0]})", (OPERATIONS | DIVISIONS)[sign](left[1], right[1])


expressions = st.recursive(
    numbers, lambda inner: st.builds(combine, inner, st.sampled_from([*OPERATIONS, *DIVISIONS]), inner), max_leaves=6
)


@given(expressions)
@settings(max_examples=200, deadline=None)
def test_agrees_with_exact_fractions_on_any_expression(expression: tuple[str, Fraction]) -> None:
    written, value = expression
    assume(len(written) <= 200 and abs(value) < 10**14)
    with localcontext(prec=60):
        exact = Decimal(value.numerator) / Decimal(value.denominator)
        rounded = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert Decimal(calculate(written)) == rounded


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_answers_or_refuses_any_text_at_all(text: str) -> None:
    with contextlib.suppress(BadInput):
        float(calculate(text))


def unlucky_id() -> str:
    """An id that rule (c), the random one in a hundred, does not draw."""
    return next(f"text-{n}" for n in range(1000) if not is_drawn(f"text-{n}"))


@pytest.mark.paper("H2")
@pytest.mark.parametrize(
    "text",
    [
        "The shop sold 18 boxes with 24 pens each, which makes 432 pens.",
        "Of the 250 seats 65 were empty, so 185 people saw the play.",
        "Out of 1400 people 400 (or 0.29 of them) passed the test.",
        "Out of 1400 people 400 (or 29% of them) passed the test.",
        "The 1,240 books fill 8 shelves, 155 a shelf.",
        "He paid 12.50 and 7.25, so 19.75.",
    ],
)
def test_wants_three_numbers_of_which_one_is_the_result_of_the_others(text: str) -> None:
    assert wants_calculator(unlucky_id(), text)


@pytest.mark.parametrize(
    "text", ["There are 18 boxes and 24 pens and 431 cups.", "One 18 and one 24.", "Version 1.2.3 of A4, B6 and C24."]
)
def test_does_not_want_numbers_that_have_nothing_to_do_with_each_other(text: str) -> None:
    assert not wants_calculator(unlucky_id(), text)


@pytest.mark.paper("H2")
def test_related_numbers_have_to_stand_within_a_hundred_tokens() -> None:
    # Tokens 0, 1 and n + 2: the span from first to last is n + 3 tokens.
    assert wants_calculator(unlucky_id(), "17 25 " + "word " * 97 + "42")
    assert not wants_calculator(unlucky_id(), "17 25 " + "word " * 98 + "42")


@pytest.mark.parametrize("num_words", [0, 37, 99, 100, 163, 950])
def test_finds_related_numbers_wherever_they_stand(num_words: int) -> None:
    assert wants_calculator(unlucky_id(), "word " * num_words + "17 " + "word " * 48 + "25 " + "word " * 48 + "42 end")


@pytest.mark.paper("H2")
@pytest.mark.parametrize(
    "text", ["x = 5", "that equals 7", "is equal to\n12", "a total of 12 men", "An average of $3.50", "Total of -4"]
)
def test_wants_a_number_after_an_announcing_word(text: str) -> None:
    assert wants_calculator(unlucky_id(), text)


@pytest.mark.parametrize("text", ["x = y", "equals nothing, 7", "the total of all", "subtotal of 5"])
def test_does_not_want_an_announcing_word_without_a_number(text: str) -> None:
    assert not wants_calculator(unlucky_id(), text)


@pytest.mark.paper("H2")
def test_one_in_a_hundred_texts_with_three_numbers_is_drawn_by_its_id() -> None:
    drawn = [n for n in range(10_000) if wants_calculator(f"text-{n}", "18 boxes, 24 pens, 431 cups")]
    assert 70 <= len(drawn) <= 130  # 100 expected, standard deviation 10
    assert not any(wants_calculator(f"text-{n}", "18 boxes, 24 pens") for n in drawn)


@pytest.mark.parametrize("piece", ["the quick brown fox, 12. ", "123456789.87 ", "1", "1,111", "= ", "équals ", "٣ 9 "])
def test_a_million_characters_take_seconds(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.perf_counter()
    wants_calculator(unlucky_id(), text)
    assert time.perf_counter() - started < 20


def test_offers_by_a_documents_text_and_id() -> None:
    def document(text: str) -> Document:
        return make_row(Document, text_id=unlucky_id(), text=text)

    assert calculator.wants(document("5 and 6 make 11"))
    assert not calculator.wants(document("5 and 6 make a lot"))
