"""The perplexity of held-out texts, exact whatever the batches and the number of workers: summed, then divided.

Calls are disabled (paper, section 4.3): entries with a `[` have probability 0, but for those of the text. A model that
learns when to call would otherwise look worse the better it learns it.

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
    """Per row the summed loss in nats and the number of tokens that it is of, (B, 2), float32."""
    if isinstance(logits_BTV, tuple):
        logits_BTV = logits_BTV[0]
    rows = []
    for logits_TV, labels_T in zip(logits_BTV, labels_BT, strict=True):
        counts_T = labels_T[1:] != IGNORED
        # Of one row at a time, and of its labelled tokens alone: float32 logits are the largest tensor there is.
        logits_RV, labels_R = logits_TV[:-1][counts_T].float(), labels_T[1:][counts_T]
        own_R1 = logits_RV.gather(1, labels_R[:, None])
        logits_RV[:, list(bracket_ids)] = -math.inf
        losses = cross_entropy(logits_RV.scatter_(1, labels_R[:, None], own_R1), labels_R, reduction="sum")
        rows.append(torch.stack([losses, counts_T.sum().float()]))
    return torch.stack(rows)


def perplexity(measured: EvalPrediction) -> dict[str, float]:
    """exp of the mean loss of a token, from the `row_losses` of all rows."""
    total, num_tokens = np.asarray(measured.predictions).sum(axis=0, dtype="float64")
    return {"perplexity": math.exp(total / num_tokens)}
