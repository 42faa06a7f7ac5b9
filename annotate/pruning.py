"""Drops places and calls that no result could save, before more is computed for them (paper, section 2: the filter).

With the paper's filter, L- is at most L_i(epsilon) and at most L_i(e(c, epsilon)), and L+ is at least 0. So no call is
kept at a place where L_i(epsilon) < tau_f, and a call with L_i(e(c, epsilon)) < tau_f is not kept whatever its tool
answers. With decoys no call is kept where L_i(epsilon) < tau_d (losses.criteria), and the call without its answer tells
nothing. What is dropped is what lies below the pruning bound (`KeepRule.pruning_bound`), the lower of the filter's
thresholds and `prune_below`.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from toolformer_ray.annotate.openings import Opening, drop_opening
from toolformer_ray.losses.criteria import CallLosses, settle
from toolformer_ray.losses.options import FilterName
from toolformer_ray.losses.question import (
    LossQuestion,
    loss_alone,
    question_with_call,
    question_without_call,
    weighted_losses,
)
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Candidate, Dropped

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel

Found = tuple[Opening, Candidate]
"""A call, and the place where it was sampled."""


def settle_loss_without(
    opening: Opening,
    computed: float,
    model: "LanguageModel",
    prune_below: float | None,
    filter_name: FilterName = "paper",
) -> float:
    """L_i(epsilon) at a place: as computed in a batch or, too close to the pruning bound, from a batch of one."""

    def alone() -> CallLosses:
        text_id, ids = opening.text.document.text_id, opening.text.places.ids
        question = question_without_call(model.tokenizer, text_id, ids, opening.token_index)
        return CallLosses(loss_without=loss_alone(model, question))

    bound = KeepRule.of(opening.tool, filter_name).pruning_bound(prune_below)
    return settle(CallLosses(loss_without=computed), bound, alone).loss_without


def is_hopeful(opening: Opening, prune_below: float | None, filter_name: FilterName = "paper") -> bool:
    """Whether a result could lower the loss at a place as far as the pruning bound asks; its loss is settled."""
    bound = KeepRule.of(opening.tool, filter_name).pruning_bound(prune_below)
    return CallLosses(loss_without=opening.loss_without).can_reach(bound)


def drop_hopeless_calls(
    found: Sequence[Found], model: "LanguageModel", prune_below: float | None, *, in_place: bool = False
) -> tuple[list[Candidate], list[Dropped]]:
    """The calls that are to be executed, in their order, and those of expensive tools that no result could save.

    Only for the paper's filter. Calls of expensive tools come with L_i(e(c, epsilon)), unless they do not fit the
    model's window with their text.
    """
    questions = {
        number: question_with_call(model.tokenizer, call, opening.text.places.ids, "", in_place=in_place)
        for number, (opening, call) in enumerate(found)
        if opening.tool.is_expensive
    }
    questions = {number: question for number, question in questions.items() if question.num_tokens <= model.window}
    computed = dict(zip(questions, weighted_losses(model, list(questions.values())), strict=True))
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for number, (opening, call) in enumerate(found):
        if number not in computed:
            candidates.append(call)
            continue
        bound = KeepRule.of(opening.tool, "paper").pruning_bound(prune_below)
        alone = functools.partial(_loss_alone, questions[number], model)
        losses = settle(CallLosses(loss_with_call=computed[number]), bound, alone)
        if losses.can_reach(bound):
            candidates.append(replace(call, loss_with_call=losses.columns()["loss_with_call"]))
        else:
            dropped.append(drop_opening("loss_already_low_with_call", opening, detail=call.call_input))
    return candidates, dropped


def _loss_alone(question: LossQuestion, model: "LanguageModel") -> CallLosses:
    return CallLosses(loss_with_call=loss_alone(model, question))
