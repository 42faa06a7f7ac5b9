"""An executed call on its way through the filter, and what the model is asked about it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lm.weighted_loss import LossQuestion, loss_alone, pruning_bound, weighted_token_indices
from records.calls import render_call
from records.stages import Document, Executed
from tools.tool import Tool

if TYPE_CHECKING:
    from lm.model import LanguageModel


@dataclass
class Trial:
    """A loss that is not computed is NaN."""

    executed: Executed
    tool: Tool
    text: str
    text_ids: Sequence[int]
    bound: float
    """Calls that reduce the loss by less are of no interest, even for later sweeps."""
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
                loss_without=call.loss_without,
                loss_with_call=math.nan if call.loss_with_call is None else call.loss_with_call,
            )
        )
    return trials


def call_ids(trial: Trial, model: "LanguageModel", *, with_result: bool) -> list[int]:
    """e(c, r) or, without the result, e(c, epsilon)."""
    result = (trial.executed.result or "") if with_result else ""
    return model.tokenizer.encode(render_call(trial.executed.tool, trial.executed.call_input, result))


def question(trial: Trial, model: "LanguageModel", *, with_result: bool) -> LossQuestion:
    """What to ask for L+ or, without the result, for L_i(e(c, epsilon))."""
    return LossQuestion(
        text_id=trial.executed.text_id,
        text_ids=trial.text_ids,
        prefix_ids=[*model.tokenizer.bos_ids, *call_ids(trial, model, with_result=with_result)],
        token_index=trial.executed.token_index,
    )


def fits(trial: Trial, model: "LanguageModel") -> bool:
    """Whether the call with its result, before the text, is within the model's window."""
    return len(question(trial, model, with_result=True).prefix_ids) + trial.weighted.stop <= model.window


def loss_without_alone(trial: Trial, model: "LanguageModel") -> float:
    """L_i(epsilon), whatever else is asked."""
    return loss_alone(model, model.tokenizer.bos_ids, trial.text_ids, trial.executed.token_index)


def loss_with_alone(trial: Trial, model: "LanguageModel", *, with_result: bool) -> float:
    """L+ or, without the result, L_i(e(c, epsilon)), whatever else is asked."""
    prefix_ids = question(trial, model, with_result=with_result).prefix_ids
    return loss_alone(model, prefix_ids, trial.text_ids, trial.executed.token_index)
