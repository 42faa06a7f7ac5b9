"""Named arguments: whatever is rendered is found again, in every place that reads calls, and gives the values back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolformer_ray.decode.call_syntax import parse_call
from toolformer_ray.finetune.export.schemas import call_arguments, tool_schemas
from toolformer_ray.records.calls import call_parts, find_calls, insert_calls, parse_sample, remove_calls, render_call
from toolformer_ray.records.stages import KeptCall
from toolformer_ray.tools.arguments import MAX_CHARS, parse_arguments, render_arguments
from toolformer_ray.tools.asking.call import Call, ask
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.named import NamedArgumentsTool, arguments_of
from toolformer_ray.tools.schema_check import check_schema
from toolformer_ray.tools.tool import BadInput, CallContext

# Two halves of a pair that stand side by side are one character, in JSON as here.
LONE = st.text(
    st.sampled_from("ab \"\\'[](){}<>-=,:\n\r\t\0\x7f\x85\u2028\u2029🙂") | st.characters(exclude_categories=["Cs"])
)
ENDS = st.sampled_from([") -> ", ") ->", "]", '")', "\\", "\\u005d", "\ud800", "a\ud83dz", " [Convert(a=1) -> 2]"])
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | LONE | ENDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LONE, inner, max_size=3), max_leaves=8
)


class Anything(NamedArgumentsTool):
    """Takes what it is given."""

    name = "Any"
    description = "Takes anything."
    instruction, demonstrations = "Write [Any(a=1)].", ("It is [Any(a=1)] one.",)
    schema = check_schema({"type": "object", "properties": {name: {} for name in "abc"}}, "Any")

    def wants(self, document: object) -> bool:
        return True

    def call(self, arguments: Any, context: CallContext) -> str:
        return json.dumps(arguments)


class Convert(Anything):
    """Has types."""

    name = "Convert"
    schema = check_schema(
        {
            "type": "object",
            "properties": {"amount": {"type": "number", "minimum": 0}, "unit": {"enum": ["km", "mi"]}},
            "required": ["amount", "unit"],
        },
        "Convert",
    )


class Look(Anything):
    """Has one text."""

    name = "Look"
    schema = check_schema({"properties": {"phrase": {"type": "string"}}, "required": ["phrase"]}, "Look")


@given(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1))
def test_arguments_come_back_from_every_place_that_reads_calls(arguments: dict[str, Any]) -> None:
    written = render_arguments(arguments)
    assert parse_arguments(written) == ([], arguments)
    assert parse_sample(f"Any({written})") == ("Any", written)
    for result in (None, "an answer", ""):
        [found] = find_calls(f"It is{render_call('Any', written, result)} so.")
        assert (found.tool, found.call_input, found.result) == ("Any", written, result)
    read = parse_call("".join(call_parts("Any", written, "an answer")[1:2]))
    assert (read.state, read.call_input) == ("complete", written)
    assert parse_call(f"Any({written})]").call_input == written
    kept = KeptCall(tool="Any", call_input=written, result="1", char_offset=2, loss_reduction=1.0)
    assert remove_calls(insert_calls("A text.", [kept]), [kept]) == "A text."
    assert call_arguments({"Any": Anything}, "Any", written) == arguments
    assert written.splitlines() in ([written], [])


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("", {}),
        (' amount = 26 ,unit="km" ', {"amount": 26, "unit": "km"}),
        ("26, 'km'", {"amount": 26, "unit": "km"}),
        ("26, unit='km',", {"amount": 26, "unit": "km"}),
        ("a=True, b=None, c=false", {"a": True, "b": None, "c": False}),
        ("a=(), b=(1), c=(1, (2,))", {"a": [], "b": [1], "c": [1, [2]]}),
        ('a={"x": {"y": ()}, \'z\': -.5}, b=1e3', {"a": {"x": {"y": []}, "z": -0.5}, "b": 1000.0}),
        (r'a="\ud83d\ude42 \/ \q \u005b"', {"a": "🙂 / q ["}),
    ],
)
def test_python_and_json_are_both_read(written: str, values: dict[str, Any]) -> None:
    positional, named = parse_arguments(written)
    assert {**dict(zip(("amount", "unit"), positional, strict=False)), **named} == values


@pytest.mark.parametrize(
    ("written", "argument"),
    [
        ("a=", "a"),
        ("a=1 b=2", "a"),
        ("a=1, a=2", "a"),
        ("a=1, 2", None),
        ("a=__import__('os')", "a"),
        ("a=1+1", "a"),
        ("a=0x10", "a"),
        ("a=1_000", "a"),
        ("a=1e999", "a"),
        ("a=" + "9" * 5_000, "a"),
        ('a="open', "a"),
        ('a="x" "y"', "a"),
        ("a={1: 2}", "a"),
        ("a=" + "(" * 50 + ")" * 50, "a"),
        ("a=" + '{"b":' * 3_000, "a"),
        ("a=-" * 5_000, "a"),
        ("a=f'x'", "a"),
        ("x" * (MAX_CHARS + 1), None),
        ("a==1", None),
    ],
)
def test_what_is_no_value_is_refused_and_the_argument_is_named(written: str, argument: str | None) -> None:
    with pytest.raises(BadInput) as caught:
        parse_arguments(written)
    assert caught.value.argument == argument
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_does_not_have_cannot_be_rendered(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be written in a call"):
        render_arguments({"a": value})


@pytest.mark.parametrize(
    ("written", "note"),
    [
        ('amount=-1, unit="km"', "argument amount"),
        ('amount="26", unit="km"', "argument amount"),
        ('amount=26, unit="m"', "argument unit"),
        ("amount=26", "argument unit"),
        ('amount=26, unit="km", to="mi"', "argument to"),
        ('26, "km", amount=1', "argument amount"),
        ('26, "km", 3', None),
    ],
)
def test_a_call_that_the_schema_refuses_is_never_made_and_its_row_names_the_argument(
    written: str, note: str | None
) -> None:
    outcome, _ = ask(Convert(), Call("Convert", written))
    assert (outcome.status, outcome.note) == ("bad_input", note)


def test_a_tool_of_one_text_takes_it_as_it_stands() -> None:
    for written in ("26 km", '"26 km"', "phrase='26 km'", ' phrase = "26 km"'):
        assert arguments_of(Look, written) == {"phrase": "26 km"}
    for written in ('say "yes" (or "no")', "1984", "phrase=26", "other='x'", "'a', 'b'"):
        assert arguments_of(Look, written) == {"phrase": written}
    with pytest.raises(BadInput) as caught:
        arguments_of(Look, " ")
    assert caught.value.argument == "phrase"


def test_exports_tell_of_types_and_of_todays_tools_as_before() -> None:
    tools = {"Calculator": Calculator, "Convert": Convert}
    told = {one["function"]["name"]: one["function"]["parameters"] for one in tool_schemas(tools)}
    assert told["Calculator"]["properties"]["expression"]["type"] == "string"
    assert told["Convert"] == Convert.schema
    assert call_arguments(tools, "Convert", '26, unit="km"') == {"amount": 26, "unit": "km"}
    assert call_arguments(tools, "Calculator", '"1 + 1"') == {"expression": "1 + 1"}
    assert call_arguments(tools, "Convert", "no such amount") == {"input": "no such amount"}
    assert call_arguments(tools, "Gone", "1") == {"input": "1"}
