"""`toolformer generate`, or `python -m jobs.generate_text`: prompts in, texts out in which calls are answered.

On a terminal a text appears while it is written, what a tool said in another colour. In a pipe and with `--json` a
text is printed when it is finished. Either way they come in the order of the prompts.
"""

import functools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path
from typing import Annotated, TextIO

from cyclopts import Parameter

from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.jobs.decoding.decoder import (
    WRITING,
    DecoderOptions,
    check_recording,
    open_decoder,
    refuse_missing_tools,
)
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.tools.catalog import find_tools

_COLOURS = {"prompt": "\x1b[2m", "text": "", "call": "\x1b[36m", "result": "\x1b[1;32m"}
_PLAIN = "\x1b[0m"
# A model may write control characters, which a terminal would obey.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@Parameter(name="*")
@dataclass(frozen=True)
class GenerateOptions:
    """Which prompts are gone on from, by what, and how the texts are printed."""

    prompts: tuple[str, ...] = ()
    """Texts to go on from, written alike and at the same time."""
    _: KW_ONLY
    file: str | None = None
    """A file of prompts, one per line; `-` is the standard input, which is read too if no prompt is given."""
    json: bool = False
    """Print one JSON object per prompt: its text, its calls and what became of them."""
    decoder: DecoderOptions
    decode: Annotated[DecodeOptions, Parameter(name="*", group=WRITING)] = field(default_factory=DecodeOptions)


def generate(options: GenerateOptions) -> int:
    """Write all texts; returns the exit code. Raises ValueError, one line, for what the user has to change.

    That a recording lacks calls is found, and raised, when the texts are printed.
    """
    decoder, decode = options.decoder, options.decode
    prompts = [*options.prompts, *_read_prompts(options.file, is_wanted=not options.prompts)]
    if not prompts:
        raise UnusableError("there is no prompt; give one, or a file of them with `file`")
    refuse_missing_tools(decoder, decode)
    opened = open_decoder(decoder)
    for prompt in prompts:
        opened.check(prompt)
    printer = _InOrder(prompts, _choose_output(as_json=options.json))
    requests = {
        opened.submit(prompt, decode, functools.partial(printer.tell, number)): number
        for number, prompt in enumerate(prompts)
    }
    completions = []
    for request in opened.finish():
        if request.completion is not None:
            completions.append(request.completion)
            printer.finish(requests[request], request.completion)
    _say_what_became_of_calls(completions, decoder.tools.written)
    check_recording(opened, decoder)
    return 0


@dataclass(frozen=True)
class WholeTexts:
    """Prints each text when it is finished, for a pipe or as JSON."""

    render: Callable[[str, Completion], str]
    """The line for a prompt and its completion."""

    def tell(self, prompt: str, pieces: Sequence[Piece]) -> None:
        """Take note of the next pieces of a text: nothing is printed yet."""

    def finish(self, prompt: str, completion: Completion) -> None:
        """Print the text."""
        print(self.render(prompt, completion), flush=True)


class TerminalTexts:
    """Prints a text while it is written, each speaker in a colour, without control characters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_begun = False

    def tell(self, prompt: str, pieces: Sequence[Piece]) -> None:
        """Print the next pieces of a text, the prompt before the first."""
        if not self._is_begun:
            self._write(prompt, "prompt")
            self._is_begun = True
        for piece in pieces:
            self._write(piece.text, piece.by)

    def finish(self, prompt: str, _: Completion) -> None:
        """End the line of a text."""
        self.tell(prompt, [])
        self._is_begun = False
        print(file=self._out, flush=True)

    def _write(self, text: str, by: str) -> None:
        shown = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
        self._out.write(f"{_COLOURS[by]}{shown}{_PLAIN}" if _COLOURS[by] else shown)
        self._out.flush()


class _InOrder:
    """Prints texts in the order of their prompts: pieces of a later text are kept until the ones before it are done."""

    def __init__(self, prompts: Sequence[str], show: WholeTexts | TerminalTexts) -> None:
        self._prompts, self._show = prompts, show
        self._current = 0
        self._kept: dict[int, list[Piece]] = {}
        self._completions: dict[int, Completion] = {}

    def tell(self, number: int, pieces: Sequence[Piece]) -> None:
        if number == self._current:
            self._show.tell(self._prompts[number], pieces)
        else:
            self._kept.setdefault(number, []).extend(pieces)

    def finish(self, number: int, completion: Completion) -> None:
        self._completions[number] = completion
        while self._current in self._completions:
            self._show.finish(self._prompts[self._current], self._completions.pop(self._current))
            self._current += 1
            if pieces := self._kept.pop(self._current, []):
                self.tell(self._current, pieces)


def _choose_output(*, as_json: bool) -> WholeTexts | TerminalTexts:
    if as_json:
        return WholeTexts(lambda prompt, done: json.dumps({"prompt": prompt, **asdict(done)}, ensure_ascii=False))
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return TerminalTexts(sys.stdout)
    return WholeTexts(lambda prompt, done: prompt + done.text)


def _read_prompts(file: str | None, *, is_wanted: bool) -> list[str]:
    if file is None and not is_wanted:
        return []
    if file in (None, "-"):
        return _lines(sys.stdin.read())
    try:
        return _lines(Path(str(file)).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        remedy = f"it cannot be read ({reason}); give a text file, one prompt per line"
        raise OptionError("file", file, remedy) from error


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _say_what_became_of_calls(completions: Sequence[Completion], loaded: Sequence[str]) -> None:
    """On stderr: how many calls had which status, and which tools texts named that the command did not load."""
    calls = [call for completion in completions for call in completion.calls]
    if counts := Counter(call.status for call in calls):
        said = ", ".join(f"{number} {status}" for status, number in counts.most_common())
        print(f"calls: {said}", file=sys.stderr)
    if unknown := Counter(call.tool for call in calls if call.status == "unknown_tool" and call.tool):
        said = ", ".join(f"{name} ({number} time{'' if number == 1 else 's'})" for name, number in unknown.items())
        here = [key for key, tool in find_tools().items() if tool.name in unknown]
        them = "it" if len(here) == 1 else "them"
        remedy = f"; load {them} with --tools {','.join([*loaded, *here])}" if here else ""
        print(f"calls of tools that were not loaded were left out: {said}{remedy}", file=sys.stderr)
