"""Kept calls against the truth: `python -m toolformer_ray.miniature.report --run runs/demo --world runs/demo-world`.

Reads a run over the demo's corpus and `truth.jsonl`; writes nothing but to the screen.

A kept call is right if its answer is the true one for a due call of the same tool and if the five tokens whose loss it
lowered touch what that answer settles. For a search, true means that the passage holds the answer; for a translation,
that a phrase of the text was translated and its translation is a part of the true one, word for word. A due call is
kept if at least one right call was kept for it. Kept means kept by the filter, `scored.is_kept`.
"""

import collections
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cyclopts
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.losses.false_share import Chance, count_chance
from toolformer_ray.losses.weights import weighted_token_indices
from toolformer_ray.miniature.texts import TOOL_NAMES, DueCall
from toolformer_ray.records.calls import render_call, unquote
from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import RecordT
from toolformer_ray.records.stages import Augmented, Document, Scored

COLOURS = dict(zip(TOOL_NAMES, ("green", "yellow", "cyan", "magenta", "blue"), strict=True))


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Which run to judge, and by which truth."""

    run: str
    """The run folder of the demo."""
    world: Path
    """The folder that `miniature.demo_corpus` wrote."""
    model: str = "miniature/model"
    """The model that annotated, for its tokenizer."""
    show_texts: int = 3
    """How many annotated texts to print."""


def main(options: ReportOptions) -> None:
    """Print the table and a few texts of C*."""
    folder, console = RunFolder(options.run), Console(highlight=False)
    documents = {row.text_id: row for row in read_rows(folder, "documents", Document)}
    scored = list(read_rows(folder, "scored", Scored))
    kept = [row for row in scored if row.is_kept]
    verdicts = judge(kept, documents, read_truth(options.world / "truth.jsonl"), TextTokenizer.load(options.model))
    chances = {tool: count_chance(row for row in scored if row.tool == tool) for tool in TOOL_NAMES}
    console.print("Against the truth of the demo's world:\n")
    console.print(verdict_table(verdicts, count(folder), chances))
    for row in choose_texts(list(read_rows(folder, "augmented", Augmented)), options.show_texts):
        console.print()
        console.print(colour_calls(row), soft_wrap=True)


@dataclass
class Verdict:
    """How one tool's kept calls compare with the truth."""

    kept: int = 0
    right: int = 0
    due: int = 0
    due_kept: int = 0


def judge(
    kept: list[Scored],
    documents: dict[str, Document],
    truth: dict[str, list[DueCall]],
    tokenizer: TextTokenizer,
) -> dict[str, Verdict]:
    """The verdict on each tool. A story of the demo is one document, so char offsets of both agree."""
    verdicts = {tool: Verdict() for tool in TOOL_NAMES}
    satisfied: set[tuple[str, DueCall]] = set()
    for calls in truth.values():
        for call in calls:
            verdicts[call.tool].due += 1
    for row in kept:
        document = documents[row.text_id]
        matches = [due for due in truth[document.doc_id] if is_right(row, due, document.text, tokenizer)]
        verdicts[row.tool].kept += 1
        verdicts[row.tool].right += bool(matches)
        satisfied |= {(document.doc_id, due) for due in matches}
    for _, due in satisfied:
        verdicts[due.tool].due_kept += 1
    return verdicts


def is_right(row: Scored, due: DueCall, text: str, tokenizer: TextTokenizer) -> bool:
    """Whether a kept call gives the true answer where it is due."""
    if row.tool != due.tool or row.result is None:
        return False
    offsets = [*tokenizer.places(text).char_offsets, len(text)]
    last_weighted = weighted_token_indices(row.token_index, len(offsets) - 1)[-1]
    is_due_here = row.char_offset < due.answer_end and offsets[last_weighted + 1] > due.char_offset
    return is_due_here and is_true(row.tool, unquote(row.call_input), row.result, due, text)


def is_true(tool: str, phrase: str, result: str, due: DueCall, text: str) -> bool:
    """Whether an answer says what the truth says."""
    if tool == "WikiSearch":
        return due.result in result
    if tool == "MT":
        return f" {result} " in f" {due.result} " and phrase in text
    return due.result == result


def count(folder: RunFolder) -> collections.Counter[Count]:
    """What the stages counted, from the footers of all shards; rows are those of the documents."""
    total: collections.Counter[Count] = collections.Counter()
    for table in ("documents", "candidates", "executed", "scored"):
        for header in folder.headers(table).by_shard.values():
            total.update(header.counts if table == "documents" else {**header.counts, ROWS: 0})
    return total


def verdict_table(
    verdicts: dict[str, Verdict], counts: collections.Counter[Count], chances: Mapping[str, Chance]
) -> Table:
    """One line a tool: its yield, how much of it is right, and the false share as estimated without the truth.

    The headers are short so that nothing is cut in a window of 80 columns.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("tool", no_wrap=True)
    proposed = ("\ntexts", "\nplaces", "\ncalls", "\nanswers", "\nkept", "of these\nright")
    for column in (*proposed, "false\nshare", "calls\ndue", "of these\nkept"):
        table.add_column(column, justify="right", no_wrap=True)
    for tool, verdict in verdicts.items():
        refused = counts[Count("dropped", "not_offered", tool)] + counts[Count("dropped", "too_long", tool)]
        numbers = (
            counts[ROWS] - refused,
            counts[Count("places", tool=tool)],
            counts[Count("calls", tool=tool)],
            counts[Count("status", "ok", tool)],
            verdict.kept,
        )
        right, due_kept = share(verdict.right, verdict.kept), share(verdict.due_kept, verdict.due)
        false_share = chances[tool].false_share if tool in chances else None
        estimated = "" if false_share is None else f"{false_share:.0%}"
        table.add_row(tool, *(f"{number:,}" for number in numbers), right, estimated, f"{verdict.due:,}", due_kept)
    return table


def share(part: int, whole: int) -> str:
    """A number and its percentage; the number alone where there is nothing to take a share of."""
    return f"{part:,} ({100 * part / whole:.0f}%)" if whole else f"{part:,}"


def choose_texts(rows: list[Augmented], number: int) -> list[Augmented]:
    """A few texts that show as many tools as possible: the ones with most different tools, few calls first."""
    ranked = sorted(rows, key=lambda row: (-len({call.tool for call in row.calls}), row.num_calls))
    chosen: list[Augmented] = []
    shown: set[str] = set()
    for row in ranked:
        tools = {call.tool for call in row.calls}
        if len(chosen) < number and not tools <= shown:
            chosen.append(row)
            shown |= tools
    return (chosen + [row for row in ranked if row not in chosen])[:number]


def colour_calls(row: Augmented) -> Text:
    """x* with each call in its tool's colour, found by its offset, not by its looks."""
    text, inserted = Text(row.text), 0
    for call in row.calls:
        start = call.char_offset + inserted
        length = len(render_call(call.tool, call.call_input, call.result))
        text.stylize(f"bold {COLOURS[call.tool]}", start, start + length)
        inserted += length
    return text


def read_truth(path: Path) -> dict[str, list[DueCall]]:
    """The due calls of each text, by its `doc_id`."""
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {row["id"]: [DueCall(**call) for call in row["due"]] for row in rows}


def read_rows(folder: RunFolder, table: str, record: type[RecordT]) -> Iterator[RecordT]:
    """All rows of a table, shard by shard."""
    for shard in folder.shards(table):
        yield from folder.read_shard(table, shard, record)


if __name__ == "__main__":
    cyclopts.run(main)
