"""Places, samples, losses and verdicts against loops written from the formulas alone, for four families of models.

The loops share with the stages the tokenizer, the prompt's text and the keys of the samples, nothing else: one
sequence at a time, every loss in full, no place and no call left out early.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.support.in_paper import proposing_as_in_paper
from tests.support.models import FAMILIES, build_model, build_tokenizer, gpt2_tokenizer
from tests.support.reference import (
    reference_log_probs,
    reference_loss,
    reference_sample,
    reference_start_log_probs,
)
from tests.support.small_world import Adder, Translator, make_document, make_executed
from toolformer_ray.annotate.portion import sample_keys
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.annotate.propose import propose
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import parse_sample
from toolformer_ray.records.stages import Document, Executed, Scored
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.options import Teaching
from toolformer_ray.tools.tool import Tool

MINIATURE = Path(__file__).parents[2] / "miniature/model"
DOCUMENTS = [
    make_document("The mill ground 400 sacks, 120 more than in May."),
    make_document("La mer, or the sea: 水 e\u0301 [Calc() -> ] שלום"),
]
INPUTS = {
    "Calculator": "400 - 120",
    "Calendar": "",
    "MT": '"the sea"',
    "Python": "max(400, 120)",
    "QA": '"Who built it?"',
    "WikiSearch": '"mill"',
}
RESULTS = {
    "Calculator": "280",
    "Calendar": "Today is Friday.",
    "MT": "the sea",
    "Python": "400",
    "QA": "the people",
    "WikiSearch": "x",
}


@cache
def engine(family: str) -> LanguageModel:
    return LanguageModel(build_model(family), TextTokenizer(build_tokenizer(), name=family), token_budget=600)


@cache
def reference_model(family: str) -> PreTrainedModel:
    """The same weights, untouched by the engine."""
    return build_model(family)


def reference_places(family: str, tool: Tool, document: Document) -> dict[int, float]:
    """log p_i of the k most probable places above tau_s, by token index."""
    model, tokenizer = reference_model(family), engine(family).tokenizer
    places = tokenizer.places(document.text)
    before = before_text(tokenizer, tool, document)
    log_starts = reference_start_log_probs(model, tokenizer, before, places.ids)
    above = {
        index: log_start
        for index, log_start in enumerate(log_starts)
        if places.is_place[index] and math.exp(log_start) > tool.teaching.min_open_probability
    }
    return dict(sorted(above.items(), key=lambda item: -item[1])[: tool.teaching.max_places])


def before_text(tokenizer: TextTokenizer, tool: Tool, document: Document) -> list[int]:
    pieces = (render_demonstrations(tool), render_text_slot(document.text))
    return [*tokenizer.bos_ids, *(token for piece in pieces for token in tokenizer.encode(piece))]


def reference_outcomes(
    family: str, tool: Tool, document: Document, indices: Iterable[int], max_call_tokens: int
) -> Counter[tuple]:
    """How often each call, and each way of failing to be one, is sampled at each place."""
    model, tokenizer = reference_model(family), engine(family).tokenizer
    places = tokenizer.places(document.text)
    outcomes: Counter[tuple] = Counter()
    for index in indices:
        before = [*before_text(tokenizer, tool, document), *places.ids[:index]]
        for key in sample_keys(3, document.text_id, tool.name, index, tool.teaching.num_samples):
            _, written = reference_sample(model, tokenizer, before, key, max_call_tokens)
            call = None if written is None else parse_sample(written)
            what = call[1] if call and call[0] == tool.name else "sample_malformed"
            outcomes[places.char_offsets[index], "sample_unfinished" if written is None else what] += 1
    return outcomes


@pytest.mark.paper("F7")
@pytest.mark.parametrize("family", FAMILIES)
def test_places_probabilities_samples_and_losses_without_a_call_are_the_formulas(family: str) -> None:
    teaching = {"min_open_probability": 0.001, "max_places": 2, "num_samples": 3, "min_loss_reduction": -1.0}
    tools = {"adder": Adder(**teaching), "translator": Translator(**teaching)}
    candidates, drops = propose(DOCUMENTS, engine(family), tools, proposing_as_in_paper(seed=3, max_call_tokens=6))
    for document in DOCUMENTS:
        for tool in tools.values():
            if not tool.wants(document):
                continue
            found: Counter[tuple] = Counter()
            for drop in drops:
                if (drop.text_id, drop.tool) == (document.text_id, tool.name) and drop.char_offset is not None:
                    found[drop.char_offset, drop.reason] += drop.count
            own = [row for row in candidates if (row.text_id, row.tool) == (document.text_id, tool.name)]
            found.update({(row.char_offset, row.call_input): row.num_samples for row in own})
            expected = reference_places(family, tool, document)
            assert found == reference_outcomes(family, tool, document, expected, 6)
            for row in own:
                assert math.log(row.open_probability) == pytest.approx(expected[row.token_index], abs=1e-4)
                model, tokenizer = reference_model(family), engine(family).tokenizer
                loss = reference_loss(model, tokenizer, "", document.text, row.token_index)
                assert row.loss_without == pytest.approx(loss, abs=1e-4)


def bare_tools() -> dict[str, Tool]:
    """The five tools without their backends, which scoring does not need; tau_f so low that random models pass it."""
    return {
        key: type(tool.__name__, (tool,), {"__init__": Tool.__init__, "teaching": Teaching(min_loss_reduction=0.02)})()
        for key, tool in find_tools().items()
    }


def executed_calls(model: object, tokenizer: TextTokenizer, tools: Iterable[Tool]) -> Iterator[Executed]:
    """A call of every tool at every fourth place of every text, and L(epsilon) there; some have no answer."""
    for document in DOCUMENTS:
        places = tokenizer.places(document.text)
        log_probs = reference_log_probs(model, [*tokenizer.bos_ids, *places.ids])  # type: ignore[arg-type]
        for index in range(0, len(places.ids), 4):
            weighted = zip((5, 4, 3, 2, 1), log_probs[index + 1 : index + 6], strict=False)
            loss_without = -sum(weight * log_prob for weight, log_prob in weighted) / 15
            for tool in tools:
                yield make_executed(
                    document,
                    places.char_offsets[index],
                    index,
                    tool=tool.name,
                    call_input=INPUTS[tool.name],
                    result=RESULTS[tool.name] if index % 12 else None,
                    status="ok" if index % 12 else "timeout",
                    loss_without=loss_without,
                )


def assert_verdicts_are_the_formulas(model: object, tokenizer: TextTokenizer, tools: dict[str, Tool]) -> None:
    """Every loss within 1e-4, and the same calls kept."""
    by_name = {tool.name: tool for tool in tools.values()}
    texts = {document.text_id: document.text for document in DOCUMENTS}
    language_model = LanguageModel(model, tokenizer, token_budget=300)  # type: ignore[arg-type]
    calls = list(executed_calls(model, tokenizer, tools.values()))
    rows = score(calls, DOCUMENTS, language_model, tools)
    kept = {name: [0, 0] for name in by_name}
    for row in rows:
        is_kept = False
        if row.result is not None:
            is_kept = _reference_verdict(row, texts[row.text_id], by_name[row.tool], model, tokenizer)
        assert row.is_kept == is_kept
        kept[row.tool][is_kept] += 1
    # The comparison says something only if there is something of either kind.
    assert sum(lost for lost, _ in kept.values()) > 0 < sum(won for _, won in kept.values())


def _reference_verdict(row: Scored, text: str, tool: Tool, model: object, tokenizer: TextTokenizer) -> bool:
    def loss(prefix: str) -> float:
        return reference_loss(model, tokenizer, prefix, text, row.token_index)  # type: ignore[arg-type]

    without = loss("")
    with_call = loss(f" [{row.tool}({row.call_input}) -> ]")
    with_result = loss(f" [{row.tool}({row.call_input}) -> {row.result}]")
    assert row.loss_without == pytest.approx(without, abs=1e-4)
    assert row.loss_with_result == pytest.approx(with_result, abs=1e-4)
    assert row.loss_with_call is None or row.loss_with_call == pytest.approx(with_call, abs=1e-4)
    phrase = row.call_input.strip('"')
    before, after = text[: row.char_offset], text[row.char_offset :]
    is_struck = tool.name == "MT" and phrase in after and phrase not in before
    return min(without, with_call) - with_result >= tool.teaching.min_loss_reduction and not is_struck


@pytest.mark.paper("F7")
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_verdicts_of_all_tools_are_the_formulas(family: str) -> None:
    assert_verdicts_are_the_formulas(build_model(family), TextTokenizer(build_tokenizer(), name=family), bare_tools())


def test_losses_and_verdicts_with_the_real_gpt2_tokenizer_are_the_formulas() -> None:
    tokenizer = gpt2_tokenizer()
    assert_verdicts_are_the_formulas(build_model("gpt2", vocabulary_size=50_257), tokenizer, bare_tools())


def test_losses_and_verdicts_of_the_miniature_model_are_the_formulas() -> None:
    if not (MINIATURE / "config.json").is_file():
        pytest.skip(f"no miniature model at {MINIATURE}")
    model = AutoModelForCausalLM.from_pretrained(MINIATURE, dtype="float32")
    assert_verdicts_are_the_formulas(model, TextTokenizer.load(str(MINIATURE)), bare_tools())
