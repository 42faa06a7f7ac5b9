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
    Precision,
    precision_table,
    precisions,
    read_judgements,
    write_judgements,
)

KEYS = {verdict[0]: verdict for verdict in VERDICTS}
BACK, STOP = "b", "q"
HELP = "r right, w wrong, u useless, b back to the one before, q stop; run it again to go on"
NOTHING_KEPT = "no call is kept so far; `toolformer show RUN --near` shows those that came closest"
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


class Review:
    """A review under way: its sample, what is judged, and at which call it stands."""

    def __init__(self, opened: OpenedRun, options: ReviewOptions) -> None:
        self._run = opened.run
        self.sample = draw_sample(opened, options.sample, tool_name(opened, options.tool))
        self._judged = {_name(one): one for one in read_judgements(opened.run)}
        self.at = self._first_open(0)
        """The number of the call to be judged; that of the sample when all are."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be judged."""
        return self.at >= len(self.sample)

    @property
    def call(self) -> ChosenCall:
        """The call to be judged."""
        return self.sample[self.at]

    @property
    def num_judged(self) -> int:
        """How many calls of the sample are judged."""
        return sum(_name(call) in self._judged for call in self.sample)

    @property
    def precisions(self) -> list[Precision]:
        """The precision of each tool by all judgements on the run."""
        return precisions(self._judged.values())

    def verdict(self, call: ChosenCall) -> str | None:
        """How a call was judged; None if it was not."""
        judged = self._judged.get(_name(call))
        return judged.verdict if judged else None

    def press(self, key: str) -> None:
        """Judge the call by its key, on disk when this returns, and go to the next one; or go back."""
        if key == BACK:
            self.at = max(0, self.at - 1)
        elif key in KEYS and not self.is_over:
            self._judged[_name(self.call)] = _judgement(self.call, KEYS[key])
            write_judgements(self._run, list(self._judged.values()))
            self.at = self._first_open(self.at + 1)

    def _first_open(self, start: int) -> int:
        """The number of the first call from `start` on that nobody has judged; behind the last if there is none."""
        sample = self.sample
        return next((n for n in range(start, len(sample)) if _name(sample[n]) not in self._judged), len(sample))


def review_calls(
    location: str,
    options: ReviewOptions,
    next_key: Callable[[], str] | None = None,
    console: Console | None = None,
) -> int:
    """Show calls and write what is judged. Raises UnusableError if there is no run, or no such tool in it."""
    review, console = Review(open_for_looking(location), options), console or make_console()
    if not review.sample:
        console.print(NOTHING_KEPT, soft_wrap=True)
        return 0
    console.print(HELP, style=QUIET)
    while not review.is_over:
        call = review.call
        console.print(f"\n{review.at + 1} of {len(review.sample)}", style=QUIET)
        console.print(in_its_text(call), soft_wrap=True)
        console.print(verdict_line(call), soft_wrap=True)
        key = _wait_for(next_key or read_key)
        if key == STOP:
            break
        review.press(key)
        if key in KEYS:
            console.print(KEYS[key], style=QUIET)
    console.print(f"\n{what_is_judged(review)}")
    return 0


def what_is_judged(review: Review) -> str:
    """The precision of each tool, a line each."""
    return precision_table(review.precisions) or "nothing is judged"


def draw_sample(opened: OpenedRun, number: int, tool: str | None) -> list[ChosenCall]:
    """So many kept calls, by a hash, taking turns between the tools."""
    tools = [tool] if tool else [row[0] for row in opened.ask("SELECT DISTINCT tool FROM calls ORDER BY tool").rows]
    per_tool = [choose_calls(opened, "kept", number, tool=name, chars_around=CHARS_AROUND) for name in tools]
    turns = sorted((turn, row, call) for row, calls in enumerate(per_tool) for turn, call in enumerate(calls))
    return [call for *_, call in turns][:number]


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
