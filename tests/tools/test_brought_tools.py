"""Tools that users bring: functions below `@tool`, classes, files, modules, entry points, and how they are checked."""

import datetime
import importlib.metadata
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Literal

import pytest

from toolformer_ray import tool
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.call import Call, ask
from toolformer_ray.tools.brought.declared import DECLARED, declare, tools_known_to
from toolformer_ray.tools.brought.function import MARK, as_text
from toolformer_ray.tools.brought.places import GROUP, place_of, resolve_place, resolve_tools
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.named import arguments_of
from toolformer_ray.tools.tool import Tool, Unavailable, full_data_version

FILE = '''from toolformer_ray import tool

EXAMPLES = [({"amount": 26, "unit": "km"}, "16.2 mi"), ('1, "mi"', "1.6 km")]

@tool
def convert(amount: float, unit: str) -> str:
    """Converts kilometres into miles, or miles into kilometres.

    Args:
        amount: How much.
        unit: km or mi
    """
    return f"{amount / 1.609:.1f} mi" if unit == "km" else f"{amount * 1.609:.1f} km"
'''
CLASS = '''from dataclasses import dataclass
from toolformer_ray.tools.options import ToolOptions
from toolformer_ray.tools.tool import Tool

@dataclass(frozen=True, kw_only=True)
class ReverserOptions(ToolOptions):
    """How."""

    separator: str = ""
    """Text between two characters."""

class Reverser(Tool):
    Options = ReverserOptions
    name = "Reverse"
    description = "Reverses a text."

    def wants(self, document):
        return True

    def run(self, call_input, context):
        return self.options.separator.join(reversed(call_input))
'''


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def outcome_of(made: type[Tool], call_input: str) -> tuple[str, str | None]:
    outcome, _ = ask(made(), Call(made.name, call_input))
    return outcome.status, outcome.result


def test_hints_and_docstring_of_a_function_give_schema_description_and_a_prompt(tmp_path: Path) -> None:
    [brought] = resolve_place(write(tmp_path, "units.py", FILE))
    made = brought.load()
    assert (brought.key, made.name) == ("units", "Convert")
    assert made.description == "Converts kilometres into miles, or miles into kilometres."
    assert made.schema == {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "description": "How much."},
            "unit": {"type": "string", "description": "km or mi."},
        },
        "required": ["amount", "unit"],
        "additionalProperties": False,
    }
    assert made.demonstrations[0] == 'Then it is [Convert(amount=26, unit="km")] 16.2 mi.'
    assert '[Convert(amount=26, unit="km")]' in made.instruction and made.has_drafted_prompt
    assert outcome_of(made, '26, "km"') == ("ok", "16.2 mi")


def test_what_a_worker_gets_is_the_text_of_the_file_and_no_class(tmp_path: Path) -> None:
    place = write(tmp_path, "units.py", FILE)
    [brought] = resolve_place(place)
    sent = pickle.dumps(brought)
    Path(place).unlink()
    script = (
        "import pickle, sys; from toolformer_ray.tools.asking.call import ask, Call; "
        "made = pickle.loads(sys.stdin.buffer.read()).load(); "
        "print(ask(made(), Call('Convert', '26, \"km\"'))[0].result)"
    )
    answered = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, check=True)
    assert answered.stdout == b"16.2 mi\n"


def test_a_function_stays_one_and_its_types_are_those_of_its_hints() -> None:
    @tool(name="Days", examples=[({"since": "2024-02-28", "until": "2024-03-01"}, "2")])
    def days(
        since: datetime.date, until: datetime.date = datetime.date(2024, 3, 1), *, sign: Literal["+", "-"] = "+"
    ) -> int:
        """Counts days."""
        return (until - since).days * (1 if sign == "+" else -1)

    made = getattr(days, MARK)
    assert days(datetime.date(2024, 2, 28)) == 2
    assert outcome_of(made, 'since="2024-02-28"') == ("ok", "2")
    assert outcome_of(made, 'since="2024-02-28", sign="-"') == ("ok", "-2")
    outcome, _ = ask(made(), Call("Days", 'since="soon"'))
    assert (outcome.status, outcome.note) == ("bad_input", "argument since")


def test_what_a_function_returns_or_raises_becomes_an_outcome() -> None:
    @tool
    def pick(number: int) -> object:
        """Picks."""
        if number == 3:
            raise Unavailable("away")
        return [None, 1.5, {"a": "ä"}][number]

    @tool
    def now() -> str:
        """Tells the time."""
        return "noon"

    made = getattr(pick, MARK)
    assert [outcome_of(made, str(n)) for n in range(3)] == [("empty", None), ("ok", "1.5"), ("ok", '{"a": "ä"}')]
    assert outcome_of(made, "3")[0] == "unavailable"
    assert outcome_of(made, "7")[0] == "crashed"
    assert outcome_of(getattr(now, MARK), "") == ("ok", "noon")
    assert outcome_of(getattr(now, MARK), "1")[0] == "bad_input"
    assert getattr(now, MARK).demonstrations[0].count("[Now()]") == 1
    assert as_text(datetime.date(2024, 1, 2)) == "2024-01-02"


def test_a_function_that_cannot_be_a_tool_is_refused_in_one_line() -> None:
    def without_hint(a) -> str:  # type: ignore[no-untyped-def]
        """Does."""
        return ""

    def with_stars(*a: int) -> str:
        """Does."""
        return ""

    def without_docstring(a: int) -> str:
        return ""

    async def later(a: int) -> str:
        """Does."""
        return ""

    def odd(a: subprocess.Popen[bytes]) -> str:
        """Does."""
        return ""

    for function, fault in {
        without_hint: "does not say what a is",
        with_stars: "takes \\*a",
        without_docstring: "has no docstring",
        later: "is async",
        odd: "has a type hint that JSON does not have",
    }.items():
        with pytest.raises(UnusableError, match=f"the function {function.__name__} {fault}") as caught:
            tool(function)
        assert len(str(caught.value).splitlines()) == 1


def test_wants_and_wanted_places_may_be_told_and_else_are_every_text_and_new_words() -> None:
    @tool
    def plain(a: int) -> str:
        """Does."""
        return ""

    @tool(wants=lambda document: "km" in document.text, wanted_places=lambda text: [text.index("km")])
    def told(a: int) -> str:
        """Does."""
        return ""

    document = Document(text_id="a", doc_id="a", part=0, text="A mile", title=None, url=None, date=None, source="s")
    assert getattr(plain, MARK)().wants(document) and not getattr(told, MARK)().wants(document)
    assert list(getattr(plain, MARK)().wanted_places("A mile")) == [2]
    assert getattr(told, MARK)().wanted_places("26 km") == [3]


def test_a_class_has_its_options_and_of_several_tools_each_has_a_key_of_its_own(tmp_path: Path) -> None:
    place = write(tmp_path, "both.py", FILE.replace("EXAMPLES", "OTHERS") + CLASS)
    keys, brought = resolve_tools([place, "calculator"])
    assert keys == ("convert", "reverser", "calculator")
    assert outcome_of(brought["reverser"].load(), "abc") == ("ok", "cba")
    assert [one.place for one in brought.values()] == [f"{place}:convert", f"{place}:Reverser"]
    assert [one.key for one in resolve_place(f"{place}:Reverser")] == ["reverser"]
    with pytest.raises(UnusableError, match=r"it defines no tool abc, only convert, Reverser"):
        resolve_place(f"{place}:abc")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name = "Reverse"', "", "Reverser has no name"),
        ('name = "Reverse"', 'name = "to reverse"', "'to reverse' cannot be a name in a call"),
        ('description = "Reverses a text."', "", "Reverser has no description"),
        (': str = ""', ": str", "Reverser.Options.separator has no default"),
        ('"""Text between two characters."""', "", "Reverser.Options.separator has no docstring"),
        ("separator", "timeout", "Reverser.Options.timeout is an option of every tool"),
        ("ReverserOptions(ToolOptions)", "ReverserOptions", "is no dataclass that is derived from ToolOptions"),
        (
            "    name",
            '    demonstrations = ("It is [Reverse(a) -> a].",)\n    instruction = "x"\n    name',
            "with results",
        ),
        ("    def run", "    def ran", "it defines no tool"),
        ("class Reverser(Tool)", "import no_such_module\nclass Reverser(Tool)", "a file goes to the workers alone"),
        ("class Reverser(Tool)", "class Reverser(Tool", "line 12: SyntaxError"),
        ("class Reverser(Tool)", "raise SystemExit\nclass Reverser(Tool)", "line 12: SystemExit"),
    ],
)
def test_what_a_file_lacks_is_one_line_that_names_it(old: str, new: str, fault: str, tmp_path: Path) -> None:
    assert old in CLASS
    place = write(tmp_path, "reverser.py", CLASS.replace(old, new))
    with pytest.raises(UnusableError) as caught:
        resolve_place(place)
    assert str(caught.value).startswith(f"{place}: ") and fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_crash_is_told_with_the_line_of_the_file_also_where_the_file_is_not(tmp_path: Path) -> None:
    place = write(tmp_path, "units.py", FILE.replace("return f", "return 1 / 0 or f"))
    [brought] = resolve_place(place)
    Path(place).unlink()
    _, failure = ask(brought.load()(), Call("Convert", '26, "km"'))
    assert failure is not None
    assert "return 1 / 0 or f" in "".join(traceback.format_exception(failure))


def test_a_module_and_an_entry_point_name_tools_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, "installed_units.py", FILE)
    [by_module] = resolve_place("installed_units:convert")
    assert (by_module.key, place_of(sys.modules["installed_units"].convert)) == ("convert", by_module.place)
    offered = importlib.metadata.EntryPoints(
        [importlib.metadata.EntryPoint("distances", "installed_units:convert", GROUP)]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: offered)
    [offering] = resolve_place("distances")
    assert (offering.key, offering.load()) == ("distances", by_module.load())
    assert full_data_version(by_module.load()()) == f"@{by_module.load().source}" != "@"


def test_keys_and_names_that_are_taken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="there is a tool calculator already"):
        resolve_place(write(tmp_path, "calculator.py", FILE))
    (tmp_path / "more").mkdir()
    twice = [write(tmp_path, "units.py", FILE), write(tmp_path / "more", "units.py", FILE)]
    with pytest.raises(UnusableError, match="are both the tool units"):
        resolve_tools(twice)
    abacus = write(tmp_path, "abacus.py", FILE.replace("convert", "calculator"))
    with pytest.raises(UnusableError, match="are both called 'Calculator' in texts"):
        resolve_tools(["calculator", abacus])


def test_fingerprints_of_the_tools_of_this_package_are_as_before() -> None:
    assert full_data_version(Calculator()) == ""


def test_a_declaration_tells_readers_all_they_need_and_refuses_to_be_asked(tmp_path: Path) -> None:
    [brought] = resolve_place(write(tmp_path, "units.py", FILE))
    made_with = {DECLARED: {"units": declare(brought.load()(), brought.place)}}
    known = tools_known_to(made_with)
    read = known["units"]
    assert list(known)[:-1] == list(tools_known_to({}))
    assert (read.name, read.description, read.schema) == (brought.load().name, read.description, brought.load().schema)
    assert arguments_of(read, '26, "km"') == {"amount": 26, "unit": "km"}
    with pytest.raises(UnusableError, match="the tool Convert is only declared by a run; give its place"):
        read().open()


@pytest.mark.parametrize(
    "told",
    [None, [], {"name": "a b"}, {"name": "A", "schema": {"$ref": "http://127.0.0.1/"}}, {"name": "A", "schema": 1}],
)
def test_a_declaration_that_makes_no_sense_is_left_out(told: object) -> None:
    assert tools_known_to({DECLARED: {"units": told}}).keys() == tools_known_to(None).keys()
    assert tools_known_to({DECLARED: told}).keys() == tools_known_to(None).keys()


def test_check_tool_prints_a_line_for_each_check_and_says_by_its_exit_code_whether_all_is_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-tool", write(tmp_path, "units.py", FILE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "units: Convert, 2 examples, its prompt is made of its schema"
    assert len(lines) == 9 and all(line.startswith("  ok ") for line in lines[1:])
    assert main(["check-tool", write(tmp_path, "wrong.py", FILE.replace("16.2 mi", "16 mi"))]) == 1
    wrong = "its examples have their answers: the example 'amount=26, unit=\"km\"' is '16.2 mi' and not '16 mi'"
    assert f"  FAULT {wrong}" in capsys.readouterr().out
    crashing = (
        FILE.replace("EXAMPLES", "NONE").replace("amount: float, unit: str", "amount: str").replace("/ 1.609", "/ 1")
    )
    assert main(["check-tool", write(tmp_path, "crashing.py", crashing)]) == 1
    assert "  FAULT odd inputs are answered or refused: " in capsys.readouterr().out
    assert main(["check-tool", str(tmp_path / "missing.py")]) == 2


def test_the_package_stays_light() -> None:
    script = "import sys, toolformer_ray; print(sorted({'torch', 'ray', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"[]\n"
