"""The engine's answers and the filter's losses again, from the formulas alone: to be compared with, not to be used.

One sequence at a time, no cache, no batch, no mask; the model's own `logits`; loops a reader can follow.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from toolformer_ray.lm.tokenizer import TextTokenizer

# w~_t = max(0, 1 - 0.2 t), divided by their sum of 3 (paper, section 4.1).
WEIGHTS = (1 / 3, 4 / 15, 1 / 5, 2 / 15, 1 / 15)


@torch.no_grad()
def reference_logits(model: PreTrainedModel, ids: Sequence[int]) -> torch.Tensor:
    """Float32 (tokens, vocabulary): row j foretells token j + 1."""
    return model(torch.tensor([list(ids)], device=model.device)).logits[0].float()


def reference_log_probs(model: PreTrainedModel, ids: Sequence[int]) -> list[float]:
    """log p(ids[j] | ids[:j]) for j = 1, 2, ...; entry 0, of which nothing is known, is nan."""
    rows = torch.log_softmax(reference_logits(model, ids[:-1]), dim=-1)
    return [math.nan, *(rows[j - 1, ids[j]].item() for j in range(1, len(ids)))]


def reference_start_log_probs(
    model: PreTrainedModel, tokenizer: TextTokenizer, before_ids: Sequence[int], text_ids: Sequence[int]
) -> list[float]:
    """log of the summed probability of all spellings of ` [` before each token of the text."""
    answers = []
    for i in range(len(text_ids)):
        probabilities = torch.softmax(reference_logits(model, [*before_ids, *text_ids[:i]])[-1], dim=-1)
        answers.append(math.log(sum(probabilities[marker].item() for marker in tokenizer.start_marker_ids)))
    return answers


def reference_loss(model: PreTrainedModel, tokenizer: TextTokenizer, prefix: str, text: str, token_index: int) -> float:
    """L_i(z) = - sum over t = 0..4 of w_t log p(x_{i+t} | z, x_{<i+t}); terms after the text's end are absent."""
    before = [*tokenizer.bos_ids, *tokenizer.encode(prefix)]
    text_ids = tokenizer.encode(text)
    log_probs = reference_log_probs(model, [*before, *text_ids])
    loss = 0.0
    for t in range(5):
        if token_index + t < len(text_ids):
            loss -= WEIGHTS[t] * log_probs[len(before) + token_index + t]
    return loss


def reference_sample(
    model: PreTrainedModel, tokenizer: TextTokenizer, before_ids: Sequence[int], key: int, max_new_tokens: int
) -> tuple[tuple[int, ...], str | None]:
    """(ids drawn, text before the first `]` or None): two-level Gumbel-max; lm/writing/noise.py says why."""
    generator = np.random.Generator(np.random.Philox(key=key))
    drawn: list[int] = []
    while len(drawn) < max_new_tokens:
        logits = reference_logits(model, [*before_ids, *tokenizer.open_ids, *drawn])[-1].double().tolist()
        size = math.ceil(math.sqrt(len(logits)))
        blocks = [logits[start : start + size] for start in range(0, len(logits), size)]
        gumbels = [-math.log(-math.log(u)) for u in generator.random(len(blocks) + size)]
        sums = [math.log(sum(math.exp(x) for x in block)) for block in blocks]
        best_block = max(range(len(blocks)), key=lambda b: sums[b] + gumbels[b])
        inside = blocks[best_block]
        best = max(range(len(inside)), key=lambda s: inside[s] + gumbels[len(blocks) + s])
        drawn.append(best_block * size + best)
        if drawn[-1] in tokenizer.end_marker_ids:
            return tuple(drawn), tokenizer.decode(drawn).split("]")[0]
        if drawn[-1] in tokenizer.stop_ids:
            break
    return tuple(drawn), None
