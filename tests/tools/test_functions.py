"""Functions that a program writes: which are the same, which can be tools, and a file of them as tools."""

from pathlib import Path

import pytest

from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.asking.call import Call, ask
from toolformer_ray.tools.backends.functions import arguments_in_answer, functions_of, renamed
from toolformer_ray.tools.backends.program import read_program
from toolformer_ray.tools.brought.contract import faults_of
from toolformer_ray.tools.brought.function_file import PromotedFunction, read_functions, write_functions
from toolformer_ray.tools.brought.places import resolve_tools
from toolformer_ray.tools.tool import Tool


def identity(program: str) -> str:
    [function] = functions_of(read_program(program))
    return function.identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("price = lambda n: n * 4 + 2", "fare=lambda miles:miles*4+2; fare(3)"),
        ("price = lambda n: n * 4 + 2", "def p(x: int) -> int:\n    'Says the price.'\n    return x * 4 + 2"),
        ("f = lambda n: 1 if n < 2 else n * f(n - 1)", "g = lambda k: 1 if k < 2 else k * g(k - 1)"),
        ("def f(a, b):\n    c = a + b\n    return c", "def g(x, y):\n    z = x + y\n    return z"),
        ("f = lambda a: sum(i for i in range(a))", "f = lambda n: sum(k for k in range(n))"),
    ],
)
def test_functions_that_are_equal_but_for_names_are_one(one: str, other: str) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f = lambda n: n * 4 + 2", "f = lambda n: n * 4 + 3"),
        ("f = lambda a, b: a - b", "f = lambda a, b: b - a"),
        ("f = lambda n: len(str(n))", "f = lambda n: abs(int(n))"),
        ("f = lambda a, b=1: a + b", "f = lambda a, b=2: a + b"),
    ],
)
def test_functions_that_compute_otherwise_are_others(one: str, other: str) -> None:
    assert identity(one) != identity(other)


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("f = lambda n: n + 1", None),
        ("def f(n, k=2):\n    return n ** k", None),
        ("def f(n):\n    import math\n    return math.sqrt(n)", None),
        ("f = lambda: 3", "it uses none of its arguments"),
        ("f = lambda n: 3", "it uses none of its arguments"),
        ("f = lambda n: n * rate", "it needs rate"),
        ("f = lambda *n: sum(n)", "its arguments cannot all be named"),
        ("@cache\ndef f(n): return n", "it has decorators"),
    ],
)
def test_a_function_that_cannot_be_a_tool_says_why(program: str, fault: str | None) -> None:
    [function] = functions_of(read_program(program))
    assert function.fault == fault


def test_the_arguments_are_those_of_the_call_that_a_program_ends_with() -> None:
    def found(program: str) -> object:
        read = read_program(program)
        return arguments_in_answer(read, functions_of(read)[0])

    assert found("f = lambda a, b=1: a + b; f(2)") == {"a": 2}
    assert found("f = lambda a, b=1: a + b; f(-2, b='x')") == {"a": -2, "b": "x"}
    for other in ("f(2) + 1", "f(n)", "g(2)", "f(1, 2, 3)", "f()", "f(1, a=1)", "2"):
        assert found(f"f = lambda a, b=1: a + b; {other}") is None


def test_a_function_by_another_name_calls_itself_by_that() -> None:
    [function] = functions_of(read_program("def f(n):\n    return 1 if n < 2 else n * f(n - 1)"))
    other = renamed(function, "factorial")
    assert other.name == "factorial" and "factorial(n - 1)" in other.source
    assert other.identity == function.identity


@pytest.fixture
def file(tmp_path: Path) -> Path:
    entries = [
        PromotedFunction(
            name="price",
            source="price = lambda n, rate=4: n * rate + 2",
            description='Gives the price, in "dollars".',
            instruction='Add calls of Price. Write a call as "[Price(n=3)]". Here are some examples:',
            demonstrations=("A ride of 3 miles costs [Price(n=3)] 14 dollars.", "Of 5 [Price(5)] 22 dollars."),
            examples=(("n=3", "14"), ("5, 10", "52")),
            told="Spares 9 nats.",
        ),
        PromotedFunction(
            name="initials", source="def initials(name):\n    return ''.join((w[0] for w in name.split()))"
        ),
    ]
    write_functions(tmp_path / "mine.toml", entries)
    assert read_functions(str(tmp_path / "mine.toml")) == entries
    return tmp_path / "mine.toml"


def tools_of(place: str) -> dict[str, Tool]:
    _, brought = resolve_tools([place])
    tools = {key: one.load()() for key, one in brought.items()}
    for tool in tools.values():
        tool.open()
    return tools


def test_each_function_of_a_file_is_a_tool_that_fulfils_the_contract(file: Path) -> None:
    tools = tools_of(f"python:{file}")
    assert list(tools) == ["price", "initials"]
    assert [tool.name for tool in tools.values()] == ["Price", "Initials"]
    assert [fault for tool in tools.values() for _, fault in faults_of(tool) if fault] == []
    assert tools["price"].demonstrations[1] == "Of 5 [Price(5)] 22 dollars."
    assert tools["initials"].has_drafted_prompt
    assert list(tools_of(f"python:{file}:initials")) == ["initials"]


def test_it_is_asked_with_named_arguments_and_answers_from_the_sandbox(file: Path) -> None:
    tools = tools_of(f"python:{file}")

    def answer(key: str, call_input: str) -> str | None:
        return ask(tools[key], Call(tools[key].name, call_input))[0].result

    assert [answer("price", each) for each in ("3", "n=3", "3, 10", "n=3, rate=0.5")] == ["14", "14", "32", "3.5"]
    assert answer("initials", '"Ada Lovelace"') == "AL"
    assert [answer("price", each) for each in ("", "x=3", '"a"', "1, 2, 3", "n=" + "9" * 2_000)] == [None] * 5


def test_a_file_with_hostile_functions_gives_them_nothing_that_a_call_has_not(tmp_path: Path) -> None:
    sources = {
        "reads": f"reads = lambda n: open(str({str(tmp_path / 'mine.toml')!r})).read() + str(n)",
        "loops": "def loops(n):\n    while n: pass",
        "fills": "fills = lambda n: 'x' * 10**9 * n",
    }
    write_functions(tmp_path / "mine.toml", [PromotedFunction(name=key, source=each) for key, each in sources.items()])
    tools = tools_of(f"python:{tmp_path / 'mine.toml'}")
    statuses = [ask(tool, Call(tool.name, "1"))[0].status for tool in tools.values()]
    assert statuses == ["bad_input", "timeout", "bad_input"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "it holds no function"),
        ("[price", "it cannot be read as TOML"),
        ("price = 3", "price has no `source`"),
        ("[price]\nsource = 'import os'", "price cannot be a tool: it is no single function price"),
        ("[price]\nsource = 'fare = lambda n: n'", "price cannot be a tool: it is no single function price"),
        ("[price]\nsource = 'price = lambda n: n; open(1)'", "price cannot be a tool: it is no single function price"),
        ("[price]\nsource = 'price = lambda n: 3'", "price cannot be a tool: it uses none of its arguments"),
        ("[price]\nsource = 'price = lambda n: n'\ncode = 'x'", "price has code, which is none of source"),
        ("[price]\nsource = 'price = lambda n: n'\nexamples = [['1']]", "price has a value that is no text"),
        ("[calculator]\nsource = 'calculator = lambda n: n'", "there is a tool calculator already"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(content: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(UnusableError) as caught:
        resolve_tools([f"python:{path}"])
    assert told in str(caught.value) and "mine.toml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["python:", "python:price", "python:no.toml", "python:no.toml-x"])
def test_a_place_that_holds_no_file_of_functions_is_one_line(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-tool", place]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
