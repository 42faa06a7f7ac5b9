"""Tools whose answers come when the test says so."""

import threading
from typing import Any

from toolformer_ray.records.stages import Document
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.tool import CallContext, Tool, Unavailable


def calculator() -> Calculator:
    return Calculator()


class Gate(Tool):
    """A calculator that answers when it is opened; `asked` is set when the first call has come."""

    name = "Calculator"
    instruction = "Add."
    demonstrations = ("1 and 2 are [Calculator(1+2)] 3.",)

    def __init__(self, **asking: Any) -> None:
        super().__init__()
        self.asking = Asking(**asking)
        self.is_open, self.asked = threading.Event(), threading.Event()
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
