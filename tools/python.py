"""Python: the value of a short program, run in a sandbox (`tools.backends.sandbox`).

    Python("strawberry".count("r"))                             the last expression is the answer
    Python(fare = lambda miles: 3 + 2 * miles; fare(4))         a function, written once
    Python(fare(9))                                             and called by its name later in the same text
    Python("def fare(miles):\\n    return 3 + 2 * miles\\nfare(4)")   in quotation marks, escaped as arguments are

No call holds a square bracket, so lists are written as `list(...)` or in parentheses, or behind `\\u005b`.
What a program prints is its answer if its last expression has no value, as `print(3 * 4)`; numbers are rounded to ten
decimals. A program has no clock and no random numbers: an answer depends on the call alone.
"""

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.program import Program, defined_names, needed_names, read_program
from toolformer_ray.tools.backends.sandbox import Limits, Sandbox
from toolformer_ray.tools.named import NamedArgumentsTool, read_arguments
from toolformer_ray.tools.options import Teaching, ToolOptions
from toolformer_ray.tools.tool import BadInput, CallContext
from toolformer_ray.tools.wanted_places import before_numbers

CODE = "code"


@dataclass(frozen=True, kw_only=True)
class PythonOptions(ToolOptions):
    """What one program may take."""

    max_seconds: float = 1.0
    """Seconds that a program may run; a longer one times out."""
    max_memory: int = 32
    """Megabytes that a program may fill."""
    max_depth: int = 100
    """Calls of functions inside each other."""
    max_program: int = 1_000
    """Characters of a program."""
    max_answer: int = 200
    """Characters of an answer; a program with a longer one is refused."""

    def __post_init__(self) -> None:
        if not 0 < self.max_seconds <= 60:
            raise OptionError("max_seconds", self.max_seconds, "it must be more than 0 and at most 60 seconds")
        most = {"max_memory": 4_096, "max_depth": 400, "max_program": 10_000, "max_answer": 1_000}
        for name, largest in most.items():
            if not 1 <= getattr(self, name) <= largest:
                raise OptionError(name, getattr(self, name), f"it must be from 1 to {largest:,}")

    @property
    def limits(self) -> Limits:
        """The same for the sandbox."""
        return Limits(
            seconds=self.max_seconds, megabytes=self.max_memory, depth=self.max_depth, answer_chars=self.max_answer
        )


class Python(NamedArgumentsTool):
    Options = PythonOptions
    options: PythonOptions
    name = "Python"
    description = "Runs a short Python program and gives the value of its last expression."
    parameters = {CODE: "The program, such as sum((18, 25, 31))."}
    schema = {
        "type": "object",
        "properties": {CODE: {"type": "string", "description": parameters[CODE]}},
        "required": [CODE],
        "additionalProperties": False,
    }
    teaching = Teaching(
        min_open_probability=0.0, max_places=12, num_samples=5, min_loss_reduction=0.5, min_contrast=0.3
    )
    teaching_in_paper = Teaching(min_open_probability=0.0, max_places=20, num_samples=10, min_loss_reduction=0.5)
    one_at_a_time = True
    answers_at_once = True
    instruction = (
        "Add calls to Python to the text. A call runs a short program and gives the value of its last expression. A "
        'function is written once and called by its name later. Write a call as "[Python(program)]". Here are some '
        "examples:"
    )
    demonstrations = (
        'In the word strawberry the letter r stands [Python("strawberry".count("r"))] 3 times.',
        "The four vans carried 18, 25, 31 and 22 sacks, which makes [Python(sum((18, 25, 31, 22)))] 96 sacks.",
        "A ride costs 3 dollars and 2 more for each mile, so 4 miles cost "
        "[Python(fare = lambda miles: 3 + 2 * miles; fare(4))] 11 dollars and 9 miles [Python(fare(9))] 21 dollars.",
        "The mill stood still from March 3 to April 18, 2024, that is for "
        "[Python(from datetime import date; (date(2024, 4, 18) - date(2024, 3, 3)).days)] 46 days.",
        "Sorted by their names the sisters are "
        '[Python(", ".join(sorted(("Ruth", "Ada", "Ida"))))] Ada, Ida, Ruth, in this order.',
    )
    examples = (
        ('"strawberry".count("r")', "3"),
        ("fare = lambda miles: 3 + 2 * miles; fare(4)", "11"),
        ('"def fare(miles):\\n    return 3 + 2 * miles\\nfare(9)"', "21"),
    )

    def __init__(self, options: ToolOptions | None = None) -> None:
        super().__init__(options)
        self._sandbox = Sandbox(self.options.limits)

    def open(self) -> None:
        self._sandbox.open()

    def wants(self, document: Document) -> bool:
        return any(True for _ in self.wanted_places(document.text))

    def wanted_places(self, text: str) -> Iterable[int]:
        """Before new numbers: what programs of a line compute is mostly one, and of the places before words, ten times
        as many, hardly any would be due."""
        return before_numbers(text)

    def defines(self, call_input: str) -> Collection[str]:
        return _names(call_input, self.options.max_program)[0]

    def uses(self, call_input: str) -> Collection[str]:
        return _names(call_input, self.options.max_program)[1]

    def call(self, arguments: Mapping[str, Any], context: CallContext) -> str:
        most = self.options.max_program
        return self._sandbox.run(_read(arguments[CODE], most), [program_of(one, most) for one in context.earlier])


def program_of(call_input: str, most_chars: int = PythonOptions.max_program) -> Program:
    """The program of a call. Raises BadInput for what is none, or is longer."""
    return _read(read_arguments(Python.schema, call_input)[CODE], most_chars)


def _read(text: str, most_chars: int) -> Program:
    if len(text) > most_chars:
        raise BadInput(f"a program of {len(text)} characters; at most {most_chars} are read")
    return read_program(text)


@functools.lru_cache(maxsize=4_096)
def _names(call_input: str, most_chars: int) -> tuple[Collection[str], Collection[str]]:
    """What a call defines and uses. A program that ends without a value defines nothing: its call cannot stand in a
    text, as it has no answer."""
    try:
        program = program_of(call_input, most_chars)
    except BadInput:
        return (), ()
    return defined_names(program) if program.answer is not None else (), needed_names(program)
