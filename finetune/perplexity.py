"""The perplexity of held-out texts: losses are summed per row and divided at the end, so batches make no difference.

Calls are disabled (paper, section 4.3): entries with a `[` have probability 0, except where the text has one. Otherwise
a model would look worse the better it has learned where to call.

Shapes: B rows, T tokens, R labelled tokens of a row, V vocabulary entries.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import EvalPrediction

from toolformer_ray.finetune.packing import IGNORED


def row_losses(logits_BTV: Tensor | tuple[Tensor, ...], labels_BT: Tensor, bracket_ids: Sequence[int] = ()) -> Tensor:
    """Float32 (B, 2): per row the summed loss in nats, and the number of labelled tokens that it sums over."""
    if isinstance(logits_BTV, tuple):
        logits_BTV = logits_BTV[0]
    rows = []
    for logits_TV, labels_T in zip(logits_BTV, labels_BT, strict=True):
        counts_T = labels_T[1:] != IGNORED
        # One row at a time, and its labelled tokens only, since float32 logits are the largest tensor of all.
        logits_RV, labels_R = logits_TV[:-1][counts_T].float(), labels_T[1:][counts_T]
        own_R1 = logits_RV.gather(1, labels_R[:, None])
        logits_RV[:, list(bracket_ids)] = -math.inf
        losses = cross_entropy(logits_RV.scatter_(1, labels_R[:, None], own_R1), labels_R, reduction="sum")
        rows.append(torch.stack([losses, counts_T.sum().float()]))
    return torch.stack(rows)


def perplexity(measured: EvalPrediction) -> dict[str, float]:
    """exp of the mean loss per token, from the `row_losses` of all rows."""
    total, num_tokens = np.asarray(measured.predictions).sum(axis=0, dtype="float64")
    return {"perplexity": math.exp(total / num_tokens)}
