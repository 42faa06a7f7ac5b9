"""Moves what one model has proposed to the token borders of the model that scores it, since their tokens differ.

A place is a char offset. Where no token of the scoring model begins there, a call stands before the next token if only
white space and opening signs lie between, else before the token that the place is inside of. Calls that thereby become
equal are one call. How many were moved is counted, and each row says from where (`Candidate.proposed_offset`).

Drops: `no_border`, a call in a text that has no place for the scoring model.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.wanted_places import before_openers

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import TextTokenizer


class Borders:
    """Where a call may stand in a text for the model that scores: the char offsets, and their tokens."""

    def __init__(self, text: str, tokenizer: "TextTokenizer") -> None:
        places = tokenizer.places(text)
        self._text = text
        self.tokens = {first: n for n, first in enumerate(places.char_offsets) if places.is_place[n]}
        """Token index by char offset."""
        self._offsets = sorted(self.tokens)

    def nearest(self, offset: int) -> int | None:
        """The border to which a char offset is moved; itself if it is one, None if the text has none before it."""
        number = bisect_left(self._offsets, offset)
        before, after = self._offsets[:number], self._offsets[number:]
        if after and self._is_nothing_between(offset, after[0]):
            return after[0]
        return before[-1] if before else None

    def _is_nothing_between(self, offset: int, border: int) -> bool:
        between = self._text[offset:border]
        first = offset + len(between) - len(between.lstrip())
        return first == border or before_openers(self._text, border) <= first


def move_to_borders(
    candidates: Iterable[Candidate],
    dropped: Iterable[Dropped],
    documents: Iterable[Document],
    tokenizer: "TextTokenizer",
) -> tuple[list[Candidate], list[Dropped]]:
    """The calls and drops of a proposer, in their order, with tokens and char offsets of the model that scores.

    The losses that the proposer may have are not the scoring model's, so they are forgotten.
    """
    texts = {document.text_id: document.text for document in documents}
    known: dict[str, Borders] = {}
    moved: dict[tuple[str, str, int, str], Candidate] = {}
    drops = [_move_drop(drop, _borders(drop.text_id, known, texts, tokenizer)) for drop in dropped]
    for call in candidates:
        borders = _borders(call.text_id, known, texts, tokenizer)
        offset = borders.nearest(call.char_offset)
        if offset is None:
            drops.append(_no_border(call))
            continue
        key = (call.text_id, call.tool, offset, call.call_input)
        here = replace(
            call,
            token_index=borders.tokens[offset],
            char_offset=offset,
            loss_without=math.nan,
            loss_with_call=None,
            proposed_offset=None if offset == call.char_offset else call.char_offset,
        )
        moved[key] = _merge(moved[key], here) if key in moved else here
    return list(moved.values()), _in_order(drops, texts)


def _borders(text_id: str, known: dict[str, Borders], texts: Mapping[str, str], tokenizer: "TextTokenizer") -> Borders:
    if text_id not in known:
        known[text_id] = Borders(texts[text_id], tokenizer)
    return known[text_id]


def _merge(first: Candidate, second: Candidate) -> Candidate:
    """Two places that became one: the samples are added, and the likelier opening tells the place."""
    likelier = max(first, second, key=lambda call: call.open_probability)
    is_at_home = None in (first.proposed_offset, second.proposed_offset)
    return replace(
        first,
        open_probability=likelier.open_probability,
        num_samples=first.num_samples + second.num_samples,
        proposed_offset=None if is_at_home else likelier.proposed_offset,
    )


def _move_drop(drop: Dropped, borders: Borders) -> Dropped:
    """The drop at the border where its calls stand; where there is none, it stays."""
    offset = None if drop.char_offset is None else borders.nearest(drop.char_offset)
    return drop if offset is None else replace(drop, char_offset=offset)


def _no_border(call: Candidate) -> Dropped:
    return Dropped(
        stage="propose",
        reason="no_border",
        text_id=call.text_id,
        tool=call.tool,
        char_offset=None,
        detail=call.call_input,
        count=1,
    )


def _in_order(drops: Sequence[Dropped], texts: Mapping[str, str]) -> list[Dropped]:
    rank = {text_id: number for number, text_id in enumerate(texts)}
    return sorted(drops, key=lambda drop: rank[drop.text_id])
