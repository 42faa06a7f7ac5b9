"""`toolformer review RUN --sample N`: kept calls one by one, judged by a key each, into a table of the run.

The sample is drawn by a hash of the calls, so the same calls come each time and what was judged is not asked again; it
takes turns between the tools, so that each gets its share. Every judgement is on disk before the next call is shown.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from toolformer_ray.records.errors import OptionError
from toolformer_ray.workflow.calls.choose import ChosenCall, choose_calls
from toolformer_ray.workflow.calls.opened import OpenedRun, open_for_looking
from toolformer_ray.workflow.calls.show import tool_name
from toolformer_ray.workflow.calls.terminal import QUIET, in_its_text, make_console, verdict_line
from toolformer_ray.workflow.report.judgements import (
    VERDICTS,
    Judgement,
    precision_table,
    precisions,
    read_judgements,
    write_judgements,
)

KEYS = {verdict[0]: verdict for verdict in VERDICTS}
BACK, STOP = "b", "q"
HELP = "r right, w wrong, u useless, b back to the one before, q stop; run it again to go on"
CHARS_AROUND = 300
CTRL_D = "\x04"


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """What is there to judge."""

    sample: int = 50
    tool: str | None = None

    def __post_init__(self) -> None:
        if self.sample < 1:
            raise OptionError("sample", self.sample, "it must be at least 1 call")


def review_calls(
    location: str,
    options: ReviewOptions,
    next_key: Callable[[], str] | None = None,
    console: Console | None = None,
) -> int:
    """Show calls and write what is judged. Raises UnusableError if there is no run, or no such tool in it."""
    opened, console = open_for_looking(location), console or make_console()
    sample = draw_sample(opened, options.sample, tool_name(opened, options.tool))
    if not sample:
        console.print("no call is kept so far")
        return 0
    judged = {_name(one): one for one in read_judgements(opened.run)}
    console.print(HELP, style=QUIET)
    at = _first_open(sample, judged, 0)
    while at < len(sample):
        call = sample[at]
        console.print(f"\n{at + 1} of {len(sample)}", style=QUIET)
        console.print(in_its_text(call), soft_wrap=True)
        console.print(verdict_line(call), soft_wrap=True)
        key = _wait_for(next_key or read_key)
        if key == STOP:
            break
        if key == BACK:
            at = max(0, at - 1)
            continue
        judged[_name(call)] = _judgement(call, KEYS[key])
        write_judgements(opened.run, list(judged.values()))
        console.print(KEYS[key], style=QUIET)
        at = _first_open(sample, judged, at + 1)
    console.print(f"\n{precision_table(precisions(judged.values())) or 'nothing is judged'}")
    return 0


def draw_sample(opened: OpenedRun, number: int, tool: str | None) -> list[ChosenCall]:
    """So many kept calls, by a hash, taking turns between the tools."""
    tools = [tool] if tool else [row[0] for row in opened.ask("SELECT DISTINCT tool FROM calls ORDER BY tool").rows]
    per_tool = [choose_calls(opened, "kept", number, tool=name, chars_around=CHARS_AROUND) for name in tools]
    turns = sorted((turn, row, call) for row, calls in enumerate(per_tool) for turn, call in enumerate(calls))
    return [call for *_, call in turns][:number]


def _first_open(sample: list[ChosenCall], judged: dict[tuple[object, ...], Judgement], start: int) -> int:
    """The number of the first call from `start` on that nobody has judged; behind the last if there is none."""
    return next((n for n in range(start, len(sample)) if _name(sample[n]) not in judged), len(sample))


def _name(call: ChosenCall | Judgement) -> tuple[object, ...]:
    """With its result: if a tool now answers otherwise, the call has to be judged anew."""
    return call.text_id, call.tool, call.char_offset, call.call_input, call.result


def _judgement(call: ChosenCall, verdict: str) -> Judgement:
    return Judgement(
        text_id=call.text_id,
        tool=call.tool,
        char_offset=call.char_offset,
        call_input=call.call_input,
        result=call.result or "",
        verdict=verdict,
    )


def _wait_for(next_key: Callable[[], str]) -> str:
    """The next key that means something; the end of the input means to stop."""
    while True:
        key = next_key().lower()
        if key in ("", CTRL_D):
            return STOP
        if key in KEYS or key in (BACK, STOP):
            return key


def read_key() -> str:
    """One key of a terminal, without Enter, or one character of another input; empty at its end."""
    if not sys.stdin.isatty():
        return sys.stdin.read(1)
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        return sys.stdin.read(1)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
