"""Functions that a model wrote as tools of their own, by place.

    python:functions.toml            all functions of a file (`tools.brought.function_file`)
    python:functions.toml:price      one of them

They are run in the sandbox of the tool Python and nowhere else, so a file of them needs no more trust than a call does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.functions import WrittenFunction
from toolformer_ray.tools.backends.program import read_program
from toolformer_ray.tools.backends.sandbox import Sandbox
from toolformer_ray.tools.brought.brought_tool import Brought
from toolformer_ray.tools.brought.drafted_prompt import fill_prompt
from toolformer_ray.tools.brought.function_file import PromotedFunction, read_functions
from toolformer_ray.tools.brought.source_file import source_hash
from toolformer_ray.tools.named import NamedArgumentsTool
from toolformer_ray.tools.options import ToolOptions
from toolformer_ray.tools.python import Python, PythonOptions
from toolformer_ray.tools.schema_check import check_schema, clean_description
from toolformer_ray.tools.servers.call_names import key_of, name_in_calls
from toolformer_ray.tools.tool import BadInput, CallContext, Tool
from toolformer_ray.tools.wanted_places import before_numbers

SCHEME = "python"
_made: dict[str, type[Tool]] = {}


class SandboxedFunction(NamedArgumentsTool):
    """A function of a file as a tool; its classes are made by `FromFunctions`."""

    Options = PythonOptions
    options: PythonOptions
    teaching = Python.teaching
    teaching_in_paper = Python.teaching_in_paper
    one_at_a_time = True
    answers_at_once = True
    function: ClassVar[WrittenFunction]

    def __init__(self, options: ToolOptions | None = None) -> None:
        super().__init__(options)
        self._sandbox = Sandbox(self.options.limits)

    def open(self) -> None:
        """Start the sandbox."""
        self._sandbox.open()

    def wants(self, document: Document) -> bool:
        """As Python does."""
        return any(True for _ in self.wanted_places(document.text))

    def wanted_places(self, text: str) -> Iterable[int]:
        """As Python does."""
        return before_numbers(text)

    def call(self, arguments: Mapping[str, Any], context: CallContext) -> str:
        """The value of the function. The arguments stand in the program as plain values."""
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        if len(given) > self.options.max_program:
            raise BadInput(f"arguments of {len(given)} characters; at most {self.options.max_program} are read")
        return self._sandbox.run(read_program(f"{self.function.source}\n{self.function.name}({given})"))


@dataclass(frozen=True, kw_only=True)
class FromFunctions(Brought):
    """One function of a file; it travels as text."""

    entry: PromotedFunction

    def load(self) -> type[Tool]:
        """The tool, which is made once in a process."""
        identity = repr(self)
        if identity not in _made:
            _made[identity] = _make(self.entry, self.place)
        return _made[identity]


def resolve_functions(place: str, rest: str) -> Sequence[Brought]:
    """The functions of a file, or one. Raises UnusableError, one line."""
    path, separator, only = rest.rpartition(".toml")
    if not separator or only[:1] not in ("", ":"):
        raise UnusableError(f"{place}: give a file of functions, such as {SCHEME}:functions.toml")
    entries = read_functions(f"{path}.toml")
    chosen = [entry for entry in entries if only[1:] in ("", entry.name)]
    if not chosen:
        raise UnusableError(f"{place}: it holds no function {only[1:]}, only {', '.join(one.name for one in entries)}")
    return [brought_function(entry, f"{SCHEME}:{path}.toml:{entry.name}") for entry in chosen]


def brought_function(entry: PromotedFunction, place: str) -> FromFunctions:
    """A function as what a command takes for a tool. Raises UnusableError for a name that no call can have."""
    return FromFunctions(key=key_of(name_in_calls(entry.name, place)), place=place, entry=entry)


def _make(entry: PromotedFunction, place: str) -> type[Tool]:
    function = entry.function
    properties = {name: {"description": f"The argument {name}."} for name in function.parameters}
    schema = {"type": "object", "properties": properties, "required": list(function.required)}
    made: type[Tool] = type(
        "Promoted",
        (SandboxedFunction,),
        {
            "name": name_in_calls(entry.name, place),
            "description": clean_description(entry.description) or f"Gives the value of {entry.name}.",
            "schema": check_schema(schema, place),
            "function": function,
            "examples": entry.examples,
            # What is drafted from the schema does not count as written by hand.
            **({"instruction": entry.instruction} if entry.instruction else {}),
            **({"demonstrations": entry.demonstrations} if entry.demonstrations else {}),
        },
    )
    made.source = source_hash(function.source)
    fill_prompt(made)
    return made
