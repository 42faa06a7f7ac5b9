"""`toolformer show RUN`: calls of a run in their texts, with the losses by which they were kept or not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from toolformer_ray.records.errors import OptionError
from toolformer_ray.tools.brought.declared import tools_known_to
from toolformer_ray.workflow.calls.choose import ChosenCall, choose_calls
from toolformer_ray.workflow.calls.opened import OpenedRun, open_for_looking
from toolformer_ray.workflow.calls.svg import write_svg
from toolformer_ray.workflow.calls.terminal import CALL, harmless, in_its_text, make_console, verdict_line

WHOLE_TEXT = 10**9
"""Characters around a call: more than a text has."""
FIND_TEXT = "SELECT text_id, text FROM documents WHERE text_id = $id OR doc_id = $id ORDER BY part"
COUNTS = "SELECT count(*) FILTER (is_kept), count(*) FROM calls WHERE $tool IS NULL OR tool = $tool"


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Which calls are shown."""

    tool: str | None = None
    rejected: bool = False
    near: bool = False
    text: str | None = None
    number: int = 10
    svg: Path | None = None
    """A picture of what is shown, beside showing it."""

    def __post_init__(self) -> None:
        if self.number < 1:
            raise OptionError("number", self.number, "it must be at least 1 call")
        if self.rejected and self.near:
            raise OptionError("near", "given", "leave it out with `rejected`: rejected calls are chosen by chance")


def show_calls(location: str, options: ShowOptions, console: Console | None = None) -> int:
    """Print calls. Raises UnusableError if there is no run, or no such tool or text in it."""
    opened, console = open_for_looking(location), console or make_console()
    tool = tool_name(opened, options.tool)
    lines = list(_lines_of_text(opened, options, tool) if options.text is not None else _lines(opened, options, tool))
    if options.svg:
        write_svg(options.svg, lines)
    for line in lines:
        console.print(line, soft_wrap=True)
    return 0


def _lines(opened: OpenedRun, options: ShowOptions, tool: str | None) -> Iterator[Text]:
    for call in _chosen(opened, options, tool, None):
        yield in_its_text(call)
        yield verdict_line(call)
    ((kept, scored),) = opened.ask(COUNTS, tool=tool).rows
    hint = "; --near shows those that came closest" if scored and not kept and not options.near else ""
    yield Text(f"{kept:,} of {scored:,} calls are kept{hint}")


def tool_name(opened: OpenedRun, given: str | None) -> str | None:
    """The name in calls of the tool that was named, either way. Raises OptionError if the run has no calls of it."""
    if given is None:
        return None
    tool = tools_known_to(opened.made_with).get(given)
    name = tool.name if tool else given
    there = sorted({*opened.rules, *(row[0] for row in opened.ask("SELECT DISTINCT tool FROM scored").rows)})
    if name not in there:
        raise OptionError("tool", given, f"the run has calls of {', '.join(there) or 'no tool'}")
    return name


def _chosen(opened: OpenedRun, options: ShowOptions, tool: str | None, text_id: str | None) -> Iterable[ChosenCall]:
    choice = "rejected" if options.rejected else "near" if options.near else "kept"
    return choose_calls(opened, choice, options.number, tool=tool, text_id=text_id)


def _lines_of_text(opened: OpenedRun, options: ShowOptions, tool: str | None) -> Iterator[Text]:
    """Each part of a document that the name fits, with the calls that are asked for in it."""
    parts = opened.ask(FIND_TEXT, id=options.text).rows
    if not parts:
        remedy = "no text of the run that is through all stages has this text_id or doc_id"
        raise OptionError("text", harmless(str(options.text)), remedy)
    for text_id, text in parts:
        calls = sorted(_chosen(opened, options, tool, text_id), key=lambda call: call.char_offset)
        yield _with_calls(text, calls)
        for call in calls:
            yield Text(harmless(call.written), CALL)
            yield verdict_line(call)


def _with_calls(text: str, calls: list[ChosenCall]) -> Text:
    shown, done = Text(), 0
    for call in calls:
        shown.append(harmless(text[done : call.char_offset]))
        shown.append(f" {harmless(call.written)}", CALL)
        done = call.char_offset
    return shown.append(harmless(text[done:]))
