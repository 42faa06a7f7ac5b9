"""Which calls of a run are worth a look, each with the words around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolformer_ray.records.calls import render_call
from toolformer_ray.workflow.calls.opened import OpenedRun

CHARS_AROUND = 90
AT_RANDOM = "md5(text_id || tool || char_offset || call_input)"
"""An order that depends on nothing but the calls, so that a look tomorrow shows the same ones."""
CHOICES: Mapping[str, tuple[str, str, str]] = {
    "kept": ("is_kept", AT_RANDOM, "ASC"),
    "near": ("worth IS NOT NULL AND threshold IS NOT NULL", "abs(worth - threshold)", "ASC"),
    "just missed": ("NOT is_kept AND worth < threshold", "worth - threshold", "DESC"),
    "rejected": ("NOT is_kept AND status = 'ok'", AT_RANDOM, "ASC"),
    "input only occurs later": (
        *("strikes_future_inputs AND input_sees_future AND worth >= threshold", "worth", "DESC"),
    ),
    "suspicious": ("contrast < threshold AND gain IS NOT NULL", "gain - contrast", "DESC"),
}
"""By name, which rows of `calls`, by what they are ordered, and in which direction. A suspicious call makes the text
much likelier, and other answers of its kind would have done the same: it is what the comparison with no call would have
kept by mistake."""
_QUESTION = """
WITH chosen AS (
    SELECT *, {order} AS rank FROM calls
    WHERE ({condition}) AND ($tool IS NULL OR tool = $tool) AND ($text IS NULL OR text_id = $text)),
first AS (SELECT * FROM chosen ORDER BY rank {direction}, text_id, char_offset, tool, call_input LIMIT $number)
SELECT text_id, tool, char_offset, call_input, result, status, is_kept, open_probability, loss_without, loss_with_call,
       loss_with_result, loss_in_place, loss_with_decoys, contrast, loss_reduction, gain, threshold,
       list_transform(token_ends, lambda place: place - char_offset) AS token_ends, token_contrasts,
       substr(text, 1 + greatest(0, char_offset - $chars), least(char_offset, $chars)) AS before,
       substr(text, char_offset + 1, $chars) AS after
FROM first JOIN documents USING (text_id) ORDER BY rank {direction}, text_id, char_offset, tool, call_input
"""


@dataclass(frozen=True, kw_only=True)
class ChosenCall:
    """A call of `scored` and the text around it. Losses are in weighted nats, None where they were not computed."""

    text_id: str
    tool: str
    char_offset: int
    call_input: str
    result: str | None
    status: str
    is_kept: bool
    open_probability: float
    loss_without: float
    loss_with_call: float | None
    loss_with_result: float | None
    loss_in_place: float | None
    loss_with_decoys: float | None
    """The mean over its decoys."""
    contrast: float | None
    loss_reduction: float | None
    gain: float | None
    """By how much the loss is lower than without any call."""
    threshold: float | None
    """The least worth that keeps a call of this tool; None if the run does not tell."""
    before: str
    after: str
    token_ends: Sequence[int] = ()
    """Where each token ends that the loss in place counts, counted from the call's place."""
    token_contrasts: Sequence[float] = ()
    """What the answer spares each of these tokens, against other answers, in nats."""

    @property
    def written(self) -> str:
        """The call as it stands in a text, without the space before it."""
        return render_call(self.tool, self.call_input, self.result).strip()


def choose_calls(
    opened: OpenedRun,
    choice: str,
    number: int,
    *,
    tool: str | None = None,
    text_id: str | None = None,
    chars_around: int = CHARS_AROUND,
) -> list[ChosenCall]:
    """The first calls of one of CHOICES, of one tool or of all, in one text or in all."""
    condition, order, direction = CHOICES[choice]
    sql = _QUESTION.format(condition=condition, order=order, direction=direction)
    answer = opened.ask(sql, tool=tool, text=text_id, number=number, chars=chars_around)
    return [ChosenCall(**dict(zip(answer.columns, row, strict=True))) for row in answer.rows]


def losses(call: ChosenCall, *, by_decoys: bool | None = None) -> list[tuple[str, float | None]]:
    """The losses that tell why a call was kept or not, with their names.

    `by_decoys` chooses between those of the two filters; None takes those that the call has.
    """
    if call.contrast is not None if by_decoys is None else by_decoys:
        named = [("no call", call.loss_without), ("with the answer", call.loss_in_place)]
        return [*named, ("with other answers", call.loss_with_decoys), ("contrast", call.contrast)]
    named = [("no call", call.loss_without), ("call without answer", call.loss_with_call)]
    return [*named, ("with the answer", call.loss_with_result), ("reduction", call.loss_reduction)]
