"""`toolformer export`: C* as one file for another trainer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.export.options import ExportOptions
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.workflow.paths import refuse_lost_output

if TYPE_CHECKING:
    from toolformer_ray.finetune.export.write import Exported


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExportCommandOptions:
    """Which texts are written, and as what."""

    choice: Annotated[ChooseOptions, Parameter(name="*", group="Texts to learn from", consume_multiple=True)]
    exported: Annotated[ExportOptions, Parameter(name="*")]


def export(options: ExportCommandOptions) -> int:
    """Write the file and print how many rows it has; the exit code. Raises ValueError, one line."""
    # Tokenizers bring torch, which takes seconds to import.
    from toolformer_ray.finetune.export.write import export as write_export

    refuse_lost_output(options.exported.out, options.choice.run)
    print(describe(options.exported, write_export(options.choice, options.exported)))
    for line in tell_unfinished(options.choice.run):
        print(line)
    return 0


def tell_unfinished(runs: Sequence[str]) -> Iterator[str]:
    """A line for each run of which some shards are not scored, so that nobody takes a part for the whole."""
    for run in map(RunFolder, runs):
        scored, read = len(run.shards(Scored.table)), len(run.shards(Document.table))
        if scored < read:
            yield f"{run.shown} is not through: these are texts of {scored:,} of the {read:,} shards it has so far"


def describe(options: ExportOptions, exported: "Exported") -> str:
    """How many rows lie where, and which texts do not."""
    if options.format == "preference":
        lines = [f"{exported.num_rows:,} pairs in {options.out}"]
    else:
        lines = [f"{exported.num_rows:,} texts in {options.out}, {exported.num_without_calls:,} of them without calls"]
    if exported.num_incomplete:
        lines.append(
            f"of at least {exported.num_incomplete:,} texts the chat template of {options.model} leaves out a part, "
            "such as what stands before a call: --calls inline keeps all of it"
        )
    if options.split:
        lines.append(f"{exported.num_held_out:,} held-out texts, without calls, in {options.held_out_file}")
    elif exported.num_held_out:
        lines.append(
            f"{exported.num_held_out:,} texts are held out and not written: --split writes them too, "
            "--num-held-out 0 holds none out"
        )
    beside = ", ".join(path.name for path in exported.beside)
    return "\n".join([*lines, f"beside {Path(options.out).name}: {beside}"])
