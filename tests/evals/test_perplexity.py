"""Perplexity by windows against the formula on the whole text."""

import math

import pytest
import torch

from tests.support.models import build_language_model, build_model
from toolformer_ray.evals.perplexity import measure_perplexity, split_articles, windows

TEXT = "The mill ground 400 sacks, 120 more than in May. " * 6


def test_every_token_is_foretold_once_with_half_a_window_before_it() -> None:
    found = [(list(request.ids), list(request.targets)) for request in windows([99], list(range(10)), 5)]
    assert found == [
        ([99, 0, 1, 2, 3], [1, 2, 3, 4]),
        ([99, 2, 3, 4, 5], [3, 4]),
        ([99, 4, 5, 6, 7], [3, 4]),
        ([99, 6, 7, 8, 9], [3, 4]),
    ]


@pytest.mark.paper("E3")
def test_the_perplexity_of_a_text_that_fits_is_exp_of_its_mean_loss() -> None:
    model, network = build_language_model(), build_model("llama")
    ids = torch.tensor([[*model.tokenizer.bos_ids, *model.tokenizer.encode(TEXT)]])
    with torch.no_grad():
        logits = network(ids).logits[0, :-1]
    # The text has no bracket, so where calls are disabled nothing of it is barred.
    logits[:, list(model.tokenizer.bracket_ids)] = -math.inf
    loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:])
    found = measure_perplexity(model, [TEXT])
    assert found.num_tokens == ids.shape[1] - 1
    assert found.num_words == 60
    assert found.per_token == pytest.approx(math.exp(loss.item()), rel=1e-4)
    assert found.per_word == pytest.approx(math.exp(loss.item() * found.num_tokens / 60), rel=1e-4)


def test_no_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="there is no text"):
        measure_perplexity(build_language_model(), [""])


def test_a_file_of_wikitext_is_read_article_by_article() -> None:
    first = " = The Mill = \n \n It ground corn . \n \n = = Its owners = = \n \n x = 3 \n"
    second = " = The Ford = \n \n It was low . \n"
    assert list(split_articles(f" \n{first} \n{second}")) == [f"{first} \n", second]
    assert list(split_articles("so it is")) == ["so it is"]
    assert list(split_articles(" \n")) == []
