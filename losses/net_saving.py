"""What the calls of a tool spare a text, net of what chance would have spared it: zero for answers that know nothing.

At a place of a text a tool's calls c have answers a_0 (the result) and a_1 .. a_K (its decoys), with losses L(a_k), and
the text has the loss L(epsilon) by itself. Each answer is judged as the filter judges a result, against the K others:

    gain(a_k)    mean of L(a_l) over l != k, minus L(a_k)
    value(a_k)   min(gain(a_k), L(epsilon)) if a call with this gain is kept, else 0        nats
    saved        the largest value(a_0) of the calls at the place
    by chance    the mean over k = 1 .. K of the largest value(a_k) of the calls at the place
    net          saved - by chance

No answer spares a text more than it costs, hence the bound. One call stands at a place, hence the largest; the decoys
have the same choice, so that many tries at a place are no merit.

Of a tool whose answers know nothing of the text, result and decoys may change places: a_0 .. a_K are exchangeable, all
value(a_k) have one distribution, and the expected net is exactly 0, whatever the model, the threshold and the number of
calls at a place. That needs decoys drawn as the answers are. Those of `tools.decoys.shapes` are only alike in shape: of
a tool whose random numbers begin with large digits more often than real ones do, the net is a little below 0.

A call that knows its answer loses next to nothing by the second term: its own result is among what its decoys are
compared with, and few of them would be kept.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What the calls at one place spare the text, in nats."""

    saved: float
    """By the best of the kept calls; 0 if none is kept."""
    by_chance: float
    """What the best of their decoys would have spared it, on average."""

    @property
    def net(self) -> float:
        """0 in expectation for a tool whose answers know nothing."""
        return self.saved - self.by_chance


def saving_at_place(calls: Iterable[Scored], rule: KeepRule) -> Saving:
    """What one tool's judged calls at one place of a text spare it; calls without decoys count for nothing."""
    values = [_values(call, rule) for call in calls if call.contrast is not None and call.losses_of_decoys]
    if not values:
        return Saving(saved=0.0, by_chance=0.0)
    num_worlds = max(len(decoys) for _, decoys in values)
    # In world k every call at the place has its k-th decoy for a result; one with fewer decoys begins again.
    worlds = [max(decoys[world % len(decoys)] for _, decoys in values) for world in range(num_worlds)]
    return Saving(saved=max(own for own, _ in values), by_chance=math.fsum(worlds) / num_worlds)


def _values(call: Scored, rule: KeepRule) -> tuple[float, Sequence[float]]:
    """value(a_0), and value(a_k) of each decoy."""
    losses = (call.loss_in_place or 0.0, *call.losses_of_decoys)
    total, others = math.fsum(losses), len(losses) - 1
    gains = [(total - loss) / others - loss for loss in losses[1:]]
    own = min(call.contrast or 0.0, call.loss_without) if call.is_kept else 0.0
    return own, [_value(replace(call, contrast=gain), rule) for gain in gains]


def _value(call: Scored, rule: KeepRule) -> float:
    return min(call.contrast or 0.0, call.loss_without) if rule.keeps(call) else 0.0
