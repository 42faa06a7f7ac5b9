"""Stage 4, score: the weighted losses of every answered call, and whether it is kept (paper, section 2).

Reads `executed` and `documents`. Writes `scored`, one row for each executed call; drops nothing.

A call with an answer gets L+. Where L_i(epsilon) - L+ < tau_f it is already lost, and L_i(e(c, epsilon)) is not
computed, unless proposing did so. Calls without an answer, and calls too long to stand before the text in the model's
window, have no L+ and are not kept; so have calls that the approximate screen leaves out, where it is asked for
(filter/screening/). Decisions closer than CLOSE_NATS are made on losses computed alone, whatever the batch was.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.filter.screening.screen import ScreenOptions, screen
from toolformer_ray.filter.trial import Trial, fits, loss_with_alone, loss_without_alone, question, start_trials
from toolformer_ray.losses.formulas import is_hopeless, loss_reduction
from toolformer_ray.losses.weights import CLOSE_NATS, weighted_losses
from toolformer_ray.records.calls import unquote
from toolformer_ray.records.stages import Document, Executed, Scored
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What is scored; tau_f belongs to the tools."""

    prune_below: float | None = None
    """The lowest tau_f, in nats, that one may want to sweep to later; None: the tool's tau_f. Lower costs more."""
    screen: ScreenOptions = field(default_factory=ScreenOptions)
    in_place: bool = False
    """Whether calls are scored where they stand in the text, not before it (`ProposeOptions.second_round`)."""

    def __post_init__(self) -> None:
        if self.in_place and self.screen.screen_margin is not None:
            raise ValueError(
                f"screen_margin is {self.screen.screen_margin}; the screen stands in for calls before their text: "
                "leave it out with --second-round"
            )
        if self.prune_below is not None and not math.isfinite(self.prune_below):
            raise ValueError(f"prune_below is {self.prune_below}; it must be a number of nats, or left out")


def score(
    executed: Iterable[Executed],
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    options: ScoreOptions,
) -> list[Scored]:
    """Every executed call with its losses and verdict, in the same order. `documents` holds at least their texts."""
    trials = start_trials(executed, documents, model, tools.values(), options.prune_below, in_place=options.in_place)
    answered = [trial for trial in trials if trial.executed.result is not None and fits(trial, model)]
    passed = screen(answered, model, options.screen)
    unread = [trial for trial in passed if math.isnan(trial.loss_with_result)]
    for trial, loss in zip(unread, _losses(unread, model, with_result=True), strict=True):
        trial.loss_with_result = loss
    hopeful = [trial for trial in passed if not _is_lost(trial, model)]
    unknown = [trial for trial in hopeful if math.isnan(trial.loss_with_call)]
    for trial, loss in zip(unknown, _losses(unknown, model, with_result=False), strict=True):
        trial.loss_with_call = loss
    for trial in hopeful:
        _settle_close_verdict(trial, model)
    return [_scored(trial) for trial in trials]


def sees_future(phrase: str, text: str, char_offset: int) -> bool:
    """Whether a phrase occurs in the text after a call's place and not before it (appendix A, machine translation).

    An occurrence across the place counts as neither.
    """
    return bool(phrase) and phrase in text[char_offset:] and phrase not in text[:char_offset]


def _losses(trials: Sequence[Trial], model: "LanguageModel", *, with_result: bool) -> list[float]:
    return weighted_losses(model, [question(trial, model, with_result=with_result) for trial in trials])


def _is_lost(trial: Trial, model: "LanguageModel") -> bool:
    """Whether the call cannot be kept whatever L_i(e(c, epsilon)) is."""
    if abs(trial.loss_without - trial.loss_with_result - trial.bound) <= CLOSE_NATS:
        trial.loss_without = loss_without_alone(trial, model)
        trial.loss_with_result = loss_with_alone(trial, model, with_result=True)
    return is_hopeless(trial.loss_without, trial.loss_with_result, trial.bound)


def _settle_close_verdict(trial: Trial, model: "LanguageModel") -> None:
    """Computes the losses again, alone, if L- - L+ is within a hair of tau_f."""
    reduction = loss_reduction(trial.loss_without, trial.loss_with_call, trial.loss_with_result)
    if abs(reduction - trial.tool.options.min_loss_reduction) <= CLOSE_NATS:
        trial.loss_without = loss_without_alone(trial, model)
        trial.loss_with_result = loss_with_alone(trial, model, with_result=True)
        trial.loss_with_call = loss_with_alone(trial, model, with_result=False)


def _scored(trial: Trial) -> Scored:
    call = trial.executed
    phrase = unquote(call.call_input)
    input_sees_future = sees_future(phrase, trial.text, call.char_offset)
    is_struck = trial.tool.strikes_future_inputs and input_sees_future
    reduction = _column(loss_reduction(trial.loss_without, trial.loss_with_call, trial.loss_with_result))
    is_large = reduction is not None and reduction >= np.float32(trial.tool.options.min_loss_reduction)
    losses = {"loss_without": _column(trial.loss_without), "loss_with_call": _column(trial.loss_with_call)}
    return Scored(
        **vars(call) | losses,
        loss_with_result=_column(trial.loss_with_result),
        loss_reduction=reduction,
        input_sees_future=input_sees_future,
        sees_future=input_sees_future or sees_future(call.result or "", trial.text, call.char_offset),
        is_kept=bool(is_large and not is_struck),
        loss_near=_column(trial.loss_near),
        screening=trial.screening,
    )


def _column(loss: float) -> float | None:
    """A loss as its column holds it: rounded to float32, so that a verdict can be repeated from the table."""
    return None if math.isnan(loss) else float(np.float32(loss))
