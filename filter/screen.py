"""An approximate screen before the filter, off by default: most calls are lost, and a cheaper loss shows which.

    L_near = L_i with the call and its result `screen_distance` tokens before x_i, instead of before the whole text

What stands before the call is then read once for all calls of a text, and a call costs its own tokens, those up to x_i
and the few that count. Only calls with L_i(epsilon) - L_near >= tau_f - margin are scored exactly. Some good ones are
lost; how many, the control slice tells: a share of those that did not pass, drawn by a hash, is scored all the same.

At distance 0 the call stands as in C*, but a model that has never seen a call inside a text does not know how to go on
after one: its surprise at the first token hides what the result gave away. A few words later it has recovered.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filter.trial import Trial, loss_without_alone
from lm.requests import Insertion
from lm.weighted_loss import CLOSE_NATS, is_below, loss_alone, weighted_loss
from records.calls import render_call

if TYPE_CHECKING:
    from lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """Whether calls are screened before they are scored, and how its losses are watched."""

    screen_margin: float | None = None
    """Score exactly only calls whose loss reduction, with the call a few tokens before its place, is at least the
    threshold less this margin, in nats. Larger costs more and loses fewer; by default every call is scored."""
    screen_distance: int = 32
    """How many tokens before its place the screen puts a call. Fewer cost less; models that have not seen calls inside
    texts need a dozen or more."""
    screen_control: float = 0.05
    """Share of the calls that did not pass the screen which is scored all the same, to tell how many good ones it
    loses."""

    def __post_init__(self) -> None:
        if self.screen_margin is not None and not math.isfinite(self.screen_margin):
            raise ValueError(f"screen_margin is {self.screen_margin}; it must be a number of nats, or left out")
        if self.screen_distance < 0:
            raise ValueError(f"screen_distance is {self.screen_distance}; it must be at least 0 tokens")
        if not 0 <= self.screen_control <= 1:
            raise ValueError(f"screen_control is {self.screen_control}; it must be a share, from 0 to 1")


def screen(trials: Sequence[Trial], model: "LanguageModel", options: ScreenOptions) -> list[Trial]:
    """Those that are to be scored exactly; all of them if there is no margin. Every trial is told what it got.

    The trials have a result and fit the window.
    """
    if options.screen_margin is None:
        return list(trials)
    for trial, loss in zip(trials, _losses_near(trials, model, options.screen_distance), strict=True):
        trial.loss_near = loss
    for trial in trials:
        if _passes(trial, model, options.screen_margin, options.screen_distance):
            trial.screening = "passed"
            # There the call stood before the whole text already.
            if _near(trial, options.screen_distance) == 0:
                trial.loss_with_result = trial.loss_near
        else:
            trial.screening = "control" if _is_control(trial, options.screen_control) else "left_out"
    return [trial for trial in trials if trial.screening != "left_out"]


def _losses_near(trials: Sequence[Trial], model: "LanguageModel", distance: int) -> list[float]:
    """L_near of each trial. Equal calls that stand at one place of a text, for whatever tokens, are read once."""
    texts: dict[str, Sequence[int]] = {trial.executed.text_id: trial.text_ids for trial in trials}
    number_of = {text_id: number for number, text_id in enumerate(texts)}
    groups: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for index, trial in enumerate(trials):
        ids = tuple(_call_ids(trial, model))
        groups.setdefault((number_of[trial.executed.text_id], _near(trial, distance), ids), []).append(index)
    insertions = [
        Insertion(text=text, token_index=place, ids=ids, targets=sorted({j for n in group for j in trials[n].weighted}))
        for (text, place, ids), group in groups.items()
    ]
    losses: dict[int, float] = {}
    answers = model.log_probs_inserted(list(texts.values()), insertions)
    for insertion, group, answer in zip(insertions, groups.values(), answers, strict=True):
        known = dict(zip(insertion.targets, answer, strict=True))
        losses |= {index: weighted_loss(known[j] for j in trials[index].weighted) for index in group}
    return [losses[index] for index in range(len(trials))]


def _call_ids(trial: Trial, model: "LanguageModel") -> list[int]:
    """e(c, r)."""
    call = trial.executed
    return model.tokenizer.encode(render_call(call.tool, call.call_input, call.result))


def _near(trial: Trial, distance: int) -> int:
    """Before which token the screen puts the call."""
    return max(0, trial.executed.token_index - distance)


def _passes(trial: Trial, model: "LanguageModel", margin: float, distance: int) -> bool:
    """Whether the call is worth scoring. What is close is settled alone, so that the batch decides nothing."""
    bound = trial.bound - margin
    if abs(trial.loss_without - trial.loss_near - bound) <= CLOSE_NATS:
        trial.loss_without = loss_without_alone(trial, model)
        trial.loss_near = _loss_near_alone(trial, model, distance)
    return not is_below(trial.loss_without - trial.loss_near, bound)


def _loss_near_alone(trial: Trial, model: "LanguageModel", distance: int) -> float:
    place = _near(trial, distance)
    before = [*model.tokenizer.bos_ids, *trial.text_ids[:place], *_call_ids(trial, model)]
    # The rest of the text behind all that is a text behind a prefix.
    return loss_alone(model, before, trial.text_ids[place:], trial.executed.token_index - place)


def _is_control(trial: Trial, share: float) -> bool:
    """Drawn by what the call is, so that equal runs have equal slices."""
    call = trial.executed
    name = f"control\0{call.text_id}\0{call.tool}\0{call.token_index}\0{call.call_input}"
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64
