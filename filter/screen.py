"""An approximate screen before the filter, off by default: most calls are lost, and an estimate of L+ shows which.

Only calls with L_i(epsilon) less the estimate >= tau_f - margin are scored exactly. Two estimates to choose from:

    overlap   the result makes sure of the tokens that occur in it, and hardly moves others    filter/overlap.py
    near      the call with its result stands a few tokens before x_i, not before the text     filter/near.py

Some good calls are lost; how many, the control slice tells: a share of those that did not pass, drawn by a hash, is
scored all the same.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from filter.near import NearEstimate
from filter.overlap import OverlapEstimate
from filter.trial import Trial, loss_without_alone
from lm.weighted_loss import CLOSE_NATS, is_below

if TYPE_CHECKING:
    from lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ScreenOptions:
    """Whether calls are screened before they are scored, and how its losses are watched."""

    screen_margin: float | None = None
    """Score exactly only calls whose loss reduction, by the screen's estimate, is at least the threshold less this
    margin, in nats. Larger costs more and loses fewer; by default every call is scored."""
    screen_by: Literal["overlap", "near"] = "overlap"
    """The estimate. overlap: the result makes sure of every token that occurs in it and hardly moves the others, which
    costs one pass a text. near: the call stands a few tokens before its place, which costs a short pass for each."""
    screen_distance: int = 32
    """How many tokens before its place `--screen-by near` puts a call. Fewer cost less; models that have not seen calls
    inside texts need a dozen or more."""
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


class Estimate(Protocol):
    """Of L+, for less than L+ costs."""

    def losses(self, trials: Sequence[Trial]) -> list[float]:
        """Of each trial, weighted nats."""

    def loss_alone(self, trial: Trial) -> float:
        """The same from batches of one sequence, so that nothing but the trial decides its last digits."""

    def is_exact(self, trial: Trial, /) -> bool:
        """Whether the estimate is L+ itself."""


def screen(trials: Sequence[Trial], model: "LanguageModel", options: ScreenOptions) -> list[Trial]:
    """Those that are to be scored exactly; all of them if there is no margin. Every trial is told what it got.

    The trials have a result and fit the window.
    """
    if options.screen_margin is None:
        return list(trials)
    estimate = _estimate(model, options)
    for trial, loss in zip(trials, estimate.losses(trials), strict=True):
        trial.loss_near = loss
    for trial in trials:
        if _passes(trial, model, estimate, options.screen_margin):
            trial.screening = "passed"
            if estimate.is_exact(trial):
                trial.loss_with_result = trial.loss_near
        else:
            trial.screening = "control" if _is_control(trial, options.screen_control) else "left_out"
    return [trial for trial in trials if trial.screening != "left_out"]


def _estimate(model: "LanguageModel", options: ScreenOptions) -> Estimate:
    return OverlapEstimate(model) if options.screen_by == "overlap" else NearEstimate(model, options.screen_distance)


def _passes(trial: Trial, model: "LanguageModel", estimate: Estimate, margin: float) -> bool:
    """Whether the call is worth scoring. What is close is settled alone, so that the batch decides nothing."""
    bound = trial.bound - margin
    if abs(trial.loss_without - trial.loss_near - bound) <= CLOSE_NATS:
        trial.loss_without = loss_without_alone(trial, model)
        trial.loss_near = estimate.loss_alone(trial)
    return not is_below(trial.loss_without - trial.loss_near, bound)


def _is_control(trial: Trial, share: float) -> bool:
    """Drawn by what the call is, so that equal runs have equal slices."""
    call = trial.executed
    name = f"control\0{call.text_id}\0{call.tool}\0{call.token_index}\0{call.call_input}"
    drawn = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return drawn < share * 2**64
