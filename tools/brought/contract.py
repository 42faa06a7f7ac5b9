"""What every tool owes the rest, as checks that give a fault each: for `toolformer check-tool` and for our own tools.

Not covered: what a tool does beside answering. It may open files and connections; see docs/architecture.md.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from toolformer_ray.records.calls import clean_result, find_calls, parse_sample, remove_found_calls, render_call
from toolformer_ray.records.errors import OptionError, explain
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.call import Call, ask
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.brought.declaration_faults import declaration_fault
from toolformer_ray.tools.named import arguments_of, schema_of
from toolformer_ray.tools.tool import BadInput, Tool

SECONDS = 10.0
"""In which all hostile inputs have to be answered or refused, and any text looked at."""
HOSTILE_INPUTS = (
    *("", " ", '"', '""', "'\"", "\0", "a\0b", "\n\r\u2028", "[" * 500, "(" * 500 + ")" * 500),
    *("[Calculator(1 + 1) -> 2]", "__import__('os').system('true')", "' OR 1=1 --", "x" * 1_000_000, "9" * 100_000),
    *("1 + " * 100_000, "a b " * 100_000, "\ud800", "🙂" * 1_000, "\u202eabc\u0301\u0301", 'title:x AND (text:"y'),
    *("../../etc/passwd", "{}" * 100, "%s%n", '{"' * 500, "a=1, a=2", '"' + "\\" * 9_999),
)
HOSTILE_TEXTS = (
    *("", "\0", "a", "🙂" * 50, "[" * 1_000, "\ud800 1 2 3", "\u202e\u0645\u0631", "x" * 1_000_000),
    "1 " * 100_000,
)

Check = Callable[[Tool], str | None]


def check_declaration(tool: Tool) -> str | None:
    """It has a name that can be written in a call, a description that ends in a full stop, and what it needs."""
    if fault := declaration_fault(type(tool)):
        return fault
    if tool.version < 1 or not tool.description.endswith("."):
        return f"its version is {tool.version} and its description {tool.description[-20:]!r}; it ends in a full stop"
    meanings = {name: part.get("description", ".") for name, part in schema_of(tool)["properties"].items()}
    wrong = [name for name, meaning in meanings.items() if not name.isidentifier() or not meaning.endswith(".")]
    return f"its parameter {wrong[0]} has no usable name, or a meaning without a full stop" if wrong else None


def check_instruction(tool: Tool) -> str | None:
    """Its instruction shows how a call is written, and has no blank line, which would end it."""
    if not any(call.tool == tool.name for call in find_calls(tool.instruction)):
        return f"its instruction shows no call such as [{tool.name}(...)]"
    return "its instruction has a blank line" if "\n\n" in tool.instruction else None


def check_demonstrations(tool: Tool) -> str | None:
    """Each demonstration has calls of its own with inputs that it takes, no result, and reads well without them."""
    for text in tool.demonstrations:
        calls = find_calls(text)
        if not calls or any(call.tool != tool.name or call.result is not None for call in calls):
            return f"a demonstration has no call of its own, or a result: {text[:60]!r}"
        plain = remove_found_calls(text)
        if find_calls(plain) or "  " in plain:
            return f"a demonstration without its calls is {plain[:60]!r}"
        for call in calls:
            try:
                arguments_of(tool, call.call_input)
            except BadInput as error:
                return f"a demonstration calls {call.call_input[:60]!r}, which its schema refuses: {error}"
    return None


def check_hostile_inputs(tool: Tool) -> str | None:
    """It answers or refuses whatever stands between the parentheses, in time, and does not crash."""
    started = time.perf_counter()
    outcomes = ToolExecutor({tool.name: tool}).run([(tool.name, text, None) for text in HOSTILE_INPUTS])
    for text, outcome in zip(HOSTILE_INPUTS, outcomes, strict=True):
        if outcome.status not in ("ok", "empty", "bad_input"):
            _, failure = ask(tool, Call(tool.name, text)) if outcome.status == "crashed" else (None, None)
            told = f" ({explain(failure)})" if failure else ""
            return f"{text[:30]!r} is {outcome.status}{told}; raise BadInput for what it refuses"
    seconds = time.perf_counter() - started
    return f"{len(outcomes)} odd inputs took {seconds:.0f} seconds" if seconds > SECONDS else None


def check_hostile_texts(tool: Tool) -> str | None:
    """It says of any text, in time, whether it wants it and before which of its words."""
    started = time.perf_counter()
    for text in HOSTILE_TEXTS:
        document = Document(
            text_id="a-0", doc_id="a", part=0, text=text, title=None, url=None, date=None, source="check"
        )
        try:
            places = list(tool.wanted_places(text)) if tool.wants(document) in (True, False) else None
        except Exception as error:  # noqa: BLE001  whatever it does is a fault
            return f"the text {text[:20]!r} is too much for it: {explain(error)}"
        if places is None or places != sorted(set(places)) or any(not 0 <= place <= len(text) for place in places):
            return f"of the text {text[:20]!r} it wants places that are not in rising order within it"
    seconds = time.perf_counter() - started
    return f"{len(HOSTILE_TEXTS)} odd texts took {seconds:.0f} seconds" if seconds > SECONDS else None


def check_data_version(tool: Tool) -> str | None:
    """What identifies its data is the same for another one with the same options, before it is opened."""
    version = tool.data_version()
    is_same = type(tool)(tool.options).data_version() == version
    return None if is_same and isinstance(version, str) else "another one with equal options has another data_version"


def check_examples(tool: Tool) -> str | None:
    """Its examples can be written as calls and have the answers that are said."""
    for call_input, answer in tool.examples:
        written = render_call(tool.name, call_input).strip()
        if parse_sample(written[1:-1]) != (tool.name, call_input):
            return f"the example {call_input[:60]!r} cannot stand in a call"
        outcome, _ = ask(tool, Call(tool.name, call_input))
        if (outcome.result or "") != clean_result(answer):
            told = outcome.result if outcome.status == "ok" else f"{outcome.status} {outcome.note or ''}".strip()
            return f"the example {call_input[:60]!r} is {told!r} and not {answer[:60]!r}"
    return None


def check_decoys(tool: Tool) -> str | None:
    """What its answers are compared with is the same each time, and never the answer itself."""
    for answer in [answer for _, answer in tool.examples] or ["12", "a word"]:
        decoys = tool.decoys(answer, "key", 4)
        if decoys != tool.decoys(answer, "key", 4) or answer in decoys:
            return f"decoys of {answer[:40]!r} differ from time to time, or are the answer"
    return None


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "it is declared whole": check_declaration,
        "its instruction shows how a call is written": check_instruction,
        "its demonstrations hold calls that it takes": check_demonstrations,
        "odd inputs are answered or refused": check_hostile_inputs,
        "odd texts are looked at in time": check_hostile_texts,
        "its data are told apart before it is opened": check_data_version,
        "its examples have their answers": check_examples,
        "its decoys are the same each time": check_decoys,
    }
)
"""What is checked, as the command tells it, in this order."""


def faults_of(tool: Tool) -> Iterator[tuple[str, str | None]]:
    """Each check with its fault, or None. The tool has to be open. Raises OptionError if it lacks an option."""
    for told, check in CHECKS.items():
        try:
            yield told, check(tool)
        except OptionError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a user's tool does is a fault of it
            yield told, explain(error)
