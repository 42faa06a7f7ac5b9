import sys

import pytest

from tests.support.small_world import make_document
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.tools.asking.call import Call, Outcome, ask
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.backends.program import defined_names, needed_names, read_program
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.python import Python


@pytest.fixture(scope="module")
def python() -> Python:
    tool = Python(Python.Options(max_seconds=0.2))
    tool.open()
    return tool


def answer(tool: Python, program: str) -> Outcome:
    return ask(tool, Call(tool.name, program))[0]


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ("6 * 7", "42"),
        ("n = 4; n * n", "16"),
        ("f = lambda n: n * 4 + 2; f(3)", "14"),
        ('"def f(n):\\n    return n + 1\\nf(3)"', "4"),
        ("'strawberry'.count('r')", "3"),
        ("' '.join(sorted('pear fig apple'.split()))", "apple fig pear"),
        ("from datetime import date; (date(2024, 3, 1) - date(2024, 2, 1)).days", "29"),
        ("0.1 + 0.2", "0.3"),
        ("12 / 4", "3"),
        ("2 / 3", "0.6666666667"),
        ("-7 // 2, -7 % 2", "(-4, 1)"),
        ('"sum(\\u005b1, 2\\u005d)"', "3"),
        ("list(range(3))", "(0, 1, 2)"),
        ("print(6 * 7)", "42"),
        ("'é'; 'ü'  # two signs of two bytes", "ü"),
        ("(1,\n 2)", "(1, 2)"),
        ("round = 3; _answer_ = 4; 7", "7"),
        ("True", "True"),
    ],
)
def test_the_value_of_the_last_expression_is_the_answer(python: Python, program: str, value: str) -> None:
    assert answer(python, program).result == value


@pytest.mark.parametrize("program", ["n = 3", "None", "lambda: 1", "class A: pass\nA()", "def f(): return 1", "''"])
def test_what_has_no_text_of_its_own_is_no_answer(python: Python, program: str) -> None:
    assert answer(python, program).status == "empty"


@pytest.mark.parametrize(
    "program",
    ["", "1 +", "1 / 0", "unknown", "import torch", "import random; random.random()", "raise ValueError", "9" * 1_001],
)
def test_what_is_no_program_or_fails_is_bad_input(python: Python, program: str) -> None:
    assert answer(python, program).status == "bad_input"


def test_a_program_knows_nothing_of_the_one_before(python: Python) -> None:
    assert answer(python, "left_behind = 1; left_behind").result == "1"
    assert answer(python, "left_behind").status == "bad_input"


def test_an_answer_depends_on_the_call_alone(python: Python) -> None:
    programs = ["hash('a')", "set('hello')", "import random; random.seed(3); random.random()"]
    other = Python()
    other.open()
    answers = [answer(python, one).result for one in programs]
    assert None not in answers
    assert answers == [answer(other, one).result for one in programs]


def test_a_longer_answer_than_is_allowed_is_refused() -> None:
    tool = Python(Python.Options(max_answer=5))
    tool.open()
    programs = ["'x' * 5", "'x' * 6", "print('x' * 5)", "print('x' * 6)", "'x' * 1_000_000"]
    assert [answer(tool, one).result for one in programs] == ["xxxxx", None, "xxxxx", None, None]


def test_programs_that_take_too_long_say_nothing_against_the_tool(python: Python) -> None:
    python.asking = Asking(pause_after=2)
    calls = [(python.name, f"while True: {number}", None) for number in range(4)]
    outcomes = ToolExecutor({python.name: python}).run([*calls, (python.name, "6 * 7", None)])
    assert [outcome.status for outcome in outcomes] == ["timeout"] * 4 + ["ok"]


def test_texts_with_a_number_that_could_be_computed_are_wanted(python: Python) -> None:
    assert python.wants(make_document("The word has 3 letters."))
    assert not python.wants(make_document("The word has letters."))


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_seconds", 0), ("max_memory", 0), ("max_depth", 500), ("max_program", 0), ("max_answer", 2_000)],
)
def test_a_limit_that_is_none_is_refused(option: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"^{option} is {value}; it must be "):
        Python.Options(**{option: value})


def test_without_the_sandbox_the_tool_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnusableError, match=r"pip install 'toolformer-ray\[python\]'$") as caught:
        Python().open()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("program", "defined", "needed"),
    [
        ("n = 3; n * 2", {"n"}, set()),
        ("price(5)", set(), {"price"}),
        ("price = lambda n: n * rate; price(5)", {"price"}, {"rate"}),
        ("def f(a, *b, c=1, **d):\n    e = a\n    return e + g\nf(1)", {"f"}, {"g"}),
        ("import math; math.sqrt(2)", {"math"}, set()),
        ("from datetime import date as d; d(1, 2, 3)", {"d"}, set()),
        ("sum(i for i in (1, 2))", set(), {"sum"}),
        ("class A:\n    inside = 1\nA.inside", {"A"}, set()),
        ("for i in (1, 2): total = i\ntotal", {"i", "total"}, set()),
    ],
)
def test_a_program_is_read_for_the_names_that_it_defines_and_needs(
    program: str, defined: set[str], needed: set[str]
) -> None:
    read = read_program(program)
    assert defined_names(read) == defined
    assert needed_names(read) == needed


def test_the_longest_programs_are_read_without_harm_to_this_process() -> None:
    pieces = ["(", "-", "not ", "lambda:", "x.", "f'{", "{", "\\\n", "if 1:\n ", "a=", "await ", "[", "*", "1+", "~"]
    for piece in pieces:
        text = piece * (1_000 // len(piece))
        for program in (text, f"{text}1", f"{text}1{')' * text.count('(')}"):
            try:
                needed_names(read_program(program))
            except ValueError as error:
                assert str(error).startswith("no Python program")
