"""An approximate screen before the filter, off by default: most calls are lost, and a cheaper loss shows which.

    L_in = L_i with the call and its result directly before x_i, as it would stand in C*, instead of before the text

The beginning x_<i is then read once for all calls of a text, and a call costs its own tokens and the few that count.
Only calls with L_i(epsilon) - L_in >= tau_f - margin are scored exactly; a model that has seen no calls inside texts
may think little of good ones there, so some are lost. How many, the control slice tells: a share of those that did not
pass, drawn by a hash, is scored exactly all the same.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filter.trial import Trial, call_ids, loss_without_alone
from lm.requests import Insertion
from lm.weighted_loss import CLOSE_NATS, is_below, loss_alone, weighted_loss

if TYPE_CHECKING:
    from lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """Whether calls are screened before they are scored, and how its losses are watched."""

    screen_margin: float | None = None
    """Score exactly only calls whose loss reduction, with the call directly before the words that count, is at least
    the threshold less this margin, in nats. Larger costs more and loses fewer; by default every call is scored."""
    screen_control: float = 0.05
    """Share of the calls that did not pass the screen which is scored all the same, to tell how many good ones it
    loses."""

    def __post_init__(self) -> None:
        if self.screen_margin is not None and not math.isfinite(self.screen_margin):
            raise ValueError(f"screen_margin is {self.screen_margin}; it must be a number of nats, or left out")
        if not 0 <= self.screen_control <= 1:
            raise ValueError(f"screen_control is {self.screen_control}; it must be a share, from 0 to 1")


def screen(trials: Sequence[Trial], model: "LanguageModel", options: ScreenOptions) -> list[Trial]:
    """Those that are to be scored exactly; all of them if there is no margin. Every trial is told what it got.

    The trials have a result and fit the window.
    """
    if options.screen_margin is None:
        return list(trials)
    for trial, loss in zip(trials, _losses_inserted(trials, model), strict=True):
        trial.loss_inserted = loss
    for trial in trials:
        if _passes(trial, model, options.screen_margin):
            trial.screening = "passed"
        else:
            trial.screening = "control" if _is_control(trial, options.screen_control) else "left_out"
    return [trial for trial in trials if trial.screening != "left_out"]


def _losses_inserted(trials: Sequence[Trial], model: "LanguageModel") -> list[float]:
    numbers: dict[str, int] = {}
    texts: list[Sequence[int]] = []
    insertions = []
    for trial in trials:
        text_id = trial.executed.text_id
        if text_id not in numbers:
            numbers[text_id] = len(texts)
            texts.append(trial.text_ids)
        insertions.append(
            Insertion(
                text=numbers[text_id],
                token_index=trial.executed.token_index,
                ids=call_ids(trial, model, with_result=True),
                num_targets=len(trial.weighted),
            )
        )
    return [weighted_loss(log_probs) for log_probs in model.log_probs_inserted(texts, insertions)]


def _passes(trial: Trial, model: "LanguageModel", margin: float) -> bool:
    """Whether the call is worth scoring. What is close is settled alone, so that the batch decides nothing."""
    bound = trial.bound - margin
    if abs(trial.loss_without - trial.loss_inserted - bound) <= CLOSE_NATS:
        trial.loss_without = loss_without_alone(trial, model)
        place = trial.executed.token_index
        before = [*model.tokenizer.bos_ids, *trial.text_ids[:place], *call_ids(trial, model, with_result=True)]
        trial.loss_inserted = loss_alone(model, before, trial.text_ids[place:], 0)
    return not is_below(trial.loss_without - trial.loss_inserted, bound)


def _is_control(trial: Trial, share: float) -> bool:
    """Drawn by what the call is, so that equal runs have equal slices."""
    call = trial.executed
    name = f"control\0{call.text_id}\0{call.tool}\0{call.token_index}\0{call.call_input}"
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64
