"""Which functions are promoted: those that spare other texts more nats than it takes to write them once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from toolformer_ray.losses.net_saving import saving_at_place
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored

PROMOTED = "promoted"
TOO_COSTLY = "spares less than it costs"
NO_CALL = "not called in another text"
ONE_ANSWER = "the same answer to all calls"
NOT_TRIED = "not tried"
"""There were more than `most`, written in more texts."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of a function as a tool, on texts that did not teach it."""

    num_texts: int
    calls: int
    """Distinct calls that were answered."""
    kept: int
    """Places with a kept call."""
    net: float
    """Nats that the kept calls spare these texts, less what their decoys would have spared (`losses.net_saving`): 0 in
    expectation for answers that know nothing of the text."""
    num_answers: int
    """Different ones."""

    def verdict(self, cost: float) -> str:
        """PROMOTED, or why not. An answer that is always the same is a word and no function, whatever it spares."""
        if not self.calls:
            return NO_CALL
        if self.num_answers == 1:
            return ONE_ANSWER
        return PROMOTED if self.net > cost else TOO_COSTLY


def weigh(rows: Sequence[Scored], teachers: Collection[str], texts: Collection[str], rule: KeepRule) -> Tried:
    """What the rows of one tool on `texts` say, those left out that show how it is called."""
    others = set(texts) - set(teachers)
    answered = [row for row in rows if row.text_id in others and row.status == "ok"]
    by_place = sorted(answered, key=lambda row: (row.text_id, row.char_offset))
    places = [list(group) for _, group in groupby(by_place, key=lambda row: (row.text_id, row.char_offset))]
    return Tried(
        num_texts=len(others),
        calls=len(answered),
        kept=sum(any(row.is_kept for row in place) for place in places),
        net=sum(saving_at_place(place, rule).net for place in places),
        num_answers=len({row.result for row in answered}),
    )
