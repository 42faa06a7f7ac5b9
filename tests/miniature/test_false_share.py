"""The false share that decoys tell, against the truth of the invented world."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.small_world import make_document, make_executed
from toolformer_ray.annotate.execute import with_decoys
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.losses.false_share import count_chance
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.miniature.texts import Story
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.tools.tool import Tool

MODEL = Path(__file__).parents[2] / "miniature/model"
NUM_CALLS = 24


def labelled(
    stories: list[Story], model: LanguageModel, tool: Tool
) -> tuple[list[Document], list[Executed], list[bool]]:
    """Due calls with their own answers, and each at its place with the answer of another story too."""
    found = [(make_document(story.text), due) for story in stories for due in story.due if due.tool == tool.name][
        :NUM_CALLS
    ]
    calls, are_right = [], []
    for number, (document, due) in enumerate(found):
        offsets = model.tokenizer.places(document.text).char_offsets
        index = max(n for n, offset in enumerate(offsets) if offset <= due.char_offset)
        for other in (number, (number + 7) % len(found)):
            result = found[other][1].result
            call = make_executed(document, offsets[index], index, tool=tool.name, call_input=due.call_input)
            calls.append(with_decoys(replace(call, result=result, loss_without=9.0), {tool.name: tool}, 3))
            are_right.append(result == due.result)
    return [document for document, _ in found], calls, are_right


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.load(str(MODEL))


@pytest.mark.parametrize("name", ["Calculator", "Calendar", "QA"])
def test_the_estimated_false_share_is_within_a_few_points_of_the_truth(
    name: str, stories: list[Story], world_tools: Mapping[str, Tool], model: LanguageModel
) -> None:
    tool = world_tools[name]
    tool.teaching = replace(tool.teaching, min_contrast=0.5)
    documents, calls, are_right = labelled(stories, model, tool)
    rows = score(calls, documents, model, {name: tool}, options=FilterOptions(call_distance=32))
    kept = [is_right for is_right, row in zip(are_right, rows, strict=True) if row.is_kept]
    assert kept.count(True) > 0.75 * are_right.count(True)
    truth, estimate = kept.count(False) / len(kept), count_chance(rows).false_share
    # Thirty kept calls are few: their own share scatters by so much. Some wrong dates are right in a part.
    scatter = math.sqrt(truth * (1 - truth) / len(kept))
    assert estimate is not None and abs(estimate - truth) <= 0.06 + 1.5 * scatter
