"""`toolformer export`: C* as one file for another trainer."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.options import ExportOptions
from toolformer_ray.workflow.paths import refuse_lost_output


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExportCommandOptions:
    """Which texts are written, and as what."""

    choice: Annotated[ChooseOptions, Parameter(name="*", group="Texts to learn from", consume_multiple=True)]
    exported: Annotated[ExportOptions, Parameter(name="*")]


def export(options: ExportCommandOptions) -> int:
    """Write the file and print how many rows it has; the exit code. Raises ValueError, one line."""
    # Tokenizers bring torch, which takes seconds to import.
    from toolformer_ray.finetune.export import export as write_export

    refuse_lost_output(options.exported.out, options.choice.run)
    print(f"{write_export(options.choice, options.exported):,} rows in {options.exported.out}")
    return 0
