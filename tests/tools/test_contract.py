"""What every tool owes the rest, checked on each one that is found: add a tool, and these tests cover it.

A tool that cannot be made from its default options needs an entry in REQUIRED_OPTIONS.
"""

import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_world import make_document
from toolformer_ray.annotate.prompt import render_demonstrations
from toolformer_ray.records.calls import find_calls, remove_found_calls
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.backends.passage_index import build_index
from toolformer_ray.tools.backends.program import NO_FILE
from toolformer_ray.tools.brought.contract import CHECKS, HOSTILE_INPUTS
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.options import Asking, Teaching
from toolformer_ray.tools.tool import Tool

KEYS = list(find_tools())
REPOSITORY = Path(__file__).parents[2]

PAPER = {
    # key: (tau_s, k, m, tau_f, demonstrations)   paper, appendix A and A.2
    "calculator": (0.0, 20, 10, 0.5, 5),
    "calendar": (0.05, 5, 5, 1.0, 5),
    "qa": (0.05, 5, 5, 1.0, 2),
    "search": (0.05, 5, 5, 1.0, 3),
    "translation": (0.0, 20, 10, 0.5, 3),
}


def make_qa_table(folder: Path) -> dict[str, Any]:
    path = folder / "table.jsonl"
    path.write_text(json.dumps({"question": "Who built the mill?", "answer": "Ann"}) + "\n")
    return {"table": str(path)}


def make_search_index(folder: Path) -> dict[str, Any]:
    (folder / "passages.tsv").write_text("title\ttext\nNile\tThe Nile is a river.\n")
    build_index(str(folder / "passages.tsv"), str(folder / "index"))
    return {"index": str(folder / "index")}


def make_glossary(folder: Path) -> dict[str, Any]:
    path = folder / "glossary.csv"
    path.write_text("source,target\nmer,sea\n")
    return {"glossary": str(path)}


REQUIRED_OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "qa": make_qa_table,
    "search": make_search_index,
    "translation": make_glossary,
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tool]:
    tools = {}
    for key, tool in find_tools().items():
        make = REQUIRED_OPTIONS.get(key)
        tools[key] = tool(tool.Options(**make(tmp_path_factory.mktemp(key)) if make else {}))
        tools[key].open()
    return tools


def test_the_papers_five_tools_are_found() -> None:
    assert set(PAPER) <= set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_its_key_is_the_stem_of_its_file_and_its_name_can_be_written_in_a_call(key: str) -> None:
    tool = find_tools()[key]
    assert Path(inspect.getfile(tool)).stem == key
    assert tool.name.isidentifier()
    assert tool.version >= 1


def test_no_two_tools_have_one_name() -> None:
    names = [tool.name for tool in find_tools().values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("told", CHECKS)
def test_it_fulfils_the_contract(told: str, key: str, opened: dict[str, Tool]) -> None:
    assert CHECKS[told](opened[key]) is None


@pytest.mark.parametrize("key", KEYS)
def test_a_call_in_its_first_demonstration_has_an_input_if_it_has_a_parameter(key: str) -> None:
    tool = find_tools()[key]
    [call, *_] = find_calls(tool.demonstrations[0])
    assert len(tool.parameters) == bool(call.call_input)


@pytest.mark.paper("C3")
@pytest.mark.parametrize("key", KEYS)
def test_each_of_its_two_to_five_demonstrations_has_a_call_of_its_own_and_no_result(key: str) -> None:
    tool = find_tools()[key]
    assert 2 <= len(tool.demonstrations) <= 5
    for demonstration in tool.demonstrations:
        calls = find_calls(demonstration)
        assert calls
        assert {call.tool for call in calls} == {tool.name}
        assert all(call.result is None for call in calls)


@pytest.mark.parametrize("key", KEYS)
def test_the_input_of_a_demonstration_is_the_text_without_calls(key: str) -> None:
    tool = find_tools()[key]
    for demonstration in tool.demonstrations:
        plain = remove_found_calls(demonstration)
        assert not find_calls(plain)
        assert "  " not in plain
    assert render_demonstrations(tool).count("\nOutput: ") == len(tool.demonstrations)


@pytest.mark.paper("T1")
@pytest.mark.parametrize("key", PAPER)
def test_its_thresholds_and_demonstrations_are_as_many_as_in_the_paper(key: str) -> None:
    tool = find_tools()[key]
    tau_s, k, m, tau_f, *_ = dataclasses.astuple(tool.teaching_in_paper)
    assert PAPER[key] == (tau_s, k, m, tau_f, len(tool.demonstrations))


@pytest.mark.paper("T1")
def test_the_first_question_answering_demonstration_has_two_calls() -> None:
    assert [len(find_calls(text)) for text in find_tools()["qa"].demonstrations] == [2, 1]


@pytest.mark.paper("H1")
def test_question_answering_and_search_want_every_text(opened: dict[str, Tool]) -> None:
    texts = ["", "A word.", "8 + 3 = 11", "\0", "שלום"]
    assert all(opened[key].wants(make_document(text)) for key in ("qa", "search") for text in texts)


@pytest.mark.paper("H5")
def test_only_translation_strikes_inputs_from_the_future_and_only_the_calendar_reads_today() -> None:
    assert [key for key in PAPER if find_tools()[key].strikes_future_inputs] == ["translation"]
    assert [key for key in PAPER if find_tools()[key].reads_today] == ["calendar"]


@pytest.mark.parametrize(
    ("record", "option", "value"),
    [
        (Teaching, "min_open_probability", -0.1),
        (Teaching, "min_open_probability", 1.0),
        (Teaching, "max_places", 0),
        (Teaching, "num_samples", 0),
        (Asking, "timeout", 0.0),
        (Asking, "max_in_flight", 0),
        (Asking, "max_calls_per_second", 0.0),
        (Asking, "max_retries", -1),
        (Asking, "pause_after", 0),
        (Asking, "pause", -1.0),
        (find_tools()["search"].Options, "max_snippet_chars", 5),
        (find_tools()["search"].Options, "max_snippet_chars", 5_000),
        (find_tools()["qa"].Options, "min_similarity", 1.5),
    ],
)
def test_options_refuse_bad_values_naming_option_and_value(record: type, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{option} is {value}; it must be ") as caught:
        record(**{option: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "option"), [("search", "`search.index`"), ("qa", "`qa.table`")])
def test_a_tool_without_what_it_needs_says_so_in_one_line_when_it_is_made(key: str, option: str) -> None:
    tool = find_tools()[key]
    with pytest.raises(ValueError, match=f"needs .*{option}") as caught:
        tool(tool.Options())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [Teaching, Asking, *(tool.Options for tool in find_tools().values())])
def test_every_option_is_a_plain_value_with_a_docstring(options: type) -> None:
    assert dataclasses.is_dataclass(options)
    source = "".join(Path(sys.modules[base.__module__].__file__ or "").read_text() for base in options.__mro__[:-1])
    for field in dataclasses.fields(options):
        assert field.default is not dataclasses.MISSING, field.name
        declared = source.split(f"    {field.name}: ")[1:]
        assert any(piece.split("\n")[1].strip().startswith('"""') for piece in declared), field.name


FORBIDDEN = ("open", "socket.", "subprocess.", "os.", "exec", "import", "ctypes.", "shutil.", "urllib.")
"""Events of Python's audit: files, the network, programs, code."""


def test_no_input_makes_a_tool_open_a_file_reach_the_network_or_run_code(opened: dict[str, Tool]) -> None:
    seen: list[tuple[str, str]] = []
    is_watched = [False]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if is_watched[0] and event.startswith(FORBIDDEN) and NO_FILE not in arguments:
            seen.append((event, repr(arguments)[:200]))

    inputs = [
        *HOSTILE_INPUTS,
        "file:///etc/passwd",
        "http://127.0.0.1:9/",
        "open('/etc/passwd').read()",
        "`id`",
        "$(id)",
    ]
    calls = [(tool.name, text, None) for tool in opened.values() for text in inputs]
    executor = ToolExecutor({tool.name: tool for tool in opened.values()})
    executor.run(calls)  # what a tool loads at its first call is its own
    sys.addaudithook(watch)  # there is no taking it off, only telling it not to look
    is_watched[0] = True
    executor.run(calls)
    assert seen == []
    Path(__file__).read_bytes()
    is_watched[0] = False
    assert [event for event, _ in seen] == ["open"]  # the watch was awake


@pytest.mark.parametrize("key", KEYS)
def test_it_tells_its_data_apart_before_it_is_opened(key: str, opened: dict[str, Tool]) -> None:
    assert bool(opened[key].data_version()) == (key in REQUIRED_OPTIONS)


def test_finding_the_tools_loads_no_model_library() -> None:
    script = (
        "import sys; from toolformer_ray.tools.catalog import find_tools; find_tools(); "
        "print(sorted({'torch', 'transformers', 'tantivy', 'openai', 'fasttext', 'ray'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd=REPOSITORY
    )
    assert found.stdout == "[]\n"
