"""Stage 4, score: the weighted losses of every answered call, and whether it is kept (paper, section 2).

Reads `executed` and `documents`. Writes `scored`, one row for each executed call; drops nothing.

With the filter `decoys` a call with a result and decoys gets their losses in its place (filter/contrast.py).

With the paper's filter a call with a result gets L+. Where L_i(epsilon) - L+ is below the pruning bound, the lower of
tau_f and `prune_below`, the call is lost whatever L_i(e(c, epsilon)) is, which is then computed only if proposing did
so. With `both`, all of this, and the verdict is that of `decoys`.

Where another model proposed, L_i(epsilon) is computed here, and what lies below the pruning bound gets no further loss
and is not kept: where the scoring model proposes, such calls are dropped before their tool is asked.

Calls without a result, and calls that do not fit the model's window with their text, have no losses with one and are
not kept. The rules are in `losses.criteria`, the verdict is `losses.verdict.KeepRule`.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from toolformer_ray.filter.call_to_score import CallToScore, calls_to_score, compute_loss, compute_loss_without
from toolformer_ray.filter.contrast import compute_losses_in_place
from toolformer_ray.losses.criteria import settle
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.records.calls import unquote
from toolformer_ray.records.stages import Document, Executed, Scored
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


PAPER = FilterOptions(filter="paper")


def score(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    *,
    options: FilterOptions = PAPER,
    prune_below: float | None = None,
    in_place: bool = False,
) -> list[Scored]:
    """Every executed call with its losses and verdict, in the same order. `documents` holds at least their texts.

    `prune_below` and whether the paper's losses too are those in place, in a second round, are as in `ProposeOptions`.
    """
    calls = calls_to_score(executed, documents, model, tools.values(), prune_below, options=options, in_place=in_place)
    compute_loss_without(calls, model)
    with_result = [call for call in calls if call.executed.result is not None and not call.is_pruned]
    answered = [call for call in with_result if call.fits(model)]
    if options.filter != "paper":
        compute_losses_in_place([call for call in answered if call.executed.decoys], model)
    if options.filter != "decoys":
        _compute_losses_of_paper(answered, model)
    for call in answered:
        call.losses = call.rule.settle_verdict(call.losses, functools.partial(call.losses_alone, model))
    return [_scored(call) for call in calls]


def _compute_losses_of_paper(calls: Sequence[CallToScore], model: "LanguageModel") -> None:
    compute_loss("loss_with_result", calls, model)
    for call in calls:
        call.losses = settle(call.losses, call.bound, functools.partial(call.losses_alone, model))
    compute_loss("loss_with_call", [call for call in calls if call.losses.can_reach(call.bound)], model)


def sees_future(phrase: str, text: str, char_offset: int) -> bool:
    """Whether a phrase occurs in the text after a call's place and not before it (appendix A, machine translation).

    An occurrence across the place counts as neither.
    """
    return bool(phrase) and phrase in text[char_offset:] and phrase not in text[:char_offset]


def _scored(call: CallToScore) -> Scored:
    executed = call.executed
    input_sees_future = sees_future(unquote(executed.call_input), call.text, executed.char_offset)
    row = Scored(
        **vars(executed) | call.losses.columns() | call.token_columns,
        input_sees_future=input_sees_future,
        sees_future=input_sees_future or sees_future(executed.result or "", call.text, executed.char_offset),
        is_kept=False,
    )
    return call.rule.judge(row)
