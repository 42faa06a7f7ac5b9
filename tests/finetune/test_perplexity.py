"""The perplexity of held-out texts, against the formula."""

import math

import pytest
import torch
from transformers import EvalPrediction

from toolformer_ray.finetune.packing import IGNORED
from toolformer_ray.finetune.perplexity import perplexity, row_losses

# Four entries; after the first token 1/2, 1/4, 1/8, 1/8, after the second a quarter each.
LOGITS = torch.log(torch.tensor([[[1 / 2, 1 / 4, 1 / 8, 1 / 8], [1 / 4, 1 / 4, 1 / 4, 1 / 4], [1.0, 1.0, 1.0, 1.0]]]))


def test_it_is_exp_of_the_mean_loss_of_all_labelled_tokens() -> None:
    losses = row_losses(LOGITS, torch.tensor([[0, 1, 3]]))
    assert losses.tolist() == [pytest.approx([math.log(4) + math.log(4), 2])]
    measured = perplexity(EvalPrediction(predictions=losses.numpy(), label_ids=None))  # type: ignore[arg-type]
    assert measured == {"perplexity": pytest.approx(4)}


def test_what_is_not_labelled_does_not_count() -> None:
    assert row_losses(LOGITS, torch.tensor([[0, IGNORED, 3]])).tolist() == [pytest.approx([math.log(4), 1])]


@pytest.mark.paper("E3")
def test_a_start_marker_counts_only_where_the_text_has_one() -> None:
    """With entry 0 barred, entry 1 has 1/4 of what is left, 1/2."""
    labels = torch.tensor([[2, 1, 0]])
    assert row_losses(LOGITS, labels, [0]).tolist() == [pytest.approx([math.log(2) + math.log(4), 2])]
