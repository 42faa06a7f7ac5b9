"""Rules by which scored calls may be kept, each at the threshold that serves it best."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from toolformer_ray.losses.false_share import Chance, decoy_contrasts

PRECISION = 0.95
Row = Mapping[str, Any]
"""A row of `scored` and its label."""


def _contrast(row: Row) -> float:
    return fmean(row["losses_of_decoys"]) - row["loss_in_place"]


RULES: Mapping[str, Callable[[Row], float]] = {
    "paper: L- minus L+, before the text": lambda row: row["loss_reduction"],
    "mean decoy, in place, where L(eps) reaches it": lambda row: min(_contrast(row), row["loss_without"]),
    "mean decoy, in place": _contrast,
    "least decoy, in place": lambda row: min(row["losses_of_decoys"]) - row["loss_in_place"],
    "mean decoy where L(r) < L(eps)": lambda row: min(_contrast(row), 9 * (row["loss_without"] - row["loss_in_place"])),
}


@dataclass(frozen=True, kw_only=True)
class Best:
    """The lowest threshold at which a rule is precise enough, and what it keeps there."""

    threshold: float
    right: int
    wrong: int
    stray: int


def keeps(value: Callable[[Row], float], rows: Sequence[Row], threshold: float) -> Best:
    """What a rule keeps at a threshold."""
    kept = [row["label"] for row in rows if value(row) >= threshold]
    counts = {label: kept.count(label) for label in ("right", "wrong", "stray")}
    return Best(threshold=threshold, **counts)


def best(value: Callable[[Row], float], rows: Sequence[Row]) -> Best:
    """The threshold that keeps most right calls at PRECISION or more; an infinite one if there is none."""
    tried = [keeps(value, rows, threshold) for threshold in sorted({value(row) for row in rows})]
    precise = [one for one in tried if one.right >= PRECISION * (one.right + one.wrong + one.stray)]
    return max(precise, key=lambda one: one.right, default=keeps(value, rows, float("inf")))


def chance_at(rows: Sequence[Row], threshold: float) -> Chance:
    """What tells the false share of the contrast at a threshold."""
    decoys = [(each, row["loss_without"]) for row in rows for each in decoy_contrasts(row["losses_of_decoys"])]
    return Chance(
        kept=sum(min(_contrast(row), row["loss_without"]) >= threshold for row in rows),
        calls=len(rows),
        calls_below=sum(_contrast(row) < 0 for row in rows),
        decoys=len(decoys),
        decoys_passing=sum(min(pair) >= threshold for pair in decoys),
        decoys_below=sum(contrast < 0 for contrast, _ in decoys),
    )
