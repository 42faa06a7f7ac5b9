"""An approximate screen before the filter, off by default: most calls are lost, and less than L+ shows which.

Only calls that promise a loss reduction of tau_f - margin are scored exactly. Two estimates say what a call promises:

    words    the result makes sure of the tokens that it says; costs one pass a text                overlap.py
    near     the call stands some tokens before x_i, not before the text; costs its own few tokens  near.py

A call whose words promise enough passes. Besides, anything that stands before a text sways its losses, the more the
larger they are: if that could make up for what the words lack, the call is read near its place, and passes if that
promises enough. All others are left out.

Some good calls are lost; how many, the control slice tells: a share of those that did not pass, drawn by a hash, is
scored all the same.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from toolformer_ray.filter.screening.near import near_loss_alone, near_losses, place_near
from toolformer_ray.filter.screening.overlap import unsaid_loss_alone, unsaid_losses
from toolformer_ray.filter.trial import Trial, loss_without_alone
from toolformer_ray.losses.weights import CLOSE_NATS, is_below

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel

SWAY = 0.15
"""The share of a token's loss that a call might take away without saying the token. Less spares readings and loses
calls: on an invented world other than that of the figures 0.15 lost none of 127 kept calls, 0.1 one, 0 one."""


@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """Whether calls are screened before they are scored, and how its losses are watched."""

    screen_margin: float | None = None
    """Score exactly only calls that promise a loss reduction of at least the threshold less this margin, in nats, by
    what their results say or a short reading shows. Larger costs more and loses fewer; by default all are scored."""
    screen_distance: int = 32
    """How many tokens before its place a call is read if its words do not say enough. Fewer cost less; models that have
    not seen calls inside texts need a dozen or more."""
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
    margin, distance = options.screen_margin, options.screen_distance
    for trial, loss in zip(trials, unsaid_losses(trials, model), strict=True):
        trial.loss_near = loss
    promises = [_promise(trial, model, margin) for trial in trials]
    for trial in (trial for trial, promise in zip(trials, promises, strict=True) if promise == "enough"):
        trial.screening = "passed"
    unsure = [trial for trial, promise in zip(trials, promises, strict=True) if promise == "perhaps"]
    for trial, loss in zip(unsure, near_losses(unsure, model, distance), strict=True):
        trial.loss_near = loss
    for trial in unsure:
        if _passes_near(trial, model, margin, distance):
            trial.screening = "passed"
            if place_near(trial, distance) == 0:
                trial.loss_with_result = trial.loss_near
    for trial in trials:
        if trial.screening is None:
            trial.screening = "control" if _is_control(trial, options.screen_control) else "left_out"
    return [trial for trial in trials if trial.screening != "left_out"]


def _promise(trial: Trial, model: "LanguageModel", margin: float) -> Literal["enough", "perhaps", "too_little"]:
    """What the words of the result promise. What is close is settled alone, so that the batch decides nothing."""
    if any(abs(_lack(trial, margin, sway)) <= CLOSE_NATS for sway in (0.0, SWAY)):
        trial.loss_without = loss_without_alone(trial, model)
        trial.loss_near = unsaid_loss_alone(trial, model)
    if _lack(trial, margin, sway=0.0) <= 0:
        return "enough"
    return "perhaps" if _lack(trial, margin, SWAY) <= 0 else "too_little"


def _lack(trial: Trial, margin: float, sway: float) -> float:
    """By how many nats the promise falls short of the threshold less the margin, if so much is taken off the rest."""
    return trial.bound - margin - (trial.loss_without - (1 - sway) * trial.loss_near)


def _passes_near(trial: Trial, model: "LanguageModel", margin: float, distance: int) -> bool:
    """Whether the reading near its place promises enough. What is close is settled alone."""
    bound = trial.bound - margin
    if abs(trial.loss_without - trial.loss_near - bound) <= CLOSE_NATS:
        trial.loss_without = loss_without_alone(trial, model)
        trial.loss_near = near_loss_alone(trial, model, distance)
    return not is_below(trial.loss_without - trial.loss_near, bound)


def _is_control(trial: Trial, share: float) -> bool:
    """Drawn by what the call is, so that equal runs have equal slices."""
    call = trial.executed
    name = f"control\0{call.text_id}\0{call.tool}\0{call.token_index}\0{call.call_input}"
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64
