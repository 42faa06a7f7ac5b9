"""Rows as a corpus of real text gives them, in number, shape and kind, but made of arithmetic: no model, no tool.

Every row is a pure function of the seed and of the row before it, so two runs can be compared exactly. How often a tool
is offered, called, answered and kept is what was measured on Digital.gov (docs/results.md, "Real text").
"""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from toolformer_ray.records.stages import Candidate, Document, Dropped, Executed, Scored

WORDS = (
    "the agency asked how many people had read the page since it was new and what they did not find there so the team "
    "wrote it again in plain words and counted once more after two weeks which took less time than they had feared "
)
MEDIAN_CHARS = 600
LARGEST_TEXT_CHARS = 4_000
_FILLER = WORDS * (LARGEST_TEXT_CHARS // len(WORDS) + 2)


@dataclass(frozen=True)
class ToolProfile:
    """How one tool fares on real text."""

    name: str
    """As it is written in a call."""
    offered: float
    """Share of the texts that it is offered."""
    calls_per_text: float
    """Distinct calls per text, over all texts."""
    answered: float
    """Share of the calls that get an answer; of the others, half get an empty one and half are refused."""
    kept: float
    """Share of all calls that the filter keeps."""


PROFILES = {
    "calculator": ToolProfile("Calculator", offered=0.4, calls_per_text=0.78, answered=0.999, kept=0.108),
    "calendar": ToolProfile("Calendar", offered=1.0, calls_per_text=3.98, answered=1.0, kept=0.068),
    "search": ToolProfile("WikiSearch", offered=1.0, calls_per_text=0.59, answered=0.8, kept=0.055),
}
"""By the tool's key on the command line."""
BY_NAME = {profile.name: profile for profile in PROFILES.values()}


def draw(*key: object) -> list[float]:
    """Eight numbers, at least 0 and below 1, that depend on the key alone.

    >>> draw(1, "text") == draw(1, "text")
    True
    """
    digest = hashlib.blake2b("|".join(map(str, key)).encode(), digest_size=32).digest()
    return [int.from_bytes(digest[start : start + 4]) / 2.0**32 for start in range(0, 32, 4)]


def log_normal(spread: float, *key: object) -> float:
    """A number whose logarithm is normal with this standard deviation and mean 0 (Box and Muller)."""
    first, second, *_ = draw(*key)
    return math.exp(spread * math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(2.0 * math.pi * second))


def make_document(seed: int, number: int) -> Document:
    """The text of this number in the corpus; lengths are log-normal."""
    num_chars = min(LARGEST_TEXT_CHARS, max(80, round(MEDIAN_CHARS * log_normal(0.6, seed, "text", number))))
    start = int(draw(seed, "start", number)[0] * len(WORDS))
    text = f"Text {number}: {_FILLER[start : start + num_chars]}"
    names = {"text_id": f"{number:032x}-0", "doc_id": str(number), "part": 0, "source": "simulation"}
    return Document(**names, text=text, title=None, url=None, date=None)


def propose(seed: int, documents: Sequence[Document], tools: Collection[str]) -> tuple[list[Candidate], list[Dropped]]:
    """The calls of the given tools, by name; a text without one of a tool is dropped for it, with the reason."""
    calls: list[Candidate] = []
    drops: list[Dropped] = []
    for document in documents:
        for tool in tools:
            profile = BY_NAME[tool]
            is_offered, how_many, *places = draw(seed, "propose", document.text_id, tool)
            mean = profile.calls_per_text / profile.offered
            number = int(math.log(1.0 - how_many) / math.log(mean / (1.0 + mean)))
            calls_of_text = [_candidate(document, tool, places[n % len(places)], n) for n in range(min(number, 25))]
            if is_offered < profile.offered and calls_of_text:
                calls += calls_of_text
            else:
                reason = "no_position" if is_offered < profile.offered else "not_offered"
                where = {"stage": "propose", "text_id": document.text_id, "tool": tool, "char_offset": None}
                drops.append(Dropped(**where, reason=reason, detail=None, count=1))
    return calls, drops


def _candidate(document: Document, tool: str, place: float, number: int) -> Candidate:
    char_offset = max(document.text.rfind(" ", 0, 8 + int(place * (len(document.text) - 8))), 0)
    return Candidate(
        text_id=document.text_id,
        tool=tool,
        token_index=char_offset // 4,
        char_offset=char_offset,
        open_probability=0.05 + 0.9 * place,
        call_input=f"{document.doc_id} + {number}",
        num_samples=1 + number % 3,
        loss_without=1.0 + 5.0 * place,
    )


def answer(seed: int, tool: str, call_input: str) -> str | None:
    """What the tool says: an answer, empty if it has none, None for an input that it refuses."""
    whether, value, *_ = draw(seed, "execute", tool, call_input)
    answered = BY_NAME[tool].answered
    if whether < answered:
        return f"{int(value * 10_000)} of {tool}"
    return "" if whether < (1.0 + answered) / 2 else None


def execute(seed: int, call: Candidate) -> Executed:
    """A call with its answer."""
    result = answer(seed, call.tool, call.call_input)
    status = "bad_input" if result is None else "ok" if result else "empty"
    return Executed(**vars(call), status=status, result=result or None, seconds=0.0, from_cache=False)


def score(seed: int, call: Executed) -> Scored:
    """A call with its losses; one without a result has none and is not kept."""
    losses: dict[str, float | None] = dict.fromkeys(("loss_with_call", "loss_with_result", "loss_reduction"))
    is_kept = False
    if call.result:
        profile = BY_NAME[call.tool]
        whether, gain, *_ = draw(seed, "score", call.text_id, call.tool, call.call_input, call.char_offset, call.result)
        is_kept = whether < profile.kept / profile.answered
        reduction = 1.0 + gain if is_kept else gain - 0.5
        losses = {
            "loss_with_call": call.loss_without,
            "loss_with_result": call.loss_without - reduction,
            "loss_reduction": reduction,
        }
    return Scored(**vars(call) | losses, input_sees_future=False, sees_future=False, is_kept=is_kept)
