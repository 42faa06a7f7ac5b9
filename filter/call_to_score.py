"""A call on its way through the filter: which of its losses are known, and what the model is asked for the others."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from toolformer_ray.losses.criteria import CallLosses, settle
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.losses.question import (
    LossQuestion,
    loss_alone,
    question_with_call,
    question_without_call,
    weighted_losses,
)
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.losses.weights import weighted_token_indices
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel
    from toolformer_ray.lm.tokenizer import Places


@dataclass
class CallToScore:
    """An executed call, its text, and its losses."""

    executed: Executed
    rule: KeepRule
    text: str
    text_ids: Sequence[int]
    bound: float
    """A call that cannot reduce the loss by so many nats needs no further loss (`KeepRule.pruning_bound`)."""
    in_place: bool
    """Whether the call stands at its place in the text for the paper's losses too, instead of before the text."""
    losses: CallLosses

    first_counted: int
    """The first token at the place that is not white space alone: in its place, a call's loss begins there. Some
    vocabularies write the space before a number as a token of its own, which no answer tells."""

    stands_at: int
    """Before which token the call stands while it is compared with decoys: its own, or one before."""

    token_borders: Sequence[int]
    """Where each token of the text begins, and where the last one ends, in code points."""

    token_contrasts: Sequence[float] = ()
    """What the result changes for each token that counts in place, in nats, once it is compared with decoys."""

    is_pruned: bool = False
    """Whether L_i(epsilon) alone tells that the call is not kept, so that no further loss is computed."""

    @property
    def weighted_in_place(self) -> range:
        """The indices of the text's tokens that count in place."""
        return weighted_token_indices(self.first_counted, len(self.text_ids))

    @property
    def token_columns(self) -> dict[str, tuple[float, ...]]:
        """What is written of single tokens; nothing of a call that was not compared with decoys."""
        ends = [self.token_borders[j + 1] for j in self.weighted_in_place] if self.token_contrasts else []
        return {"token_ends": tuple(ends), "token_contrasts": tuple(self.token_contrasts)}

    def question(self, loss: str, model: "LanguageModel") -> LossQuestion:
        """What to ask the model for one of the paper's losses, given by its name in `CallLosses`."""
        call = self.executed
        if loss == "loss_without":
            return question_without_call(model.tokenizer, call.text_id, self.text_ids, call.token_index)
        result = (call.result or "") if loss == "loss_with_result" else ""
        return question_with_call(model.tokenizer, call, self.text_ids, result, in_place=self.in_place)

    def questions_in_place(self, model: "LanguageModel") -> list[LossQuestion]:
        """What to ask for the loss behind the call in its place, with its result and then with each decoy."""
        answers = (self.executed.result or "", *self.executed.decoys)
        standing = replace(self.executed, token_index=self.stands_at)
        return [
            replace(
                question_with_call(model.tokenizer, standing, self.text_ids, answer, in_place=True),
                token_index=self.first_counted - self.stands_at,
            )
            for answer in answers
        ]

    def fits(self, model: "LanguageModel") -> bool:
        """Whether the call with its result, or with a decoy, and the text to the last token that counts, fit the
        model's window."""
        questions = [self.question("loss_with_result", model), *self.questions_in_place(model)]
        return max(question.num_tokens for question in questions) <= model.window

    def losses_alone(self, model: "LanguageModel") -> CallLosses:
        """The known losses, each from a batch of one."""
        losses = self.losses
        for name in ("loss_without", "loss_with_call", "loss_with_result"):
            if not math.isnan(getattr(losses, name)):
                losses = losses.having(name, loss_alone(model, self.question(name, model)))
        if math.isnan(self.losses.loss_in_place):
            return losses
        in_place, *decoys = (loss_alone(model, question) for question in self.questions_in_place(model))
        return replace(losses, loss_in_place=in_place, losses_of_decoys=tuple(decoys))


def calls_to_score(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Iterable[Tool],
    prune_below: float | None,
    *,
    options: FilterOptions,
    in_place: bool,
) -> list[CallToScore]:
    """One for each executed call, in their order, with the losses that proposing has computed."""
    rules = {tool.name: KeepRule.of(tool, options.filter) for tool in tools}
    texts = {document.text_id: document.text for document in documents}
    known: dict[str, tuple[Places, list[int]]] = {}
    calls = []
    for row in executed:
        if row.text_id not in known:
            places = model.tokenizer.places(texts[row.text_id])
            known[row.text_id] = places, [*places.char_offsets, len(texts[row.text_id])]
        places, borders = known[row.text_id]
        loss_with_call = math.nan if row.loss_with_call is None else row.loss_with_call
        calls.append(
            CallToScore(
                executed=row,
                rule=rules[row.tool],
                text=texts[row.text_id],
                text_ids=places.ids,
                stands_at=max(0, row.token_index - options.call_distance),
                first_counted=_first_counted(row.token_index, borders, texts[row.text_id]),
                token_borders=borders,
                bound=rules[row.tool].pruning_bound(prune_below),
                in_place=in_place,
                losses=CallLosses(loss_without=row.loss_without, loss_with_call=loss_with_call),
            )
        )
    return calls


def _first_counted(token_index: int, borders: Sequence[int], text: str) -> int:
    """The first token from a place on that is not white space alone; the place if there is none."""
    tokens = range(token_index, len(borders) - 1)
    return next((j for j in tokens if text[borders[j] : borders[j + 1]].strip()), token_index)


def compute_loss(loss: str, calls: Iterable[CallToScore], model: "LanguageModel") -> None:
    """Compute a loss, given by its name in `CallLosses`, for every call that lacks it."""
    lacking = [call for call in calls if math.isnan(getattr(call.losses, loss))]
    answers = weighted_losses(model, [call.question(loss, model) for call in lacking])
    for call, answer in zip(lacking, answers, strict=True):
        call.losses = call.losses.having(loss, answer)


def compute_loss_without(calls: Iterable[CallToScore], model: "LanguageModel") -> None:
    """Compute L_i(epsilon) of the calls that another model proposed, and see which no result could save."""
    lacking = [call for call in calls if math.isnan(call.losses.loss_without)]
    compute_loss("loss_without", lacking, model)
    for call in lacking:
        call.losses = settle(call.losses, call.bound, functools.partial(call.losses_alone, model))
        call.is_pruned = not call.losses.can_reach(call.bound)
