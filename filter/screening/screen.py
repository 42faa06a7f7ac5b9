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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from toolformer_ray.filter.call_to_score import CallToScore
from toolformer_ray.filter.screening.near import near_loss_alone, near_losses, place_near
from toolformer_ray.filter.screening.overlap import unsaid_loss_alone, unsaid_losses
from toolformer_ray.losses.question import loss_alone
from toolformer_ray.losses.verdict import CallLosses, is_close, settle
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.stages import Screening

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
            raise OptionError("screen_margin", self.screen_margin, "it must be a number of nats, or left out")
        if self.screen_distance < 0:
            raise OptionError("screen_distance", self.screen_distance, "it must be at least 0 tokens")
        if not 0 <= self.screen_control <= 1:
            raise OptionError("screen_control", self.screen_control, "it must be a share, from 0 to 1")

    def check_round(self, *, is_second: bool) -> None:
        """Raise OptionError if calls are scored in a way that the screen does not estimate."""
        if is_second and self.screen_margin is not None:
            remedy = "the screen estimates losses of calls before their text: leave it out with `second_round`"
            raise OptionError("screen_margin", self.screen_margin, remedy)


@dataclass
class _Screened:
    call: CallToScore
    loss_near: float
    """The latest estimate of L+."""
    outcome: Screening | None = None
    """None until it is known."""


def screen(calls: Sequence[CallToScore], model: "LanguageModel", options: ScreenOptions) -> list[CallToScore]:
    """Those that are to be scored exactly; all of them if there is no margin. Fills the calls' `screen_columns`.

    The calls have a result and fit the window.
    """
    if options.screen_margin is None:
        return list(calls)
    margin, distance = options.screen_margin, options.screen_distance
    screened = [_Screened(call, loss) for call, loss in zip(calls, unsaid_losses(calls, model), strict=True)]
    promises = [_promise(each, model, margin) for each in screened]
    for each in (each for each, promise in zip(screened, promises, strict=True) if promise == "enough"):
        each.outcome = "passed"
    unsure = [each for each, promise in zip(screened, promises, strict=True) if promise == "perhaps"]
    for each, loss in zip(unsure, near_losses([each.call for each in unsure], model, distance), strict=True):
        each.loss_near = loss
    for each in unsure:
        if _passes_near(each, model, margin, distance):
            each.outcome = "passed"
            if place_near(each.call, distance) == 0:
                each.call.losses = replace(each.call.losses, loss_with_result=each.loss_near)
    for each in screened:
        if each.outcome is None:
            each.outcome = "control" if _is_control(each.call, options.screen_control) else "left_out"
        each.call.screen_columns = {"loss_near": float(np.float32(each.loss_near)), "screening": each.outcome}
    return [each.call for each in screened if each.outcome != "left_out"]


def _promise(screened: _Screened, model: "LanguageModel", margin: float) -> Literal["enough", "perhaps", "too_little"]:
    """What the words of the result promise. What is close is settled alone, so that the batch decides nothing."""
    call = screened.call
    threshold = call.bound - margin
    if any(is_close(_promised(screened, sway), threshold) for sway in (0.0, SWAY)):
        call.losses = replace(call.losses, loss_without=loss_alone(model, call.question("loss_without", model)))
        screened.loss_near = unsaid_loss_alone(call, model)
    if _promised(screened, sway=0.0) >= threshold:
        return "enough"
    return "perhaps" if _promised(screened, SWAY) >= threshold else "too_little"


def _promised(screened: _Screened, sway: float) -> float:
    """The loss reduction in nats, if so much is taken off the loss of the tokens that the result does not say."""
    return screened.call.losses.loss_without - (1 - sway) * screened.loss_near


def _passes_near(screened: _Screened, model: "LanguageModel", margin: float, distance: int) -> bool:
    """Whether the reading near its place promises enough. What is close is settled alone."""
    call, threshold = screened.call, screened.call.bound - margin

    def alone() -> CallLosses:
        without = loss_alone(model, call.question("loss_without", model))
        return CallLosses(loss_without=without, loss_with_result=near_loss_alone(call, model, distance))

    near = CallLosses(loss_without=call.losses.loss_without, loss_with_result=screened.loss_near)
    near = settle(near, threshold, alone)
    call.losses = replace(call.losses, loss_without=near.loss_without)
    screened.loss_near = near.loss_with_result
    return near.can_reach(threshold)


def _is_control(call: CallToScore, share: float) -> bool:
    """Drawn by what the call is, so that equal runs have equal slices."""
    row = call.executed
    name = f"control\0{row.text_id}\0{row.tool}\0{row.token_index}\0{row.call_input}"
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64
