"""Calls that no answer could save are dropped before an expensive tool is asked (paper, section 2: the filter).

L- is at most L_i(e(c, epsilon)) and L+ at least 0, so where L_i(e(c, epsilon)) < tau_f nothing would be kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.annotate.openings import Opening, drop_opening
from toolformer_ray.losses.question import call_question
from toolformer_ray.losses.weights import (
    CLOSE_NATS,
    LossQuestion,
    is_below,
    loss_alone,
    pruning_bound,
    weighted_losses,
)
from toolformer_ray.records.stages import Candidate, Dropped

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel

Found = tuple[Opening, Candidate]
"""A call, and the place where it was sampled."""


def drop_hopeless_calls(
    found: Sequence[Found], model: "LanguageModel", prune_below: float | None, *, in_place: bool = False
) -> tuple[list[Candidate], list[Dropped]]:
    """The calls that are to be executed, in their order, and those of expensive tools that no answer could save.

    Calls of expensive tools come with L_i(e(c, epsilon)), unless these do not fit the window with their text.
    """
    losses = _losses_with_call(found, model, in_place=in_place)
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for number, (opening, candidate) in enumerate(found):
        if number not in losses:
            candidates.append(candidate)
            continue
        bound = pruning_bound(opening.tool.options.min_loss_reduction, prune_below)
        loss = losses[number]
        if abs(loss - bound) <= CLOSE_NATS:
            question = _question(opening, candidate, model, in_place=in_place)
            loss = loss_alone(model, question.prefix_ids, question.text_ids, question.token_index)
        if is_below(loss, bound):
            dropped.append(drop_opening("loss_already_low_with_call", opening, detail=candidate.call_input))
        else:
            candidates.append(replace(candidate, loss_with_call=float(np.float32(loss))))
    return candidates, dropped


def _losses_with_call(found: Sequence[Found], model: "LanguageModel", *, in_place: bool) -> dict[int, float]:
    """L_i(e(c, epsilon)) of the expensive tools' calls, by their number in `found`."""
    questions = {
        number: _question(opening, candidate, model, in_place=in_place)
        for number, (opening, candidate) in enumerate(found)
        if opening.tool.is_expensive
    }
    fitting = {number: question for number, question in questions.items() if question.num_tokens <= model.window}
    return dict(zip(fitting, weighted_losses(model, list(fitting.values())), strict=True))


def _question(opening: Opening, candidate: Candidate, model: "LanguageModel", *, in_place: bool) -> LossQuestion:
    return call_question(model.tokenizer, candidate, opening.text.places.ids, "", in_place=in_place)
