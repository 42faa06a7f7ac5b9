"""The whole line from a corpus to C*, on three texts and a model whose probabilities are written down."""

import json
from pathlib import Path

import pytest

from tests.support.in_paper import proposing_as_in_paper
from tests.support.scripted_model import BOS, ScriptedModel, suffixes
from tests.support.small_world import Adder, Translator
from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.ingest import IngestOptions, ingest
from toolformer_ray.annotate.propose import propose
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.filter.score import score
from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.stages import Augmented, Document, Dropped, Scored
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.tool import Tool

SUM = "2 and 3 is 5 apples. La mer is the sea."
WRONG = "4 and 4 is 9 pears."
PLAIN = "Nothing to see here."

# So many samples that each of the calls below is among them.
TOOLS: dict[str, Tool] = {"adder": Adder(num_samples=40), "translator": Translator(num_samples=40)}
EXECUTOR = ToolExecutor({tool.name: tool for tool in TOOLS.values()})

MODEL = ScriptedModel(
    suffixes(
        {
            # Where calls start, and which. At the sum the model samples a right call, a wrong one, and nonsense.
            "Output: 2 and 3 is": {" [": 0.5},
            "Output: 2 and 3 is [": {"Add(2+3)": 0.4, "Add(2+2)": 0.3, "Add(two)": 0.2, "huh": 0.1},
            "apples. La mer is": {" [": 0.5},
            "La mer is [": {'MT("mer")': 0.5, 'MT("La")': 0.5},
            "Output: 4 and 4 is": {" [": 0.5},
            "4 is [": {"Add(4+4)": 1.0},
            "huh": {"]": 1.0},
            ")": {"]": 1.0},
            # What knowing an answer makes likely.
            f"{BOS} [Add(2+3) -> 5]2 and 3 is": {" 5": 0.9},
            f'{BOS} [MT("mer") -> the sea]{SUM.removesuffix(" the sea.")}': {" the": 0.9},
            f'{BOS} [MT("mer") -> the sea]{SUM.removesuffix(" sea.")}': {" sea": 0.9},
            f"{BOS} [Add(4+4) -> 8]4 and 4 is": {" 8": 0.9},
        }
    )
)


def annotate(corpus: Path) -> tuple[list[Document], list[Scored], list[Augmented], list[Dropped]]:
    (shard,) = ingest(IngestOptions(corpus=(str(corpus),)), MODEL.tokenizer, 1_000)
    candidates, proposal_drops = propose(shard.documents, MODEL, TOOLS, proposing_as_in_paper())
    scored = score(execute(candidates, shard.documents, EXECUTOR), shard.documents, MODEL, TOOLS)
    augmented, given_way = interleave(scored, shard.documents)
    return shard.documents, scored, augmented, [*shard.dropped, *proposal_drops, *given_way]


@pytest.mark.paper("I5")
def test_three_texts_become_one_text_with_the_two_calls_that_help(tmp_path: Path) -> None:
    corpus = tmp_path / "docs.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in (SUM, WRONG, PLAIN)))
    documents, scored, augmented, dropped = annotate(corpus)

    (row,) = augmented
    assert row.text == '2 and 3 is [Add(2+3) -> 5] 5 apples. La mer is [MT("mer") -> the sea] the sea.'
    assert remove_calls(row.text, row.calls) == SUM

    verdicts = {(call.tool, call.call_input): (call.status, call.is_kept) for call in scored}
    assert verdicts == {
        ("Add", "2+3"): ("ok", True),
        ("Add", "2+2"): ("ok", False),
        ("Add", "two"): ("bad_input", False),
        ("MT", '"mer"'): ("ok", True),
        ("MT", '"La"'): ("empty", False),
        ("Add", "4+4"): ("ok", False),
    }

    accounted = {row.text_id for row in (*augmented, *scored, *dropped)}
    assert accounted == {document.text_id for document in documents}
    reasons = {(drop.text_id, drop.tool, drop.reason) for drop in dropped if drop.char_offset is None}
    plain = documents[2].text_id
    assert {(plain, "Add", "not_offered"), (plain, "MT", "not_offered")} <= reasons
