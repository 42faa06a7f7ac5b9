"""Tokens of a text behind something written into it, against brute force over whole sequences."""

import numpy as np
import pytest
from transformers import Gemma2Config

from tests.support.models import (
    FAMILIES,
    build_config_model,
    build_language_model,
    build_model,
    wrap_model,
)
from tests.support.reference import reference_log_probs
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Insertion

WRITTEN = [(" [Calculator(400 - 120) ->", " 280]", " 1]", " 999999]"), (" [QA()", "]")]
TEXTS = ["The mill ground 400 sacks, 120 more than in May.", "Smile!", "The town lies on the river. " * 4]


def everywhere(model: LanguageModel) -> tuple[list[list[int]], list[Insertion]]:
    """Two insertions at the beginning, in the middle and at the end of each text, asking for what follows and later."""
    texts = [model.tokenizer.encode(text) for text in TEXTS]
    insertions = [
        Insertion(
            text=number,
            token_index=place,
            opening=model.tokenizer.encode(opening),
            endings=[model.tokenizer.encode(ending) for ending in endings],
            targets=targets,
        )
        for number, ids in enumerate(texts)
        for place in (0, len(ids) // 2, len(ids) - 1)
        for opening, *endings in WRITTEN
        for targets in (range(place, min(place + 5, len(ids))), [len(ids) - 1])
    ]
    return texts, insertions


@pytest.mark.parametrize("token_budget", [1, 100, 4096])
@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_behind_an_insertion_are_those_of_the_whole_sequence(family: str, token_budget: int) -> None:
    model = build_language_model(family, token_budget=token_budget)
    texts, insertions = everywhere(model)
    for insertion, answer in zip(insertions, model.log_probs_inserted(texts, insertions), strict=True):
        text_ids, place = texts[insertion.text], insertion.token_index
        assert answer.shape == (len(insertion.endings), len(insertion.targets)) and answer.dtype == np.float32
        for ending, found in zip(insertion.endings, answer, strict=True):
            inserted = [*insertion.opening, *ending]
            ids = [*model.tokenizer.bos_ids, *text_ids[:place], *inserted, *text_ids[place:]]
            log_probs = reference_log_probs(build_model(family), ids)
            assert found == pytest.approx([log_probs[1 + len(inserted) + j] for j in insertion.targets], abs=1e-4)


def test_a_model_without_a_kv_cache_gives_the_numbers_by_whole_sequences() -> None:
    model = build_config_model(Gemma2Config(head_dim=8, query_pre_attn_scalar=8))
    language_model = wrap_model(model)
    assert not language_model._network.has_kv_cache
    texts, insertions = everywhere(language_model)
    whole = [n.as_requests(language_model.tokenizer.bos_ids, texts[n.text]) for n in insertions]
    answers = language_model.log_probs_inserted(texts, insertions)
    for answer, requests in zip(answers, whole, strict=True):
        for found, request in zip(answer, requests, strict=True):
            assert found == pytest.approx(language_model.log_probs_alone(request), abs=1e-4)


def test_a_text_is_read_once_for_all_insertions_and_an_opening_once_for_all_endings() -> None:
    model = build_language_model()
    ids = model.tokenizer.encode(TEXTS[2])
    endings = [[7, 8], [9]]
    insertions = [
        Insertion(text=0, token_index=place, opening=[4, 5, 6, 7], endings=endings, targets=[place, place + 1])
        for place in (5, 20, 27)
    ]
    widths = []
    base = model._network._base
    base.register_forward_pre_hook(lambda _, __, named: widths.append(named["input_ids"].shape), with_kwargs=True)
    model.log_probs_inserted([ids], insertions)
    # The beginning-of-sequence token and the text up to the last place; then four tokens for each opening; then for
    # each ending its own tokens and one of the two asked for, the last being foretold, not read.
    assert [tuple(shape) for shape in widths] == [(1, 28), (3, 4), (6, 3)]


@pytest.mark.parametrize(
    "changed",
    [
        {"opening": []},
        {"endings": []},
        {"endings": [[1], []]},
        {"targets": []},
        {"targets": [1]},
        {"targets": [9_999]},
        {"token_index": -1},
    ],
)
def test_an_insertion_that_makes_no_sense_is_refused(changed: dict) -> None:
    model = build_language_model()
    insertion = Insertion(
        **{"text": 0, "token_index": 2, "opening": [5], "endings": [[6]], "targets": [2, 3]} | changed
    )
    with pytest.raises(ValueError, match="insertion needs|must lie between"):
        model.log_probs_inserted([model.tokenizer.encode(TEXTS[0])], [insertion])


def test_an_insertion_beyond_the_window_is_refused() -> None:
    model = build_language_model()
    model.window = 20
    with pytest.raises(ValueError, match="exceeds the window of 20"):
        insertion = Insertion(text=0, token_index=2, opening=[5], endings=[[5]], targets=[18])
        model.log_probs_inserted([[5] * 30], [insertion])
