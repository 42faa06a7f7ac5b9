"""Exports C* for other trainers: one file, one line or row per text, in a format that they read.

Reads the tables of runs as `finetune.choose` does; writes JSON Lines or, if the file ends in `.parquet`, Parquet.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.finetune.choose import ChooseOptions, Example, Pair, choose, choose_pairs
from toolformer_ray.finetune.options import ExportOptions
from toolformer_ray.finetune.packing import IGNORED
from toolformer_ray.finetune.tokens import tokenise
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import call_parts, insert_calls, render_call, unquote
from toolformer_ray.records.stages import KeptCall
from toolformer_ray.tools.catalog import find_tools

INSTRUCTION = "Write the text. Use the tools where their answers help to go on."
"""The user's message in the chat formats."""


def export(choice_options: ChooseOptions, options: ExportOptions) -> int:
    """Write the file, whole or not at all; returns the number of rows. Raises ValueError as `choose` does."""
    rows = list(_rows(choice_options, options))
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    if out.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
    else:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    temporary.replace(out)
    return len(rows)


def _rows(choice_options: ChooseOptions, options: ExportOptions) -> Iterable[dict[str, Any]]:
    if options.format == "preference":
        return map(as_preference, choose_pairs(choice_options))
    write = {"text": as_text, "chat": as_chat, "sharegpt": as_sharegpt}.get(options.format)
    if write is None:
        write = functools.partial(as_tokens, tokenizer=TextTokenizer.load(options.model or ""))
    return map(write, choose(choice_options).examples)


def as_text(example: Example) -> dict[str, Any]:
    """x* as plain text."""
    return {"text_id": example.text_id, "text": insert_calls(example.text, example.calls)}


def as_tokens(example: Example, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Token ids, labels with -100 for the results of tools, and the mask of these results."""
    text = tokenise(example, tokenizer, tokenizer.end_ids)
    labels = [IGNORED if is_result else token for token, is_result in zip(text.ids, text.is_result, strict=True)]
    return {"text_id": example.text_id, "input_ids": text.ids, "labels": labels, "is_result": list(text.is_result)}


def as_chat(example: Example) -> dict[str, Any]:
    """Messages with `tool_calls`, and the schemas of all `tools` that are called in them."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": INSTRUCTION}]
    for before, call in _segments(example):
        function = {"name": call.tool, "arguments": {"input": unquote(call.call_input)}}
        messages += [
            {"role": "assistant", "content": before, "tool_calls": [{"type": "function", "function": function}]},
            {"role": "tool", "name": call.tool, "content": call.result},
        ]
    messages.append({"role": "assistant", "content": _rest(example)})
    return {"text_id": example.text_id, "messages": messages, "tools": tool_schemas({c.tool for c in example.calls})}


def as_sharegpt(example: Example) -> dict[str, Any]:
    """Turns of `human`, `gpt` and `tool`; what gpt and tool say, joined, is x* to the letter."""
    turns = [{"from": "human", "value": INSTRUCTION}]
    for before, call in _segments(example):
        start, written, said = call_parts(call.tool, call.call_input, call.result)
        turns += [{"from": "gpt", "value": before + start + written}, {"from": "tool", "value": said}]
    turns.append({"from": "gpt", "value": _rest(example)})
    return {"text_id": example.text_id, "conversations": turns}


def as_preference(pair: Pair) -> dict[str, Any]:
    """The text up to the call as `prompt`; `chosen` and `rejected` begin with a call and go on with the same text."""
    offset = pair.kept.char_offset
    kept, rejected = (render_call(c.tool, c.call_input, c.result) for c in (pair.kept, pair.rejected))
    rest = pair.text[offset:]
    return {"text_id": pair.text_id, "prompt": pair.text[:offset], "chosen": kept + rest, "rejected": rejected + rest}


def tool_schemas(names: Iterable[str]) -> list[dict[str, Any]]:
    """The JSON schemas of tools; each takes one string, what stands between the parentheses of a call."""
    tools = {tool.name: tool for tool in find_tools().values()}
    parameters = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    return [
        {
            "type": "function",
            "function": {"name": name, "description": tools[name].instruction.strip(), "parameters": parameters},
        }
        for name in sorted(names)
        if name in tools
    ]


def _segments(example: Example) -> Iterator[tuple[str, KeptCall]]:
    """Each call with the text between it and the one before."""
    done = 0
    for call in example.calls:
        yield example.text[done : call.char_offset], call
        done = call.char_offset


def _rest(example: Example) -> str:
    return example.text[example.calls[-1].char_offset if example.calls else 0 :]
