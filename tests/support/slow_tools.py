"""Tools that answer what and when the test says, and a way to ask them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.tool import BadInput, CallContext, Tool, Unavailable


def calculator() -> Calculator:
    return Calculator()


class Gate(Tool):
    """A calculator that answers when it is opened; `asked` is set when the first call has come."""

    name = "Calculator"
    instruction = "Add."
    demonstrations = ("1 and 2 are [Calculator(1+2)] 3.",)

    def __init__(self, *, is_open: bool = False, **asking: Any) -> None:
        super().__init__()
        self.asking = Asking(**asking)
        self.is_open, self.asked = threading.Event(), threading.Event()
        if is_open:
            self.is_open.set()
        self.inputs: list[str] = []

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        self.inputs.append(call_input)
        self.asked.set()
        self.is_open.wait(30)
        return str(sum(map(int, call_input.split("+"))))


class Down(Gate):
    """Cannot be reached."""

    def run(self, call_input: str, context: CallContext) -> str:
        raise Unavailable("not today", retry_after=None)


class Scripted(Tool):
    """A tool that answers with whatever a function makes of the input."""

    name = "Scripted"
    instruction = ""
    demonstrations = ()

    def __init__(self, answer: Callable[[str], str], **asking: Any) -> None:
        super().__init__()
        self.asking = Asking(**{"timeout": 20.0, "max_in_flight": 4} | asking)
        self.answer = answer
        self.seen: list[str] = []

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        self.seen.append(call_input)
        return self.answer(call_input)


def run(tool: Tool, inputs: Sequence[str]) -> list[Outcome]:
    """The outcomes of some calls of one tool, repeated without delay where it cannot be reached."""
    executor = ToolExecutor({tool.name: tool}, first_retry_delay=0.0)
    return executor.run([(tool.name, call_input, None) for call_input in inputs])


def fail(call_input: str) -> str:
    """The input in capitals, but for some inputs an error or no answer."""
    errors: dict[str, Exception] = {
        "bad": BadInput("no"),
        "away": Unavailable("no"),
        "broken": ZeroDivisionError("no"),
        "deep": RecursionError(),
        "full": MemoryError(),
    }
    if call_input in errors:
        raise errors[call_input]
    return {"nothing": "", "blank": " \n\t", "none": None}.get(call_input, call_input.upper())  # type: ignore[return-value]
