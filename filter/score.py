"""Stage 4, score: the weighted losses of every answered call, and whether it is kept (paper, section 2).

Reads `executed` and `documents`. Writes `scored`, one row for each executed call; drops nothing.

A call with a result gets L+. Where L_i(epsilon) - L+ is below the pruning bound, the lower of tau_f and `prune_below`,
the call is lost whatever L_i(e(c, epsilon)) is, which is then computed only if proposing did so. Calls without a
result, and calls that do not fit the model's window with their text, have no L+ and are not kept. The rule itself is
`losses.verdict.KeepRule`.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from toolformer_ray.filter.call_to_score import CallToScore, calls_to_score, compute_loss
from toolformer_ray.filter.screening.screen import ScreenOptions, screen
from toolformer_ray.losses.verdict import settle
from toolformer_ray.records.calls import unquote
from toolformer_ray.records.stages import Document, Executed, Scored
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


def score(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    *,
    prune_below: float | None = None,
    in_place: bool = False,
    screen_options: ScreenOptions | None = None,
) -> list[Scored]:
    """Every executed call with its losses and verdict, in the same order. `documents` holds at least their texts.

    `prune_below` and whether calls are scored in place, in a second round, are those of `ProposeOptions`.
    """
    calls = calls_to_score(executed, documents, model, tools.values(), prune_below, in_place=in_place)
    answered = [call for call in calls if call.executed.result is not None and call.fits(model)]
    to_score = screen(answered, model, screen_options or ScreenOptions())
    compute_loss("loss_with_result", to_score, model)
    for call in to_score:
        call.losses = settle(call.losses, call.bound, functools.partial(call.losses_alone, model))
    hopeful = [call for call in to_score if call.losses.can_reach(call.bound)]
    compute_loss("loss_with_call", hopeful, model)
    for call in hopeful:
        call.losses = call.rule.settle_verdict(call.losses, functools.partial(call.losses_alone, model))
    return [_scored(call) for call in calls]


def sees_future(phrase: str, text: str, char_offset: int) -> bool:
    """Whether a phrase occurs in the text after a call's place and not before it (appendix A, machine translation).

    An occurrence across the place counts as neither.
    """
    return bool(phrase) and phrase in text[char_offset:] and phrase not in text[:char_offset]


def _scored(call: CallToScore) -> Scored:
    executed = call.executed
    input_sees_future = sees_future(unquote(executed.call_input), call.text, executed.char_offset)
    row = Scored(
        **vars(executed) | call.losses.columns() | call.screen_columns,
        input_sees_future=input_sees_future,
        sees_future=input_sees_future or sees_future(executed.result or "", call.text, executed.char_offset),
        is_kept=False,
    )
    return replace(row, is_kept=call.rule.keeps(row))
