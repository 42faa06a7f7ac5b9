"""Texts that break naive pipelines go through every stage on a real (random) model and come out to the letter."""

import json
from functools import cache
from pathlib import Path

import pytest

from tests.support.in_paper import proposing_as_in_paper
from tests.support.models import build_language_model
from tests.support.small_world import Adder, make_executed
from toolformer_ray.annotate.cutting import max_text_tokens
from toolformer_ray.annotate.ingest import IngestOptions, ingest
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.schema import arrow_schema, from_plain, to_table
from toolformer_ray.records.stages import Augmented, Document, Dropped

HOSTILE = {
    "one character": "x",
    "one digit": "7",
    "one emoji": "\U0001f600",
    "NUL bytes": "1\0 and \0\0 2",
    "only NUL": "\0" * 40 + "1",
    "joined emoji": "1 \U0001f468\u200d\U0001f469\u200d\U0001f467 and \U0001f44d\U0001f3fd!",
    "combining marks": "1 e\u0301 a\u0300\u0323 q" + "\u0301" * 30 + " end",
    "right to left": "1 \u200fשלום עולם\u200e מספר 42 مرحبا",
    "a call already there": "1 [Calculator(1+1) -> 2] and [Add(2+3)] and [",
    "end markers": "]] 1 ]]) -> ] [[",
    "names of special tokens": "1 <|endoftext|> <s></s> [PAD]",
    "line ends": "1\r\n2\r3\n\n\u20284\u20295\x85",
    "white space": " \t 1 \u00a0\u3000 ",
    "byte order mark": "1\ufeff2",
    "no words": "1" * 300,
}


@cache
def model() -> LanguageModel:
    return build_language_model("llama")


def ingested(folder: Path, text: str) -> list[Document]:
    path = folder / "docs.jsonl"
    path.write_text(json.dumps({"text": text}))
    longest = max_text_tokens(model().tokenizer, model().window, [Adder], proposing_as_in_paper(max_call_tokens=8))
    (shard,) = ingest(IngestOptions(corpus=(str(path),), shard_size=100_000), model().tokenizer, longest)
    assert shard.dropped == [] and "".join(piece.text for piece in shard.documents) == text
    return shard.documents


def with_a_call_at_every_place(documents: list[Document]) -> list[Augmented]:
    """Scores an answered call at every place, keeps all of them, and writes them into the texts."""
    tools = {"adder": Adder(min_loss_reduction=-1e6)}
    executed = []
    for document in documents:
        places = model().tokenizer.places(document.text)
        executed += [
            make_executed(document, places.char_offsets[index], index)
            for index in range(len(places.ids))
            if places.is_place[index]
        ]
    scored = score(executed, documents, model(), tools)
    augmented, dropped = interleave(scored, documents)
    assert dropped == [] and sum(row.num_calls for row in augmented) == len(scored) == len(executed) > 0
    return augmented


OURS, PAPERS = ProposeOptions(max_call_tokens=8), proposing_as_in_paper(max_call_tokens=8)


@pytest.mark.parametrize("options", [OURS, PAPERS], ids=["ours", "the paper's"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_comes_out_to_the_letter(tmp_path: Path, name: str, options: ProposeOptions) -> None:
    documents = ingested(tmp_path, HOSTILE[name])
    tools = {"adder": Adder(min_open_probability=0.0, min_loss_reduction=-1e6)}
    candidates, dropped = propose(documents, model(), tools, options)
    assert {row.text_id for row in (*candidates, *dropped)} == {document.text_id for document in documents}
    assert list(from_plain(Dropped, to_table(Dropped, dropped).to_pylist())) == dropped

    augmented = with_a_call_at_every_place(documents)
    stored = list(from_plain(Augmented, to_table(Augmented, augmented).cast(arrow_schema(Augmented)).to_pylist()))
    assert stored == augmented
    by_id = {document.text_id: document.text for document in documents}
    for row in stored:
        assert remove_calls(row.text, row.calls) == by_id[row.text_id] != row.text
    if len(documents) == 1:
        assert stored[0].text.count(" [Add(2+3) -> 5]") == stored[0].num_calls


@pytest.mark.parametrize("unit", ["x", "The mill ground 400 sacks. ", "\0"])
def test_a_million_characters_are_cut_into_texts_that_the_model_takes_in(tmp_path: Path, unit: str) -> None:
    documents = ingested(tmp_path, (unit * 1_000_000)[:1_000_000])
    assert len(documents) > 1_000
    tools = {"adder": Adder(min_open_probability=0.999)}
    _, dropped = propose([*documents[:2], *documents[-2:]], model(), tools, proposing_as_in_paper(max_call_tokens=8))
    assert "too_long" not in {drop.reason for drop in dropped}
