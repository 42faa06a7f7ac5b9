"""The text that is written after a prompt, piece by piece, and the tool calls in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from toolformer_ray.records.calls import CALL_ARROW, CALL_END, render_call
from toolformer_ray.records.stages import STATUSES

CALL_STATUSES = (*STATUSES, "unknown_tool", "barred_tool", "malformed", "unfinished", "no_room")
"""What can become of a call that the model opens. Only a call that is `ok` stands in the text.

    ok, empty, …        the outcome of a call that was made
    unknown_tool        no loaded tool has this name
    barred_tool         the text may not ask this tool
    malformed           not the syntax of a call
    unfinished          no arrow within `max_call_tokens`, or before the text or the window ends
    no_room             the result does not fit the window
"""

FinishReason = Literal["stop", "length"]
Writer = Literal["prompt", "text", "call", "result"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text; all pieces joined are the text."""

    text: str
    by: Literal["text", "call", "result"]
    """Whether it is plain text, the frame and input of a call, or a tool's result."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call that the model opened, and what became of it."""

    tool: str | None
    """The name as the model wrote it; None if it wrote none."""
    call_input: str | None
    """The text between the parentheses; None if they were not closed."""
    status: str
    """One of CALL_STATUSES."""
    result: str | None
    """The result as it stands in the text; None unless the status is `ok`."""
    char_offset: int
    """Where the call stands or would stand, in code points of the text without calls."""
    written: str = ""
    """What the model wrote of it, from its `[` on."""
    seconds: float = 0.0
    """How long the tool took."""
    note: str | None = None
    """One of records.stages.NOTES; None for most."""


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token of a text, and how likely the model found it there."""

    text: str
    """What it decodes to alone; U+FFFD where it is a part of a character."""
    char_offset: int
    """Where it begins in the text, in code points; a part of a character begins where the character does."""
    log_prob: float | None
    """log p(token | all before it), as the model gives it at temperature 1; None for the first of a sequence."""
    by: Writer = "text"
    """Whether it begins in the prompt, in plain text, in the frame and input of a call, or in a tool's result."""
    likeliest: Sequence[tuple[str, float]] = ()
    """The likeliest tokens at its place with their log-probabilities, the best first."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The text that was written after a prompt."""

    text: str
    """With calls and their results."""
    plain_text: str
    """Without them, as `records.calls.remove_calls` would leave it."""
    calls: Sequence[ToolCall]
    """In the order in which they were opened."""
    finish_reason: FinishReason
    """`stop` at the end of the sequence or a stop string, `length` at `max_new_tokens` or the end of the window."""
    num_prompt_tokens: int
    num_new_tokens: int
    """Tokens after the prompt, those of calls and results included."""
    num_plain_tokens: int = 0
    """Tokens that the model chose outside of calls."""
    scores: Sequence[ScoredToken] | None = None
    """The tokens of the text, behind those of the prompt if they were asked for too; None unless asked for."""

    @classmethod
    def of_nothing(cls, num_prompt_tokens: int) -> Self:
        """What is written behind a prompt that is only scored."""
        return cls(
            text="",
            plain_text="",
            calls=(),
            finish_reason="length",
            num_prompt_tokens=num_prompt_tokens,
            num_new_tokens=0,
        )


def call_pieces(tool: str, call_input: str, result: str) -> list[Piece]:
    """A call with its result, as it stands in the text."""
    frame = render_call(tool, call_input).removesuffix(CALL_END) + CALL_ARROW
    return [Piece(frame, "call"), Piece(result, "result"), Piece(CALL_END, "call")]
