"""What a run over real text kept: `python -m toolformer_ray.real.report --run RUN --key FILE`.

Prints kept calls in their texts and, with a key, how many of the calls that were due were placed, sampled and kept, and
how many of the kept ones are right. The estimate that needs no key, the false share, is in `toolformer status`.
"""

from dataclasses import dataclass
from pathlib import Path

import cyclopts
from rich.console import Console
from rich.table import Table

from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.real.key import Found, compare, read_key
from toolformer_ray.records.calls import render_call
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import RecordT
from toolformer_ray.records.stages import Document, Dropped, Scored

CHARS_AROUND = 90


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Which run to look at."""

    run: str
    """The run folder."""
    model: str
    """The model that annotated, for its tokenizer."""
    tool: str = "Calculator"
    """The tool that the key is about."""
    key: Path | None = None
    """Calls that are due, as JSON Lines (real/key.py)."""
    show: int = 20
    """How many kept calls to print."""


def main(options: ReportOptions) -> None:
    """Print the kept calls with the largest effect, and the table."""
    folder, console = RunFolder(options.run), Console(highlight=False)
    # Of a run that goes on, or was stopped, the shards that are through.
    through = folder.shards("augmented")
    documents = {row.text_id: row for shard in through for row in folder.read_shard("documents", shard, Document)}
    scored = [row for row in read_rows(folder, "scored", Scored) if row.text_id in documents]
    kept = [row for row in scored if row.is_kept]
    # Spread over the run, so that the first texts do not stand for all.
    for row in kept[:: max(1, len(kept) // max(1, options.show))][: options.show]:
        console.print(in_its_text(row, documents[row.text_id].text), soft_wrap=True)
    console.print(f"\n{len(kept):,} calls kept in {len(documents):,} texts.")
    if options.key:
        drops = read_rows(folder, "dropped/propose", Dropped)
        tokenizer = TextTokenizer.load(options.model)
        found = compare(read_key(options.key), documents.values(), drops, scored, tokenizer, options.tool)
        console.print("Against the key:\n")
        console.print(key_table(found))


def in_its_text(row: Scored, text: str) -> str:
    """A call where it stands, with some of the text around it, on one line."""
    before = text[max(0, row.char_offset - CHARS_AROUND) : row.char_offset]
    after = text[row.char_offset : row.char_offset + CHARS_AROUND]
    call = render_call(row.tool, row.call_input, row.result)
    return " ".join(f"… {before}⟪{call.strip()}⟫{after} …".split())


def key_table(found: Found) -> Table:
    """One line: how far the run came with the calls that were due."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("calls\ndue", "with\na place", "right call\nsampled", "\nkept", "kept\nin all", "of these\nright"):
        table.add_column(column, justify="right", no_wrap=True)
    shares = [f"{part:,} ({part / max(1, found.due):.0%})" for part in (found.placed, found.sampled, found.kept_due)]
    right = f"{found.kept_right:,} ({found.kept_right / max(1, found.kept):.0%})"
    table.add_row(f"{found.due:,}", *shares, f"{found.kept:,}", right)
    return table


def read_rows(folder: RunFolder, table: str, record: type[RecordT]) -> list[RecordT]:
    """All rows of a table, in order."""
    return [row for shard in folder.shards(table) for row in folder.read_shard(table, shard, record)]


if __name__ == "__main__":
    app = cyclopts.App(name="python -m toolformer_ray.real.report", help_format="plaintext")
    app.default(main)
    app()
