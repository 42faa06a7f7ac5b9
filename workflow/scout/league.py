"""The league table of tools: what each keeps, spares and costs per 1,000 texts, with intervals.

Every figure is a sum over texts, so it is resampled by texts: as many are drawn again, with replacement, as there are,
a thousand times, and an interval reaches from the 2.5th to the 97.5th of a hundred parts. All tools are resampled with
the same draws, which depend on the seed alone. Strata are resampled together, so the intervals are rather too wide.

Not covered: a thing that no text of the sample has would have an interval of width 0. For counts its upper end is the
one of a Poisson number of which none were seen, 3.84 texts' worth; for nats there is nothing to go by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

import numpy as np

from toolformer_ray.losses.false_share import Chance, count_chance
from toolformer_ray.losses.net_saving import Saving, saving_at_place
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored
from toolformer_ray.workflow.totals import Z_95, Total

PER = 1_000
"""Figures are per so many texts."""
NUM_DRAWS = 1_000
_OF_CHANCE = tuple(field.name for field in fields(Chance))


@dataclass(frozen=True, kw_only=True)
class ToolScore:
    """One tool's line, per 1,000 texts of the corpus."""

    tool: str
    """Its name in calls."""
    net: Total
    """Nats that its kept calls spare, less what their decoys would have spared: 0 in expectation for a tool that knows
    nothing (`losses.net_saving`). By this the tools are ranked."""
    saved: Total
    """Nats that its kept calls spare."""
    kept: Total
    """Calls that would stand in C* if the tool were alone: places with a kept call."""
    false_share: Total | None
    """Of its kept calls, as estimated by decoys (`losses.false_share`); None if nothing was kept."""
    calls: Total
    """Distinct calls that are put to it, or answered from what is known."""
    seconds: Total
    """The time that it took for them, one after another; none for answers that were known."""
    model_seconds: float
    """The time that the model took for its calls, measured as a whole."""
    first: float
    """The share of the draws in which it is the first of all."""

    @property
    def is_above_chance(self) -> bool:
        """Whether the interval of its net nats is above 0."""
        return self.net.low > 0


def make_league(
    texts: Mapping[str, float],
    scored: Mapping[str, Sequence[Scored]],
    rules: Mapping[str, KeepRule],
    model_seconds: Mapping[str, float],
    seed: int = 0,
) -> list[ToolScore]:
    """The tools by rank. Raises KeyError for a row of a text that is not among them.

    `texts` are the identifiers of the sampled texts with the number of texts that each stands for; `scored`, `rules`
    and `model_seconds` go by the tools' names.
    """
    weights = np.array([*texts.values()], float)
    # Row 0 are the texts as they are, each of the others says how often a text was drawn.
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(len(weights), [1 / len(weights)] * len(weights), NUM_DRAWS)
    shares = np.vstack([np.ones(len(weights)), draws]) * weights
    shares = PER * shares / shares.sum(axis=1, keepdims=True)
    sums = {tool: shares @ _per_text(list(texts), scored[tool], rules[tool]) for tool in rules}
    nets = np.array([found[:, 0] for found in sums.values()])
    # Of equal ones, such as tools of which nothing is kept, none is the first.
    is_first = (nets == nets.max(axis=0)) & ((nets == nets.max(axis=0)).sum(axis=0) == 1)
    scores = [
        _score(tool, found, len(weights), model_seconds[tool] * PER / len(weights), float(first[1:].mean()))
        for (tool, found), first in zip(sums.items(), is_first, strict=True)
    ]
    return sorted(scores, key=lambda score: (-score.net.expected, score.tool))


def _per_text(text_ids: Sequence[str], rows: Sequence[Scored], rule: KeepRule) -> np.ndarray:
    """Of each text: net and saved nats, places with a kept call, calls, seconds, and the counts of `Chance`."""
    table = np.zeros((len(text_ids), 5 + len(_OF_CHANCE)))
    number = {text_id: at for at, text_id in enumerate(text_ids)}
    by_place = sorted(rows, key=lambda row: (row.text_id, row.char_offset))
    for text_id, group in groupby(by_place, key=lambda row: row.text_id):
        calls = list(group)
        places = [list(at_place) for _, at_place in groupby(calls, key=lambda row: row.char_offset)]
        savings: list[Saving] = [saving_at_place(place, rule) for place in places]
        chance = vars(count_chance(calls))
        table[number[text_id]] = [
            sum(saving.net for saving in savings),
            sum(saving.saved for saving in savings),
            sum(any(call.is_kept for call in place) for place in places),
            len(calls),
            sum(call.seconds for call in calls),
            *(chance[name] for name in _OF_CHANCE),
        ]
    return table


def _score(tool: str, sums: np.ndarray, num_texts: int, model_seconds: float, first: float) -> ToolScore:
    net, saved, kept, calls, seconds = (_interval(sums[:, column]) for column in range(5))
    return ToolScore(
        tool=tool,
        net=net,
        saved=saved,
        kept=_or_unseen(kept, num_texts),
        false_share=_false_share(sums[:, 5:]),
        calls=_or_unseen(calls, num_texts),
        seconds=seconds,
        model_seconds=model_seconds,
        first=first,
    )


def _false_share(counts: np.ndarray) -> Total | None:
    shares = [Chance(**dict(zip(_OF_CHANCE, row, strict=True))).false_share for row in counts.tolist()]
    if shares[0] is None:
        return None
    return _interval(np.array([share for share in shares if share is not None]))


def _interval(values: np.ndarray) -> Total:
    low, high = np.percentile(values[1:], (2.5, 97.5)) if len(values) > 1 else (values[0], values[0])
    return Total(expected=float(values[0]), low=float(low), high=float(high))


def _or_unseen(count: Total, num_texts: int) -> Total:
    return count if count.expected else Total(expected=0.0, low=0.0, high=PER * Z_95**2 / num_texts)
