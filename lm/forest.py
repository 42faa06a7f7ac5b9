"""Many sequences that share their beginnings, as one sequence with a mask.

The cache holds every beginning once; a mask says which entries a token sees. Nothing is copied per sequence:

    cache    shared | text A | text B | [ of A3 | [ of A7 | [ of B2 | step 0 of all samples | step 1 of all ...
    a sample at A3 sees    shared, text A before token 3, its [, its own tokens of earlier steps

Shapes as in lm.network; N sequences that are being written, L open tokens (the start marker's).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lm.network import KeyValues, Network

# Share of seen entries above which a cache is not copied to rid it of the others.
WORTH_KEEPING = 0.8


class Forest:
    """The sequences being written, each at the end of its own branch."""

    def __init__(self, network: Network, past: KeyValues, visible_NK: Tensor, lengths: Sequence[int]) -> None:
        """`visible_NK`: which cache entries sequence n sees; `lengths`: how many those are, its next position."""
        self._network = network
        self._past = past
        self._visible_NK = visible_NK
        self._lengths_N = torch.tensor(lengths, device=network.device)

    def branch(self, indices: Sequence[int]) -> None:
        """Go on with these sequences only; a sequence named several times becomes several."""
        index_N = torch.tensor(indices, device=self._network.device)
        self._visible_NK = self._visible_NK[index_N]
        self._lengths_N = self._lengths_N[index_N]
        self._forget_unseen()

    def write(self, ids_NL: Tensor) -> Tensor:
        """Append L tokens to each sequence; the hidden states (N, width) after the last of them."""
        num_sequences, num_new = ids_NL.shape
        # (N, L, K + N * L): the old entries, then the new tokens, of which each sees its own sequence's up to itself.
        old_NLK = self._visible_NK[:, None].expand(-1, num_new, -1)
        same_NN = torch.eye(num_sequences, dtype=torch.bool, device=ids_NL.device)
        before_LL = torch.ones(num_new, num_new, dtype=torch.bool, device=ids_NL.device).tril()
        new_NLNL = same_NN[:, None, :, None] & before_LL[None, :, None, :]
        visible_NLK = torch.cat([old_NLK, new_NLNL.flatten(2)], dim=2)
        position_NL = self._lengths_N[:, None] + torch.arange(num_new, device=ids_NL.device)

        hidden_1TH, self._past = self._network.read(
            ids_NL.reshape(1, -1),
            self._past,
            position_ids=position_NL.reshape(1, -1),
            visible_TK=visible_NLK.flatten(0, 1),
        )
        self._visible_NK = visible_NLK[:, -1]
        self._lengths_N = self._lengths_N + num_new
        return hidden_1TH[0].view(num_sequences, num_new, -1)[:, -1]

    def _forget_unseen(self) -> None:
        """Drop the cache entries that no sequence sees any more, once they are enough to pay for the copy."""
        seen_K = self._visible_NK.any(dim=0)
        if seen_K.sum() > WORTH_KEEPING * len(seen_K):
            return
        self._past = [(keys[:, :, seen_K], values[:, :, seen_K]) for keys, values in self._past]
        self._visible_NK = self._visible_NK[:, seen_K]


def plant(
    network: Network, shared: KeyValues | None, segments: Sequence[KeyValues], branches: Sequence[tuple[int, int]]
) -> Forest:
    """A forest with one sequence per branch (segment, n): it sees everything shared and the segment's first n entries.

    `shared` and `segments` are caches of one sequence each, segments without the shared entries.
    """
    parts = [*([] if shared is None else [shared]), *segments]
    past = [
        (torch.cat([part[layer][0] for part in parts], dim=2), torch.cat([part[layer][1] for part in parts], dim=2))
        for layer in range(len(segments[0]))
    ]
    num_shared = 0 if shared is None else shared[0][0].shape[2]
    starts, end = [], num_shared
    for segment in segments:
        starts.append(end)
        end += segment[0][0].shape[2]
    visible_NK = torch.zeros(len(branches), end, dtype=torch.bool, device=network.device)
    visible_NK[:, :num_shared] = True
    for row_K, (index, length) in zip(visible_NK, branches, strict=True):
        row_K[starts[index] : starts[index] + length] = True
    return Forest(network, past, visible_NK, [num_shared + length for _, length in branches])
