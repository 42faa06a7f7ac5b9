"""Which earlier calls a call is asked behind, and that it is another call behind others."""

import pytest

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.call import Call, ask
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.earlier_calls import MAX_NEEDED, needed_calls
from toolformer_ray.tools.python import Python

DOUBLE, TRIPLE = "f = lambda n: n * 2; f(4)", "f = lambda n: n * 3; f(4)"
RATE, BY_RATE = "rate = 5; rate", "g = lambda n: n * rate; g(1)"


@pytest.fixture(scope="module")
def python() -> Python:
    tool = Python()
    tool.open()
    return tool


@pytest.mark.parametrize(
    ("call_input", "earlier", "needed"),
    [
        ("f(5)", (DOUBLE,), (DOUBLE,)),
        ("f(5)", (DOUBLE, TRIPLE), (TRIPLE,)),
        ("f(5)", (DOUBLE, RATE), (DOUBLE,)),
        ("g(5)", (RATE, DOUBLE, BY_RATE), (RATE, BY_RATE)),
        ("g(5)", (BY_RATE, RATE), (BY_RATE,)),
        ("g(f(5))", (RATE, BY_RATE, DOUBLE), (RATE, BY_RATE, DOUBLE)),
        ("6 * 7", (DOUBLE,), ()),
        (TRIPLE, (DOUBLE,), ()),
        ("h(5)", (DOUBLE,), ()),
        ("1 +", (DOUBLE,), ()),
        ("f(5)", ("f = lambda n: n * 2",), ()),
        ("f(5)", ("f(4)", "1 +"), ()),
        ("f(5)", (f'"{DOUBLE}"',), (f'"{DOUBLE}"',)),
    ],
)
def test_the_nearest_call_that_defines_a_name_is_needed_and_what_that_needs(
    call_input: str, earlier: tuple[str, ...], needed: tuple[str, ...], python: Python
) -> None:
    assert needed_calls(python, call_input, earlier) == needed


def test_a_call_that_needs_others_is_answered_behind_them(python: Python) -> None:
    calls = [Call("Python", "f(5)", None, (DOUBLE,)), Call("Python", "f(5)", None, (TRIPLE,)), Call("Python", "f(5)")]
    outcomes = ToolExecutor({"Python": python}).run(calls)
    assert [(outcome.status, outcome.result) for outcome in outcomes] == [
        ("ok", "10"),
        ("ok", "15"),
        ("bad_input", None),
    ]


def test_an_earlier_call_that_fails_fails_those_that_need_it_and_what_it_prints_is_no_answer(python: Python) -> None:
    assert ask(python, Call("Python", "f(5)", None, ("f = 1 / 0; f",)))[0].status == "bad_input"
    assert ask(python, Call("Python", "f(5)", None, ("print(1); f = lambda n: n; f(1)",)))[0].result == "5"


def test_no_more_than_some_are_needed(python: Python) -> None:
    chain = ["f0 = lambda: 0; f0()", *(f"f{n} = lambda: f{n - 1}(); f{n}()" for n in range(1, 40))]
    assert needed_calls(python, "f39()", chain) == tuple(chain[-MAX_NEEDED:])


def test_other_tools_need_nothing() -> None:
    assert needed_calls(Calculator(), "f(5)", (DOUBLE,)) == ()


def test_an_answer_on_disk_belongs_to_the_call_behind_its_earlier_ones(python: Python, tmp_path) -> None:
    store = AnswerStore(RunFolder(str(tmp_path)), "record")
    ToolExecutor({"Python": python}, store).run([Call("Python", "f(5)", None, (DOUBLE,))])
    replayed = ToolExecutor({"Python": Python()}, AnswerStore(RunFolder(str(tmp_path)), "replay"))
    asked = [Call("Python", "f(5)", None, (DOUBLE,)), Call("Python", "f(5)", None, (TRIPLE,)), Call("Python", "f(5)")]
    found = replayed.run(asked)
    assert [(one.result, one.note) for one in found] == [("10", None), (None, "not_recorded"), (None, "not_recorded")]
