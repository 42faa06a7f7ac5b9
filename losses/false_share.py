"""How many of the kept calls chance would have kept: the false share, estimated without labels.

A call that knows nothing has a result that is no better than its decoys. Then result and decoys could change places,
and each decoy shows what such a result may look like: its own contrast is the mean loss with the OTHER decoys,
minus the loss with it. The result is left out there, since a good one would make every decoy look bad.

    passing           share of decoys that would have been kept by their own contrast
    knowing nothing   share of results below 0 over share of decoys below 0, at most 1          (Storey 2002)
    false share       calls * passing * knowing nothing / kept calls

With K decoys a decoy is compared with K - 1 others, whose mean scatters a little more than that of K, so the estimate
errs towards too much. It is an average over all calls of a tool.

It does not see what no decoy can show: an answer that is nearly right (184 for 185, of which the first tokens are the
same), a slip behind the last token that counts, a right answer at a place where nobody would call, and an answer that
the text would have had anyway.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from toolformer_ray.losses.criteria import decoy_contrasts
from toolformer_ray.records.stages import Scored


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Counts of one tool's calls from which the false share is estimated; those of several shards may be added up."""

    kept: int = 0
    calls: int = 0
    """Calls with decoys."""
    calls_below: int = 0
    """Of these, calls with a contrast below 0."""
    decoys: int = 0
    decoys_passing: int = 0
    """Decoys that would have been kept in the result's stead."""
    decoys_below: int = 0

    @property
    def false_share(self) -> float | None:
        """From 0 to 1; None if nothing was kept or compared.

        >>> Chance(kept=50, calls=100, calls_below=20, decoys=300, decoys_passing=6, decoys_below=150).false_share
        0.016
        """
        if not self.kept or not self.decoys:
            return None
        knowing_nothing = min(1.0, self.calls_below * self.decoys / (self.calls * max(1, self.decoys_below)))
        return min(1.0, self.calls * self.decoys_passing / self.decoys * knowing_nothing / self.kept)


def count_chance(rows: Iterable[Scored]) -> Chance:
    """The counts over judged calls of one tool."""
    compared = [row for row in rows if row.contrast is not None]
    decoys = [contrast for row in compared for contrast in decoy_contrasts(row.losses_of_decoys)]
    return Chance(
        kept=sum(row.is_kept for row in compared),
        calls=len(compared),
        calls_below=sum((row.contrast or 0.0) < 0 for row in compared),
        decoys=len(decoys),
        decoys_passing=sum(row.decoys_passing or 0 for row in compared),
        decoys_below=sum(contrast < 0 for contrast in decoys),
    )


def lowest_threshold(
    calls: Sequence[tuple[float, float, Sequence[float]]], lowest: float, max_false_share: float
) -> float:
    """The lowest tau_d, at least `lowest`, at which the false share of one tool's calls is small enough; else infinity.

    `calls` are loss_without, contrast and losses_of_decoys of all that are not struck. Only contrasts of calls are
    tried: between two of them the kept calls do not change.
    """
    # A call is kept at every threshold up to the smaller of its contrast and L_i(epsilon), a decoy likewise.
    reach = np.sort(np.array([min(contrast, without) for without, contrast, _ in calls], np.float32))
    of_decoys = [(each, without) for without, _, losses in calls for each in decoy_contrasts(losses)]
    reach_of_decoys = np.sort(np.array([min(pair) for pair in of_decoys], np.float32))
    fixed = {
        "calls": len(calls),
        "calls_below": sum(contrast < 0 for _, contrast, _ in calls),
        "decoys": len(of_decoys),
        "decoys_below": sum(contrast < 0 for contrast, _ in of_decoys),
    }
    tried = np.unique(np.append(reach[reach >= np.float32(lowest)], np.float32(lowest)))
    kept = len(reach) - np.searchsorted(reach, tried)
    passing = len(of_decoys) - np.searchsorted(reach_of_decoys, tried)
    for threshold, num_kept, num_passing in zip(tried, kept, passing, strict=True):
        share = Chance(kept=int(num_kept), decoys_passing=int(num_passing), **fixed).false_share
        if share is not None and share <= max_false_share:
            return float(threshold)
    return math.inf
