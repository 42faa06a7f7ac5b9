"""Calls of which it is known whether they are right: the due calls of texts, and others made from them.

    right   the due call at its place
    wrong   a due call of another place with another result, at this place
    stray   a due call of the text at another place of it

Two sources: texts of GSM8K with their due calls, for the calculator; sentences of T-REx with their objects, for
question answering by a table of its relation.
"""

import bisect
import gzip
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolformer_ray.records.stages import Document, Executed

Label = Literal["right", "wrong", "stray"]
STRAYS = 3
"""Of each text, at most."""
QUESTIONS = {
    "P19": "Where was {} born?",
    "P20": "Where did {} die?",
    "P27": "Of which country is {} a citizen?",
    "P127": "Who owns {}?",
    "P140": "What is the religion of {}?",
    "P159": "Where is the headquarters of {}?",
    "P176": "Who makes {}?",
    "P178": "Who developed {}?",
    "P264": "What is the record label of {}?",
    "P495": "In which country was {} created?",
    "P740": "Where was {} founded?",
}


@dataclass(frozen=True, kw_only=True)
class DueCall:
    """A call that is right before one character of a text."""

    char_offset: int
    call_input: str
    result: str


@dataclass(frozen=True, kw_only=True)
class KnownText:
    """A text with all its due calls."""

    text_id: str
    text: str
    due: Sequence[DueCall]


def read_sums(folder: Path, first: int, number: int) -> list[KnownText]:
    """Texts of GSM8K whose due calls stand before the numbers that they give."""
    due = {row["id"]: row["calls"] for row in _rows(folder / "due_calls.jsonl.gz")}
    found = []
    for row in itertools.islice(_rows(folder / "docs.jsonl.gz"), first, first + number):
        calls = [
            DueCall(char_offset=call["char_offset"], call_input=call["expression"], result=call["result"])
            for call in due.get(row["id"], [])
        ]
        text = row["text"]
        if calls := [call for call in calls if text.startswith(call.result, call.char_offset)]:
            found.append(KnownText(text_id=row["id"], text=text, due=calls))
    return found


def read_questions(folder: Path, relation: str, first: int, number: int) -> list[KnownText]:
    """Sentences of a relation of T-REx with one question each, which asks for its object."""
    found = []
    for row in itertools.islice(_rows(folder / f"{relation}.jsonl.gz"), first, first + number):
        for evidence in row.get("evidences", []):
            sentence, answer = evidence["masked_sentence"], row["obj_label"]
            place = sentence.find("[MASK]")
            if sentence.count("[MASK]") == 1 and len(sentence) < 400 and place > 25 and answer not in sentence:
                text = sentence.replace("[MASK]", evidence.get("obj_surface") or answer)
                question = f'"{QUESTIONS[relation].format(row["sub_label"])}"'
                due = [DueCall(char_offset=place, call_input=question, result=answer)]
                found.append(KnownText(text_id=f"{relation}-{row['uuid']}", text=text, due=due))
                break
    return found


def write_table(folder: Path, relation: str, out: Path) -> None:
    """All questions of a relation with their answers, as `qa.table` reads them."""
    with out.open("w", encoding="utf-8") as file:
        for row in _rows(folder / f"{relation}.jsonl.gz"):
            asked = {"question": QUESTIONS[relation].format(row["sub_label"]), "answer": row["obj_label"]}
            file.write(json.dumps(asked) + "\n")


def label_calls(texts: Sequence[KnownText], tool: str) -> Iterator[tuple[Label, Document, Executed]]:
    """The right calls of every text, a wrong one for each, and a few stray ones; the same every time."""
    pool = [call for text in texts for call in text.due]
    for text in texts:
        rng = random.Random(text.text_id)
        places: list[tuple[Label, int, DueCall]] = [("right", call.char_offset, call) for call in text.due]
        for call in text.due:
            others = [other for other in pool if other.result != call.result]
            places.append(("wrong", call.char_offset, rng.choice(others)))
        taken = {call.char_offset for call in text.due}
        starts = [n + 1 for n, character in enumerate(text.text[:-1]) if character == " " and n + 1 not in taken]
        for start in rng.sample(starts, min(STRAYS, len(starts))):
            call = rng.choice(text.due)
            if not text.text.startswith(call.result, start):
                places.append(("stray", start, call))
        document = _document(text)
        yield from ((label, document, _call(text, tool, offset, call)) for label, offset, call in places)


def at_token(call: Executed, text: str, char_offsets: Sequence[int]) -> Executed:
    """The call before the token, its leading space included, with which its place begins."""
    index = max(0, bisect.bisect_right(char_offsets, call.char_offset) - 1)
    # Some vocabularies have the space before a digit as a token of its own.
    if index and not text[char_offsets[index - 1] : char_offsets[index]].strip():
        index -= 1
    return Executed(**vars(call) | {"token_index": index, "char_offset": char_offsets[index]})


def _document(text: KnownText) -> Document:
    told = {"title": None, "url": None, "date": None, "source": "", "part": 0}
    return Document(text_id=text.text_id, doc_id=text.text_id, text=text.text, **told)  # type: ignore[arg-type]


def _call(text: KnownText, tool: str, char_offset: int, call: DueCall) -> Executed:
    return Executed(
        text_id=text.text_id,
        tool=tool,
        token_index=0,
        char_offset=char_offset,
        open_probability=1.0,
        call_input=call.call_input,
        num_samples=1,
        loss_without=0.0,
        status="ok",
        result=call.result,
        seconds=0.0,
        from_cache=False,
    )


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
