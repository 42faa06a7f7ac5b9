"""Runs small programs in a sandbox made for that: Monty, a Python interpreter of its own, in a process of its own.

The interpreter has no files, no network, no environment, no clock and no random numbers; what Python could import is
not there, but for a few modules of its own making (`math`, `re`, `datetime`, `collections` and the like). It counts the
time, the memory and the depth of calls of a program, and its allocator ends the process that goes beyond the memory all
the same; a process that ends, or does not answer, is replaced. Of a program's answer only a text of limited length
leaves the sandbox, so no answer is built in this process.

While a list or a text grows there are two of it for a moment, so a process takes up to twice the memory of the limit.

Not covered: an error in the sandbox itself that lets a program run as the user of its process. The processor is shared:
a program that takes all of its time slows others down.
"""

import importlib.util
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolformer_ray.records.errors import UnusableError, one_line
from toolformer_ray.tools.backends.program import ANSWER, Program
from toolformer_ray.tools.tool import BadInput, TimedOut, Unavailable

if TYPE_CHECKING:
    from pydantic_monty import Monty

SECONDS_OVER = 2.0
"""After so much more than its time a program that does not end by itself is ended with its process."""
SECONDS_TO_WAIT = 5.0
"""For a process, while another program runs in it."""
MEGABYTE = 1 << 20
# Where an object has no text of its own, it has its address, which says nothing.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+'?>")
_TELL = f"""
def _tell_(value):
    if value is None:
        return ''
    return '.' + f'{{round(value, 10)}}' if isinstance(value, float) else '=' + f'{{value}}'
_tell_({ANSWER})"""
"""The answer as a text, made in the sandbox; its first sign says what it is. Whatever names the program has taken, an
f-string makes a text."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may take."""

    seconds: float
    megabytes: int
    depth: int
    """Calls inside each other."""
    answer_chars: int


class Sandbox:
    """One process in which programs run, one after another. Its methods may be called by any thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._pool: Monty | None = None

    def open(self) -> None:
        """Start the process. Raises UnusableError if the sandbox is not installed."""
        with self._lock:
            if self._pool is None:
                self._pool = _start(self._limits)

    def run(self, program: Program, earlier: Sequence[Program] = ()) -> str:
        """The program's answer, one text; empty if it has none. Programs before it are run first, in the same session.

        Raises BadInput for a program that fails or goes beyond its limits, TimedOut for one that takes too long, and
        Unavailable if no process can be had.
        """
        import pydantic_monty

        self.open()
        assert self._pool is not None  # noqa: S101  it has just been opened
        try:
            with self._pool.checkout(limits=_as_limits(self._limits), os_policy=_NOTHING) as session:
                for one in earlier:
                    _feed(session, one.text, self._limits)
                printed = _feed(session, program.with_bound_answer, self._limits)
                told = "" if program.answer is None else self._told(session)
        except pydantic_monty.MontyCrashedError as error:
            raise (TimedOut if error.timed_out else BadInput)(one_line(error)) from error
        except pydantic_monty.MontyError as error:
            is_late = isinstance(error.exception(), TimeoutError)
            raise (TimedOut if is_late else BadInput)(f"it fails: {one_line(error)[:200]}") from error
        except TimeoutError as error:
            raise Unavailable("the sandbox is busy") from error
        answer = _as_answer(told) if told else printed.strip()
        if len(answer) > self._limits.answer_chars:
            raise BadInput(f"an answer of more than {self._limits.answer_chars} characters")
        return answer

    def _told(self, session: Any) -> str:
        # Beside the first sign one character more than is allowed, which tells that it is too long.
        told = session.feed_run(f"{_TELL}[:{self._limits.answer_chars + 2}]")
        if not isinstance(told, str):
            raise BadInput("its answer has no text")
        return told


def _feed(session: Any, code: str, limits: Limits) -> str:
    """Run a part of a session; what it printed."""
    import pydantic_monty

    printed = pydantic_monty.CollectString(max_bytes=4 * limits.answer_chars + 4_096)
    session.feed_run(code, print_callback=printed)
    return str(printed.output)


def _as_answer(told: str) -> str:
    """The answer as a text: numbers without a fraction have none, and objects that only have an address are none."""
    kind, text = told[0], told[1:]
    if kind == ".":
        return text.removesuffix(".0")
    return "" if _ADDRESS.search(text) else text


# The clock, sleeping and random numbers are put to a host that does not answer: an answer depends on the call alone.
_NOTHING: Any = {"datetime": "call_host", "sleep": "call_host", "random_start": "call_host"}


def _as_limits(limits: Limits) -> Any:
    return {
        "max_feed_duration_secs": limits.seconds,
        "max_memory": limits.megabytes * MEGABYTE,
        "max_recursion_depth": limits.depth,
        "max_suspensions": 1,
    }


def _start(limits: Limits) -> "Monty":
    if importlib.util.find_spec("pydantic_monty") is None:
        raise UnusableError(
            "Python runs in the package pydantic-monty, which is not installed; install it: "
            "pip install 'toolformer-ray[python]'"
        )
    import pydantic_monty

    pool = pydantic_monty.Monty(
        max_processes=1, request_timeout=limits.seconds + SECONDS_OVER, checkout_timeout=SECONDS_TO_WAIT
    )
    try:
        return pool.__enter__()
    except (OSError, pydantic_monty.MontyError) as error:
        raise UnusableError(f"the sandbox of Python does not start: {one_line(error)}") from error
