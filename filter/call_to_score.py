"""A call on its way through the filter: which of its losses are known, and what the model is asked for the others."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from toolformer_ray.losses.question import (
    LossQuestion,
    loss_alone,
    question_with_call,
    question_without_call,
    weighted_losses,
)
from toolformer_ray.losses.verdict import CallLosses, KeepRule
from toolformer_ray.losses.weights import weighted_token_indices
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


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
    """Whether the call stands at its place in the text while it is scored, instead of before the text."""
    losses: CallLosses
    screen_columns: dict[str, float | str | None] = field(default_factory=dict)
    """Columns of `scored` that the approximate screen fills (filter/screening/)."""

    @property
    def weighted(self) -> range:
        """The indices of the text's tokens that count."""
        return weighted_token_indices(self.executed.token_index, len(self.text_ids))

    def question(self, loss: str, model: "LanguageModel") -> LossQuestion:
        """What to ask the model for a loss, given by its name in `CallLosses`."""
        call = self.executed
        if loss == "loss_without":
            return question_without_call(model.tokenizer, call.text_id, self.text_ids, call.token_index)
        result = (call.result or "") if loss == "loss_with_result" else ""
        return question_with_call(model.tokenizer, call, self.text_ids, result, in_place=self.in_place)

    def fits(self, model: "LanguageModel") -> bool:
        """Whether the call with its result, and the text to the last token that counts, fit the model's window."""
        return self.question("loss_with_result", model).num_tokens <= model.window

    def losses_alone(self, model: "LanguageModel") -> CallLosses:
        """The known losses, each from a batch of one."""
        known = [name for name, loss in vars(self.losses).items() if not math.isnan(loss)]
        return CallLosses(**{name: loss_alone(model, self.question(name, model)) for name in known})


def calls_to_score(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Iterable[Tool],
    prune_below: float | None,
    *,
    in_place: bool,
) -> list[CallToScore]:
    """One for each executed call, in their order, with the losses that proposing has computed."""
    rules = {tool.name: KeepRule.of(tool) for tool in tools}
    texts = {document.text_id: document.text for document in documents}
    ids: dict[str, list[int]] = {}
    calls = []
    for row in executed:
        if row.text_id not in ids:
            ids[row.text_id] = model.tokenizer.encode(texts[row.text_id])
        loss_with_call = math.nan if row.loss_with_call is None else row.loss_with_call
        calls.append(
            CallToScore(
                executed=row,
                rule=rules[row.tool],
                text=texts[row.text_id],
                text_ids=ids[row.text_id],
                bound=rules[row.tool].pruning_bound(prune_below),
                in_place=in_place,
                losses=CallLosses(loss_without=row.loss_without, loss_with_call=loss_with_call),
            )
        )
    return calls


def compute_loss(loss: str, calls: Iterable[CallToScore], model: "LanguageModel") -> None:
    """Compute a loss, given by its name in `CallLosses`, for every call that lacks it."""
    lacking = [call for call in calls if math.isnan(getattr(call.losses, loss))]
    answers = weighted_losses(model, [call.question(loss, model) for call in lacking])
    for call, answer in zip(lacking, answers, strict=True):
        call.losses = replace(call.losses, **{loss: answer})
