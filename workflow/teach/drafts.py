"""Drafts of demonstrations: kept calls in the corpus's own sentences, and the sets of them that are tried.

A text of the corpus with a call that the filter kept is what a demonstration should be: the tool has answered, so its
input passed the schema, and the answer told the model something. A draft is the sentence of the call, with as many
before it as hold what the input says. Left out are calls whose answer the text has had before, since from those a model
learns to repeat what it reads, and texts that have something like a call of their own.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolformer_ray.records.calls import find_calls, render_call
from toolformer_ray.records.errors import one_line
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.decoys.draw import draw

FEWEST_DRAFTS = 2
"""With fewer there is nothing to teach by."""
WORDS_AFTER = 4
"""In how many words behind a call its result should stand."""
FEWEST_WORDS_BEFORE = 3
MOST_CHARS = 400
"""Of a draft; a longer one would cost more than it shows."""
_SENTENCE_END = re.compile(r"[.!?…]+[\"'\u201d\u2019)]*(?:\s+|$)|\n+|$")
_WORD = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|[^\W\d_]+")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A demonstration that may be."""

    text: str
    """With the call, without its result, on one line."""
    text_id: str
    shape: str
    """The call's input with all digits and letters alike: drafts of one shape show the same."""
    is_confirmed: bool
    """Whether the words behind the call say the result."""
    nats: float
    """What the call spares the text."""


def find_drafts(scored: Iterable[Scored], documents: Iterable[Document]) -> list[Draft]:
    """The drafts that kept calls give, those first that spare the text the most.

    Those that the text does not confirm are there only if too few are confirmed: some may be wrong, but of a tool whose
    answers are long no text says them word for word.
    """
    texts = {document.text_id: document.text for document in documents}
    kept = [row for row in scored if row.is_kept]
    drafts = [draft for row in kept if (draft := _draft(row, texts[row.text_id])) is not None]
    best_of_text: dict[str, Draft] = {}
    for draft in sorted(drafts, key=lambda draft: (-draft.is_confirmed, -draft.nats, draft.text)):
        best_of_text.setdefault(draft.text, draft)
    found = list(best_of_text.values())
    confirmed = [draft for draft in found if draft.is_confirmed]
    return confirmed if len(confirmed) >= FEWEST_DRAFTS else found


def candidate_sets(drafts: Sequence[Draft], size: int, number: int) -> Iterator[Sequence[Draft]]:
    """Up to so many different sets of drafts, from different texts and of different shapes as far as there are."""
    half = drafts[: max(size, (len(drafts) + 1) // 2)]
    first = _varied(drafts, size)
    orders: list[Sequence[Draft]] = [
        drafts,
        [draft for draft in drafts if draft not in first],
        sorted(half, key=lambda draft: (len(draft.text), draft.text)),
        *(_shuffled(half, at) for at in range(4 * number)),
    ]
    seen: set[frozenset[str]] = set()
    for order in orders:
        chosen = _varied(order, size)
        names = frozenset(draft.text for draft in chosen)
        if len(seen) < number and names not in seen and (len(chosen) == min(size, len(drafts)) or not seen):
            seen.add(names)
            yield chosen


def _shuffled(drafts: Sequence[Draft], key: int) -> list[Draft]:
    return sorted(drafts, key=lambda draft: draw(2**32, key, draft.text))


def _varied(order: Sequence[Draft], size: int) -> list[Draft]:
    """The first drafts, those of a text or a shape that is there already only if there are not enough others."""
    chosen: list[Draft] = []
    for draft in order:
        if all(draft.shape != other.shape and draft.text_id != other.text_id for other in chosen):
            chosen.append(draft)
    chosen += [draft for draft in order if draft not in chosen]
    return chosen[:size]


def _draft(row: Scored, text: str) -> Draft | None:
    result, before, after = row.result or "", text[: row.char_offset], text[row.char_offset :]
    following = " ".join(after.split()[:WORDS_AFTER])
    if _stands(result, before):
        return None
    end = row.char_offset + _sentence_end(after)
    start = _start(before, row.call_input)
    call = render_call(row.tool, row.call_input)
    shown = one_line(text[start : row.char_offset] + call + text[row.char_offset : end])
    if len(shown) > MOST_CHARS or len(before[start:].split()) < FEWEST_WORDS_BEFORE or len(find_calls(shown)) != 1:
        return None
    return Draft(
        text=shown,
        text_id=row.text_id,
        shape=re.sub(r"[^\W\d_]+", "a", re.sub(r"[0-9][0-9.,]*", "0", row.call_input)).replace(" ", ""),
        is_confirmed=_stands(result, following),
        nats=min(row.contrast or row.loss_reduction or 0.0, row.loss_without),
    )


def _sentence_end(after: str) -> int:
    """Where the sentence ends that goes on behind the call, counted from there; one word at least is in it."""
    first_word = len(after) - len(after.lstrip())
    first_word += len((after.split() or [""])[0])
    # A sentence may end with that word.
    ends = (match for match in _SENTENCE_END.finditer(after) if match.end() >= first_word)
    found = next(ends)
    return found.start() + len(found.group().rstrip())


def _start(before: str, call_input: str) -> int:
    """The nearest beginning of a sentence from which on the text before the call holds the words of its input.

    Where the whole text does not hold them, the nearest of those that hold the most.
    """
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(before) if match.end() < len(before.rstrip()))]
    wanted = set(_words(call_input))
    lacking = {start: len(wanted - set(_words(before[start:]))) for start in reversed(starts)}
    return min(lacking, key=lambda start: (lacking[start], -start))


def _words(text: str) -> list[str]:
    return [word.casefold().replace(",", "") for word in _WORD.findall(text)]


def _stands(result: str, text: str) -> bool:
    """Whether a text says the result, word for word."""
    said, asked = _words(text), _words(result)
    return bool(asked) and any(said[at : at + len(asked)] == asked for at in range(len(said)))
