"""Stage 4, score: the weighted losses of every answered call, and whether it is kept (paper, section 2).

Reads `executed` and `documents`. Writes `scored`, one row for each executed call; drops nothing.

A call with an answer gets L+. Where L_i(epsilon) - L+ < tau_f it is already lost, and L_i(e(c, epsilon)) is not
computed. Calls without an answer, and calls too long to stand before the text in the model's window, have no losses
and are not kept. Decisions closer than CLOSE_NATS are made on losses computed alone, whatever the batch was.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from filter.losses import is_hopeless, loss_reduction
from lm.requests import ScoreRequest
from lm.weighted_loss import CLOSE_NATS, loss_alone, weighted_loss, weighted_token_indices
from records.calls import render_call, unquote
from records.stages import Document, Executed, Scored
from tools.tool import Tool

if TYPE_CHECKING:
    from lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What is scored; tau_f belongs to the tools."""

    prune_below: float | None = None
    """The lowest tau_f, in nats, that one may want to sweep to later; None: the tool's tau_f. Lower costs more."""

    def __post_init__(self) -> None:
        if self.prune_below is not None and not math.isfinite(self.prune_below):
            raise ValueError(f"prune_below is {self.prune_below}; it must be a number of nats, or left out")


@dataclass
class _Trial:
    """An executed call on its way through the filter; a loss that is not computed is NaN."""

    executed: Executed
    tool: Tool
    text: str
    text_ids: Sequence[int]
    bound: float
    loss_without: float
    loss_with_result: float = math.nan
    loss_with_call: float = math.nan


def score(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    options: ScoreOptions,
) -> list[Scored]:
    """Every executed call with its losses and verdict, in the same order. `documents` holds at least their texts."""
    trials = _start_trials(executed, documents, model, tools, options)
    answered = [trial for trial in trials if trial.executed.result is not None and _fits(trial, model)]
    for trial, loss in zip(answered, _losses(answered, model, with_result=True), strict=True):
        trial.loss_with_result = loss
    hopeful = [trial for trial in answered if not _is_lost(trial, model)]
    for trial, loss in zip(hopeful, _losses(hopeful, model, with_result=False), strict=True):
        trial.loss_with_call = loss
    for trial in hopeful:
        _settle_close_verdict(trial, model)
    return [_scored(trial) for trial in trials]


def sees_future(phrase: str, text: str, char_offset: int) -> bool:
    """Whether a phrase occurs in the text after a call's place and not before it (appendix A, machine translation).

    An occurrence across the place counts as neither.
    """
    return bool(phrase) and phrase in text[char_offset:] and phrase not in text[:char_offset]


def _start_trials(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    options: ScoreOptions,
) -> list[_Trial]:
    tool_by_name = {tool.name: tool for tool in tools.values()}
    texts = {document.text_id: document.text for document in documents}
    ids: dict[str, list[int]] = {}
    trials = []
    for call in executed:
        if call.text_id not in ids:
            ids[call.text_id] = model.tokenizer.encode(texts[call.text_id])
        tool = tool_by_name[call.tool]
        bound = tool.options.min_loss_reduction
        bound = bound if options.prune_below is None else min(bound, options.prune_below)
        trials.append(_Trial(call, tool, texts[call.text_id], ids[call.text_id], bound, call.loss_without))
    return trials


def _prefix_ids(trial: _Trial, model: "LanguageModel", *, with_result: bool) -> list[int]:
    """The beginning-of-sequence token and z: e(c, r) or, without the result, e(c, epsilon)."""
    result = (trial.executed.result or "") if with_result else ""
    call = render_call(trial.executed.tool, trial.executed.call_input, result)
    return [*model.tokenizer.bos_ids, *model.tokenizer.encode(call)]


def _fits(trial: _Trial, model: "LanguageModel") -> bool:
    return len(_prefix_ids(trial, model, with_result=True)) + _weighted(trial).stop <= model.window


def _losses(trials: Sequence[_Trial], model: "LanguageModel", *, with_result: bool) -> list[float]:
    """L_i(z) of each trial. Trials of one text with the same z, at whatever places, are read together, once."""
    places: dict[tuple[str, tuple[int, ...]], list[_Trial]] = {}
    for trial in trials:
        prefix_ids = tuple(_prefix_ids(trial, model, with_result=with_result))
        places.setdefault((trial.executed.text_id, prefix_ids), []).append(trial)
    requests = []
    for (_, prefix_ids), group in places.items():
        weighted = sorted({j for trial in group for j in _weighted(trial)})
        ids = [*prefix_ids, *group[0].text_ids[: weighted[-1] + 1]]
        requests.append(ScoreRequest(ids=ids, targets=[len(prefix_ids) + j for j in weighted]))
    losses: dict[int, float] = {}
    for ((_, prefix_ids), group), request, answer in zip(
        places.items(), requests, model.log_probs(requests), strict=True
    ):
        log_probs = dict(zip(request.targets, answer, strict=True))
        for trial in group:
            losses[id(trial)] = weighted_loss(log_probs[len(prefix_ids) + j] for j in _weighted(trial))
    return [losses[id(trial)] for trial in trials]


def _weighted(trial: _Trial) -> range:
    return weighted_token_indices(trial.executed.token_index, len(trial.text_ids))


def _loss_alone(trial: _Trial, model: "LanguageModel", prefix_ids: Sequence[int]) -> float:
    return loss_alone(model, prefix_ids, trial.text_ids, trial.executed.token_index)


def _is_lost(trial: _Trial, model: "LanguageModel") -> bool:
    """Whether the call cannot be kept whatever L_i(e(c, epsilon)) is."""
    if abs(trial.loss_without - trial.loss_with_result - trial.bound) <= CLOSE_NATS:
        trial.loss_without = _loss_alone(trial, model, model.tokenizer.bos_ids)
        trial.loss_with_result = _loss_alone(trial, model, _prefix_ids(trial, model, with_result=True))
    return is_hopeless(trial.loss_without, trial.loss_with_result, trial.bound)


def _settle_close_verdict(trial: _Trial, model: "LanguageModel") -> None:
    """Computes the losses again, alone, if L- - L+ is within a hair of tau_f."""
    reduction = loss_reduction(trial.loss_without, trial.loss_with_call, trial.loss_with_result)
    if abs(reduction - trial.tool.options.min_loss_reduction) <= CLOSE_NATS:
        trial.loss_without = _loss_alone(trial, model, model.tokenizer.bos_ids)
        trial.loss_with_result = _loss_alone(trial, model, _prefix_ids(trial, model, with_result=True))
        trial.loss_with_call = _loss_alone(trial, model, _prefix_ids(trial, model, with_result=False))


def _scored(trial: _Trial) -> Scored:
    call = trial.executed
    phrase = unquote(call.call_input)
    input_sees_future = sees_future(phrase, trial.text, call.char_offset)
    is_struck = trial.tool.strikes_future_inputs and input_sees_future
    reduction = _column(loss_reduction(trial.loss_without, trial.loss_with_call, trial.loss_with_result))
    is_large = reduction is not None and reduction >= np.float32(trial.tool.options.min_loss_reduction)
    return Scored(
        **vars(call) | {"loss_without": float(np.float32(trial.loss_without))},
        loss_with_call=_column(trial.loss_with_call),
        loss_with_result=_column(trial.loss_with_result),
        loss_reduction=reduction,
        input_sees_future=input_sees_future,
        sees_future=input_sees_future or sees_future(call.result or "", trial.text, call.char_offset),
        is_kept=bool(is_large and not is_struck),
    )


def _column(loss: float) -> float | None:
    """A loss as its column holds it: rounded to float32, so that a verdict can be repeated from the table."""
    return None if math.isnan(loss) else float(np.float32(loss))
