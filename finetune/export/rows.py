"""The formats: one text, or one pair of calls, as a row that another trainer reads.

In every format that holds texts, what the model itself writes, joined and without its calls, is the document to the
letter.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from toolformer_ray.finetune.choose import Example, Pair
from toolformer_ray.finetune.export.options import Arguments, Calls
from toolformer_ray.finetune.export.schemas import Tools, call_arguments, tool_schemas
from toolformer_ray.finetune.export.user_turn import ask_for
from toolformer_ray.finetune.packing import IGNORED
from toolformer_ray.finetune.tokens import tokenise
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import call_parts, insert_calls
from toolformer_ray.records.stages import KeptCall


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """How texts become conversations."""

    tools: Tools
    """The tools that every row offers. If these were only the tools that its text calls, a model would learn
    to call whatever it is offered."""
    instruction: str | None = None
    """The user's message; None for one that asks for the text by its title or beginning."""
    arguments: Arguments = "dict"
    calls: Calls = "messages"
    schemas: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schemas", tool_schemas(self.tools))


def as_text(example: Example) -> dict[str, Any]:
    """x* as plain text."""
    return {"text_id": example.text_id, "text": insert_calls(example.text, example.calls)}


def as_tokens(example: Example, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Token ids, and labels with -100 for the results of tools. No other columns: axolotl wants exactly these."""
    text = tokenise(example, tokenizer, tokenizer.end_ids)
    labels = [IGNORED if is_result else token for token, is_result in zip(text.ids, text.is_result, strict=True)]
    return {"input_ids": list(text.ids), "attention_mask": [1] * len(labels), "labels": labels}


def as_chat(example: Example, conversation: Conversation) -> dict[str, Any]:
    """Messages with `tool_calls` and the schemas of all tools of the run; or the calls in the text, and no tools."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": ask_for(example, conversation.instruction)}]
    if conversation.calls == "inline":
        messages.append({"role": "assistant", "content": insert_calls(example.text, example.calls)})
        return {"text_id": example.text_id, "messages": messages}
    for number, (before, call) in enumerate(_segments(example)):
        arguments: dict[str, Any] | str = call_arguments(conversation.tools, call.tool, call.call_input)
        if conversation.arguments == "json":
            arguments = json.dumps(arguments, ensure_ascii=False)
        # Mistral's templates refuse ids that are not 9 letters and digits.
        called = {"id": f"call{number:05d}", "type": "function"}
        called_tool = {**called, "function": {"name": call.tool, "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": before, "tool_calls": [called_tool]},
            {"role": "tool", "tool_call_id": called["id"], "name": call.tool, "content": call.result},
        ]
    messages.append({"role": "assistant", "content": _rest(example)})
    return {"text_id": example.text_id, "messages": messages, "tools": conversation.schemas}


def as_sharegpt(example: Example, conversation: Conversation) -> dict[str, Any]:
    """LLaMA-Factory's turns, in which those of the user and the tool alternate with those of the model.

    What the model writes before a call has no turn of its own there, so it stands in the call's, before the tag between
    which LLaMA-Factory looks for the call.
    """
    turns = [{"from": "human", "value": ask_for(example, conversation.instruction)}]
    for before, call in _segments(example):
        function = {"name": call.tool, "arguments": call_arguments(conversation.tools, call.tool, call.call_input)}
        written = json.dumps(function, ensure_ascii=False)
        value = f"{before}<tool_call>{written}</tool_call>" if before else written
        turns += [{"from": "function_call", "value": value}, {"from": "observation", "value": call.result}]
    turns.append({"from": "gpt", "value": _rest(example)})
    tools = json.dumps([schema["function"] for schema in conversation.schemas], ensure_ascii=False)
    return {"text_id": example.text_id, "conversations": turns, "tools": tools}


def as_preference(pair: Pair) -> dict[str, Any]:
    """The text up to a place as `prompt`; `chosen` and `rejected` are calls up to the arrow."""
    kept, rejected = (
        "".join(call_parts(call.tool, call.call_input, call.result)[:-1]) for call in (pair.kept, pair.rejected)
    )
    prompt = pair.text[: pair.kept.char_offset]
    return {"text_id": pair.text_id, "prompt": prompt, "chosen": kept, "rejected": rejected}


def _segments(example: Example) -> Iterator[tuple[str, KeptCall]]:
    """Each call with the text between it and the one before."""
    done = 0
    for call in example.calls:
        yield example.text[done : call.char_offset], call
        done = call.char_offset


def _rest(example: Example) -> str:
    return example.text[example.calls[-1].char_offset if example.calls else 0 :]
