"""What the replies of both endpoints have in common, and the list of models."""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from toolformer_ray.decode.completion import Completion, ToolCall


@dataclass(frozen=True)
class Head:
    """What every body and chunk of one reply begins with."""

    model: str
    prefix: str
    """`cmpl` or `chatcmpl`."""
    kind: str
    """What OpenAI calls the object."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def with_choices(self, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A body or chunk."""
        head = {"id": f"{self.prefix}-{self.name}", "object": self.kind, "created": self.created, "model": self.model}
        return head | {"choices": list(choices)}


def flat_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The calls of a text and what became of each, as `toolformer generate` tells them."""
    return [asdict(call) for call in calls]


def nested_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The same in the form of OpenAI's `tool_calls`, with what became of each call beside it."""
    return [_nested(number, call) for number, call in enumerate(calls)]


def _nested(number: int, call: ToolCall) -> dict[str, Any]:
    arguments = {} if call.call_input is None else {"input": call.call_input}
    function = {"name": call.tool or "", "arguments": json.dumps(arguments, ensure_ascii=False)}
    rest = {name: value for name, value in asdict(call).items() if name not in ("tool", "call_input")}
    return {"id": f"call_{number}", "type": "function", "function": function, **rest}


def usage(answers: Sequence[Completion], num_samples: int) -> dict[str, int]:
    """How many tokens were read and written; a prompt counts once, however many texts go on from it."""
    asked = sum(answer.num_prompt_tokens for answer in answers[::num_samples])
    written = sum(answer.num_new_tokens for answer in answers)
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def models_body(model: str, created: int) -> dict[str, Any]:
    """The list of the one model that is served."""
    return {"object": "list", "data": [model_body(model, created)]}


def model_body(model: str, created: int) -> dict[str, Any]:
    """The model that is served."""
    return {"id": model, "object": "model", "created": created, "owned_by": "toolformer-ray"}
