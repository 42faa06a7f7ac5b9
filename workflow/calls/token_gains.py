"""What a call changes in the tokens behind it, token by token.

A run with decoys keeps this (`Scored.token_contrasts`). Of other calls, and of runs made before, only the loss of five
tokens together is known: then a word with the space before it, a digit or a sign stands for a token, and all of them
have the call's gain.
"""

import re
from collections.abc import Iterator, Sequence

from toolformer_ray.losses.weights import WEIGHTS

_PIECE = re.compile(r"\s*(?:\d|[^\W\d_]+|[^\s\w]|_)|\s+")


def token_gains(
    after: str, gain: float, ends: Sequence[int] = (), gains: Sequence[float] = ()
) -> Iterator[tuple[str, float]]:
    """The tokens behind a call, as pieces of `after`, each with what the call spares it in nats.

    `ends` are counted in `after`; without them all pieces share `gain`. A piece that `after` is too short for is left
    out.

    >>> list(token_gains(" 52 apples", 1.5, [2, 3], [3.0, -0.5]))
    [(' 5', 3.0), ('2', -0.5)]
    >>> list(token_gains(" 52 apples and pears.", 1.5))
    [(' 5', 1.5), ('2', 1.5), (' apples', 1.5), (' and', 1.5), (' pears', 1.5)]
    """
    begin = 0
    for end, spared in zip(ends, gains, strict=True) if ends else ((end, gain) for end in _ends_of_pieces(after)):
        if piece := after[begin:end]:
            yield piece, spared
        begin = end


def _ends_of_pieces(text: str) -> list[int]:
    ends, end = [], 0
    for _ in WEIGHTS:
        if piece := _PIECE.match(text, end):
            end = piece.end()
            ends.append(end)
    return ends
