"""An executed call on its way through the filter, and what the model is asked about it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolformer_ray.losses.question import call_question
from toolformer_ray.losses.weights import LossQuestion, loss_alone, pruning_bound, weighted_token_indices
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


@dataclass
class Trial:
    """A loss that is not computed is NaN."""

    executed: Executed
    tool: Tool
    text: str
    text_ids: Sequence[int]
    bound: float
    """Calls that reduce the loss by less are of no interest, even for later sweeps."""
    in_place: bool
    """Whether the call stands at its place in the text while it is scored, instead of before the text."""
    loss_without: float
    loss_with_call: float
    loss_with_result: float = math.nan
    loss_near: float = math.nan
    screening: str | None = None

    @property
    def weighted(self) -> range:
        """The tokens of the text that count."""
        return weighted_token_indices(self.executed.token_index, len(self.text_ids))


def start_trials(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Iterable[Tool],
    prune_below: float | None,
    *,
    in_place: bool,
) -> list[Trial]:
    """One for each call, in their order."""
    tool_by_name = {tool.name: tool for tool in tools}
    texts = {document.text_id: document.text for document in documents}
    ids: dict[str, list[int]] = {}
    trials = []
    for call in executed:
        if call.text_id not in ids:
            ids[call.text_id] = model.tokenizer.encode(texts[call.text_id])
        tool = tool_by_name[call.tool]
        trials.append(
            Trial(
                executed=call,
                tool=tool,
                text=texts[call.text_id],
                text_ids=ids[call.text_id],
                bound=pruning_bound(tool.options.min_loss_reduction, prune_below),
                in_place=in_place,
                loss_without=call.loss_without,
                loss_with_call=math.nan if call.loss_with_call is None else call.loss_with_call,
            )
        )
    return trials


def question(trial: Trial, model: "LanguageModel", *, with_result: bool) -> LossQuestion:
    """What to ask for L+ or, without the result, for L_i(e(c, epsilon))."""
    result = (trial.executed.result or "") if with_result else ""
    return call_question(model.tokenizer, trial.executed, trial.text_ids, result, in_place=trial.in_place)


def fits(trial: Trial, model: "LanguageModel") -> bool:
    """Whether the call with its result, and the text to the last token that counts, are within the model's window."""
    return question(trial, model, with_result=True).num_tokens <= model.window


def loss_without_alone(trial: Trial, model: "LanguageModel") -> float:
    """L_i(epsilon), whatever else is asked."""
    return loss_alone(model, model.tokenizer.bos_ids, trial.text_ids, trial.executed.token_index)


def loss_with_alone(trial: Trial, model: "LanguageModel", *, with_result: bool) -> float:
    """L+ or, without the result, L_i(e(c, epsilon)), whatever else is asked."""
    asked = question(trial, model, with_result=with_result)
    return loss_alone(model, asked.prefix_ids, asked.text_ids, asked.token_index)
