"""Exports C* for other trainers: one file, one line or row per text, and beside it what its consumers are told.

Reads the tables of runs as `finetune.choose` does.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolformer_ray.finetune.choose import ChooseOptions, Example, choose, choose_pairs
from toolformer_ray.finetune.export.consumers import read_dataset_info, write_for_consumers
from toolformer_ray.finetune.export.options import ExportOptions
from toolformer_ray.finetune.export.rows import (
    Conversation,
    as_chat,
    as_preference,
    as_sharegpt,
    as_text,
    as_tokens,
)
from toolformer_ray.finetune.export.rows_file import write_rows
from toolformer_ray.finetune.export.schemas import tools_of_run
from toolformer_ray.finetune.export.template_check import count_incomplete
from toolformer_ray.lm.tokenizer import TextTokenizer

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    num_rows: int
    num_without_calls: int
    """Rows without a call, of `num_rows`."""
    num_held_out: int
    """Texts that are in no row of `out`."""
    num_incomplete: int = 0
    """Rows of which the chat template of `model` leaves out text; 0 where no model was named to check that."""
    beside: tuple[Path, ...]
    """Files for the consumers."""


def export(choice_options: ChooseOptions, options: ExportOptions) -> Exported:
    """Write the files, each whole or not at all. Raises ValueError as `choose` does."""
    read_dataset_info(options)
    out = Path(options.out)
    if options.format == "preference":
        pairs = [as_preference(pair) for pair in choose_pairs(choice_options)]
        write_rows(out, pairs)
        beside = tuple(write_for_consumers(options))
        return Exported(num_rows=len(pairs), num_without_calls=0, num_held_out=0, beside=beside)
    choice = choose(choice_options)
    as_row = _format(choice_options, options)
    rows = [as_row(example) for example in choice.examples]
    is_checked = options.format == "chat" and options.model is not None
    num_incomplete = count_incomplete(rows, options.model or "") if is_checked else 0
    write_rows(out, rows)
    if options.split:
        write_rows(options.held_out_file, [as_row(example) for example in choice.held_out])
    return Exported(
        num_rows=len(choice.examples),
        num_without_calls=sum(not example.calls for example in choice.examples),
        num_held_out=len(choice.held_out),
        num_incomplete=num_incomplete,
        beside=tuple(write_for_consumers(options)),
    )


def _format(choice_options: ChooseOptions, options: ExportOptions) -> Callable[[Example], Row]:
    if options.format == "text":
        return as_text
    if options.format == "tokens":
        return functools.partial(as_tokens, tokenizer=TextTokenizer.load(options.model or ""))
    conversation = Conversation(
        tools=tools_of_run(choice_options.run),
        instruction=options.instruction,
        arguments=options.arguments,
        calls=options.calls,
    )
    return functools.partial(as_chat if options.format == "chat" else as_sharegpt, conversation=conversation)
