"""Checks that a stage has accounted for everything that it read, each row with a row or a reason: `toolformer verify`.

Each check is a `Stage.check`: (the rows of each table that the stage reads, its rows, its drops, names of the run's
tools) -> findings, a line each.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.stages import BROKEN, Augmented, Candidate, Document, Dropped, Scored

CallName = tuple[str, str, int, str]
"""Text, tool, char offset, input."""


def check_proposals(
    tables: tuple[Sequence[Document]], candidates: Sequence[Candidate], drops: Sequence[Dropped], tools: Sequence[str]
) -> Iterator[str]:
    """Each text has a call or a reason for each tool, and no call occurs twice."""
    (documents,) = tables
    accounted = {(row.text_id, row.tool) for row in candidates} | {(drop.text_id, drop.tool) for drop in drops}
    for document in documents:
        for tool in tools:
            if (document.text_id, tool) not in accounted:
                yield f"text {document.text_id} has neither a call of {tool} nor a reason why not"
    yield from _repeated(candidates)


def check_calls(
    tables: tuple[Sequence[Candidate], Sequence[Document]],
    calls: Sequence[Candidate],
    drops: Sequence[Dropped],
    _: Sequence[str],
) -> Iterator[str]:
    """Each call goes on once, or was dropped at its place."""
    before, after, dropped = set(map(_name, tables[0])), set(map(_name, calls)), Counter(map(_place, drops))
    missing = []
    for name in sorted(before ^ after):
        if name in before and dropped[name[:3]]:
            dropped[name[:3]] -= 1
        else:
            missing.append(name)
    if missing:
        yield f"{len(missing)} calls do not go on, or are from nowhere, such as {missing[0]}"
    if still_there := [*dropped.elements()]:
        yield f"{len(still_there)} calls were dropped and go on all the same, such as {min(still_there)}"
    yield from _repeated(calls)


def check_texts(
    tables: tuple[Sequence[Scored], Sequence[Document]],
    augmented: Sequence[Augmented],
    drops: Sequence[Dropped],
    _: Sequence[str],
) -> Iterator[str]:
    """Each kept call is in C* or gave way to another there, and a text of C* without its calls is the document."""
    scored, documents = tables
    texts = {document.text_id: document.text for document in documents}
    for text_id in repeated_texts(augmented, set()):
        yield f"text {text_id} is more than once in C*"
    for row in augmented:
        try:
            text = remove_calls(row.text, row.calls)
        except ValueError as error:
            yield f"text {row.text_id} of C* does not hold its calls: {error}"
            continue
        if text != texts.get(row.text_id):
            yield f"text {row.text_id} of C* without its calls is not the document"
    kept = Counter(_name(row)[:3] for row in scored if row.is_kept)
    inserted = Counter((row.text_id, call.tool, call.char_offset) for row in augmented for call in row.calls)
    gave_way = Counter(_place(drop) for drop in drops if drop.reason != BROKEN)
    # A broken call may be one that was not kept.
    broken = Counter(_place(drop) for drop in drops if drop.reason == BROKEN)
    if (inserted + gave_way) - kept or kept - inserted - gave_way - broken:
        yield (
            f"{kept.total()} calls were kept, {inserted.total()} stand in C*, {gave_way.total()} gave way to another"
        )


def repeated_texts(rows: Iterable[Document | Augmented], seen: set[str]) -> Iterator[str]:
    """The ids of texts that are in `seen` already; all ids are added to it."""
    for row in rows:
        if row.text_id in seen:
            yield row.text_id
        seen.add(row.text_id)


def _repeated(calls: Sequence[Candidate]) -> Iterator[str]:
    if repeated := [name for name, count in Counter(map(_name, calls)).items() if count > 1]:
        yield f"{len(repeated)} calls are there more than once, such as {min(repeated)}"


def _place(drop: Dropped) -> tuple[str, str, int]:
    return drop.text_id, drop.tool or "", drop.char_offset or 0


def _name(call: Candidate) -> CallName:
    return call.text_id, call.tool, call.char_offset, call.call_input
