"""`toolformer card RUN`: the data card of a run, README.md in its folder, with what a stranger needs to know of C*.

Its head names the tables for `load_dataset`, which would otherwise mix files of different columns: C* is the default.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from toolformer_ray.records.calls import render_call
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.calls.choose import ChosenCall
from toolformer_ray.workflow.calls.opened import open_for_looking
from toolformer_ray.workflow.calls.review import draw_sample
from toolformer_ray.workflow.calls.terminal import harmless
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.judgements import precision_table
from toolformer_ray.workflow.report.status import RunStatus, read_status
from toolformer_ray.workflow.report.tables import drop_table, false_share_table, yield_table
from toolformer_ray.workflow.report.yields import chances, tool_yields

CARD_FILE = "README.md"
C_STAR = "augmented"
MADE_BY = "<!-- Written by `toolformer card`, which writes it anew. -->"
NUM_EXAMPLES = 10
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_BY_DECOYS = (
    "the text behind the call is likelier with this answer than with other answers of its kind, by at least the "
    "threshold, and is not likely anyway"
)
_RULES: Mapping[str, str] = {
    "paper": "the loss of the text behind the call falls by at least the threshold, against no call and against the "
    "call without its answer (equation 3 of the paper)",
    "decoys": _BY_DECOYS,
    "both": _BY_DECOYS,
}


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What the run does not know of itself."""

    licence: str | None = None
    """The licence of the corpus, by the hub's name for it, such as `cc-by-sa-4.0`."""

    def __post_init__(self) -> None:
        if self.licence is not None and not _LICENSE.fullmatch(self.licence):
            raise OptionError(
                "license", self.licence, "give the name that hubs know it by, such as cc-by-sa-4.0 or mit"
            )


def write_card(location: str, options: CardOptions) -> int:
    """Write the card into the run's folder. Raises UnusableError if there is no run, or another README.md in it."""
    run = open_run(location)
    name = put_card(run, options)
    print(f"the card is in {name}; `load_dataset` of the folder gives C*")
    return 0


def put_card(run: RunFolder, options: CardOptions) -> str:
    """Write the card, and say where it is. Raises UnusableError as `write_card` does."""
    path, shown = f"{run.root}/{CARD_FILE}", f"{run.shown}/{CARD_FILE}"
    before = _read(run, path)
    if before is not None and MADE_BY not in before:
        raise UnusableError(f"{shown} was not written by `toolformer card` and is left as it is; move it away first")
    content = render_card(run, options, [stage.table for stage in PIPELINE if run.shards(stage.table)])
    with run.filesystem.open_output_stream(path) as file:
        file.write(content.encode())
    return shown


def render_card(run: RunFolder, options: CardOptions, tables: Sequence[str]) -> str:
    """The card beside these tables, in Markdown. Texts and answers stand in code blocks, since they are anybody's."""
    opened, status = open_for_looking(run.location), read_status(run)
    settings = opened.made_with.get("settings", {})
    return "\n".join(
        [
            *_head(settings, options, tables),
            "",
            MADE_BY,
            "",
            "# Texts with tool calls",
            "",
            *_what(status, settings, options),
            *_tables(tables),
            "",
            "## What was kept, and why",
            "",
            *_kept(status, settings),
            "",
            "## Examples",
            "",
            f"Kept calls, drawn at random, at most {NUM_EXAMPLES}; the same ones for the same run.",
            "",
            *_block("\n".join(map(_example, draw_sample(opened, NUM_EXAMPLES, None))) or "(no call is kept so far)"),
            "",
            "## Limits",
            "",
            *_limits(status),
            "",
            "## How it was made",
            "",
            *_block(json.dumps(_made_with(opened.made_with), indent=1, ensure_ascii=False)),
            "",
        ]
    )


def _read(run: RunFolder, path: str) -> str | None:
    try:
        with run.filesystem.open_input_stream(path) as file:
            return bytes(file.read()).decode(errors="replace")
    except FileNotFoundError:
        return None


def _head(settings: Mapping[str, Any], options: CardOptions, tables: Sequence[str]) -> Iterator[str]:
    """YAML, which JSON values are."""
    yield "---"
    if options.licence:
        yield f"license: {json.dumps(options.licence)}"
    yield f"tags: {json.dumps(['toolformer', 'tool-use', *settings.get('tools', [])])}"
    yield "configs:"
    for table in sorted(tables, key=lambda table: table != C_STAR):
        yield f"- config_name: {table}"
        yield f"  data_files: {table}/*.parquet"
        if table == C_STAR:
            yield "  default: true"
    yield "---"


def _what(status: RunStatus, settings: Mapping[str, Any], options: CardOptions) -> Iterator[str]:
    texts, rows = status.progress.get("texts"), {stage.stage: stage.rows for stage in status.stages}
    corpus = ", ".join(f"`{_name(each)}`" for each in settings.get("corpus", ["?"]))
    model, tools = f"`{_name(str(settings.get('model', '?')))}`", ", ".join(status.tools)
    wrote = f"{model} wrote calls of {tools} where their answers help it to go on"
    if status.proposer:
        wrote = f"`{_name(status.proposer)}` wrote calls of {tools}, kept where their answers help {model} to go on"
    yield (
        f"C\\* of Toolformer (Schick et al. 2023, arXiv 2302.04761): {rows.get('interleave', 0):,} texts of {corpus} "
        f"in which {wrote}."
    )
    if status.state != "finished":
        share = f" of {texts:,}" if texts else ""
        yield f"**The run is {status.state}: these are the texts{share} that are through.**"
    yield ""
    yield (
        f"The texts are under the licence `{options.licence}`; so is what stands in them here."
        if options.licence
        else "The licence of the corpus was not given (`toolformer card RUN --license NAME`); whoever uses the texts "
        "has to find it out."
    )


def _tables(tables: Sequence[str]) -> Iterator[str]:
    yield ""
    others = " The other tables hold every candidate with its losses." if len(tables) > 1 else ""
    yield (
        f"A row of `{C_STAR}` has `text`, the text with its calls, such as "
        f"`{render_call('Calculator', '400 / 1400', '0.29').strip()}`, and `calls`, each with its place in the text "
        f"before.{others}"
    )


def _kept(status: RunStatus, settings: Mapping[str, Any]) -> Iterator[str]:
    yield f"A call is kept if {_RULES.get(settings.get('filter', 'paper'), _RULES['paper'])}."
    yield ""
    yield from _block(yield_table(tool_yields(status.counts, status.tools)))
    if shares := false_share_table(chances(status.counts, status.tools)):
        yield "\nThe false share is estimated from answers of other calls, put where the right one stands:\n"
        yield from _block(shares)
    yield ""
    if judged := precision_table(status.judged):
        yield "Judged by people, with 95 % intervals:\n"
        yield from _block(judged)
    else:
        yield "No call has been judged by people (`toolformer review`)."
    if dropped := drop_table(status.counts):
        yield "\nLeft out on the way:\n"
        yield from _block(dropped)


def _limits(status: RunStatus) -> Iterator[str]:
    yield "- Calls were kept by a model's losses, not by people: some answers are wrong, or the text had them anyway."
    yield "- The filter weighs five tokens behind a call; a slip behind them is not seen."
    yield "- What the texts say and what tools answered is untrusted, and was not looked through."
    if not status.judged:
        yield "- Nobody has measured how many of the kept calls are right."


def _example(call: ChosenCall) -> str:
    around = f"… {call.before[-80:]} {call.written}{call.after[:80]} …"
    return harmless(" ".join(around.split()))


def _block(text: str) -> list[str]:
    """A code block with a fence longer than any in the text."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *(line.rstrip() for line in text.splitlines()), fence]


def _made_with(made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Settings and versions; of paths on the machine that made it the last part alone."""
    settings = {name: _without_folders(value) for name, value in made_with.get("settings", {}).items()}
    return {"settings": settings, "versions": made_with.get("versions", {})}


def _without_folders(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return _name(value) if isinstance(value, str) else value


def _name(location: str) -> str:
    path = PurePath(location)
    return path.name if path.is_absolute() and path.name else location
