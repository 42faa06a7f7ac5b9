"""Stage 5, interleave: x* = x_{<i}, e(c, r), x_{>=i} for every kept call of every tool (paper, section 2).

Reads `scored` and `documents`. Writes `augmented`, one row for each text with at least one kept call.
Drops: `same_place`, a kept call at a place where another call, of the same or another tool, lowers the loss more, as
the filter measures it; `definition_not_kept`, a kept call that was asked behind calls that define what it uses (column
`needs`), one of which does not stand in the text.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from toolformer_ray.records.calls import insert_calls, render_call
from toolformer_ray.records.stages import Augmented, Document, Dropped, KeptCall, Scored


def interleave(scored: Iterable[Scored], documents: Iterable[Document]) -> tuple[list[Augmented], list[Dropped]]:
    """The augmented texts, in the order of the documents, and the calls that lost their place to another one."""
    kept: dict[str, list[Scored]] = {}
    for call in scored:
        if call.is_kept:
            kept.setdefault(call.text_id, []).append(call)
    augmented, dropped = [], []
    for document in documents:
        if calls := kept.get(document.text_id):
            inserted, lost = _one_per_place(calls)
            if inserted:
                augmented.append(_augment(document, inserted))
            dropped += lost
    return augmented, dropped


def _one_per_place(calls: Iterable[Scored]) -> tuple[list[Scored], list[Dropped]]:
    """The call with the largest loss reduction at each place of those whose needs are met, in the order of the text;
    the alphabet breaks ties. And the others, each with the reason."""
    ranked = sorted(calls, key=lambda call: (call.char_offset, -_reduction(call), call.tool, call.call_input))
    inserted: dict[int, Scored] = {}
    standing: set[tuple[str, str]] = set()
    lost: list[Dropped] = []
    for place, at_place in groupby(ranked, key=lambda call: call.char_offset):
        for call in at_place:
            if not standing.issuperset((call.tool, need) for need in call.needs):
                lost.append(_drop(call, "definition_not_kept"))
            elif inserted.setdefault(place, call) is not call:
                lost.append(_drop(call, "same_place"))
        # Only now: what a call needs stands before it, and not at its place.
        if place in inserted:
            standing.add((inserted[place].tool, inserted[place].call_input))
    return list(inserted.values()), lost


def _augment(document: Document, calls: Sequence[Scored]) -> Augmented:
    kept = tuple(
        KeptCall(
            tool=call.tool,
            call_input=call.call_input,
            result=call.result or "",
            char_offset=call.char_offset,
            loss_reduction=_reduction(call),
        )
        for call in calls
    )
    return Augmented(
        text_id=document.text_id,
        doc_id=document.doc_id,
        text=insert_calls(document.text, kept),
        num_calls=len(kept),
        calls=kept,
    )


def _reduction(call: Scored) -> float:
    reduction = call.loss_reduction if call.contrast is None else call.contrast
    if reduction is None:
        raise ValueError(f"call {call.call_input!r} of text {call.text_id} is kept without a loss reduction")
    return reduction


def _drop(call: Scored, reason: str) -> Dropped:
    return Dropped(
        stage="interleave",
        reason=reason,
        text_id=call.text_id,
        tool=call.tool,
        char_offset=call.char_offset,
        detail=render_call(call.tool, call.call_input, call.result),
        count=1,
    )
