"""What comes of a prompt: its text, piece by piece, and the calls in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from toolformer_ray.records.calls import CALL_ARROW, CALL_END, render_call
from toolformer_ray.records.stages import STATUSES

CALL_STATUSES = (*STATUSES, "unknown_tool", "barred_tool", "malformed", "unfinished", "no_room")
"""What can become of a call that was opened: what the tools' border says of one that was asked; a name that no tool
here has, or that may not be asked; something that is no call; no arrow within `max_call_tokens` or before the text's
end; a result that does not fit into the window. Only a call that is `ok` stands in the text."""

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a text, in order; pieces joined give it whole."""

    text: str
    by: Literal["text", "call", "result"]
    """Whether it is plain text, the frame and input of a call, or what a tool said."""


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One call that was opened, and what became of it."""

    tool: str | None
    """As the model wrote it; None if it wrote no name."""
    call_input: str | None
    """Exactly what stands between the parentheses; None if they were not closed."""
    status: str
    """One of CALL_STATUSES."""
    result: str | None
    """What stands in the text; None unless the status is `ok`."""
    char_offset: int
    """Where the call stands, or would, in code points of the text without calls."""
    written: str = ""
    """What the model wrote of it from its `[` on."""
    seconds: float = 0.0
    """How long the tool took."""
    note: str | None = None
    """One of records.stages.NOTES; None for most."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was written behind a prompt."""

    text: str
    """With calls and their results."""
    plain_text: str
    """Without them; `records.calls.remove_calls` gives the same."""
    calls: Sequence[CallRecord]
    """In the order in which they were opened."""
    finish_reason: FinishReason
    """`stop` at the end of the sequence or a stop string, `length` at `max_new_tokens` or the window's end."""
    num_prompt_tokens: int
    num_new_tokens: int
    """Tokens that stand behind the prompt, those of calls and results included."""
    num_plain_tokens: int = 0
    """Tokens that the model chose outside of calls."""


def call_pieces(tool: str, call_input: str, result: str) -> list[Piece]:
    """A call with its result, as it stands in the text, by who said what."""
    frame = render_call(tool, call_input).removesuffix(CALL_END) + CALL_ARROW
    return [Piece(frame, "call"), Piece(result, "result"), Piece(CALL_END, "call")]
