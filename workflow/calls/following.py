"""About which characters of a text a call was judged by: the tokens that the weighted loss counts.

Without the model's tokenizer a word with the space before it, a digit or a sign stands for a token.
"""

import re

from toolformer_ray.losses.weights import WEIGHTS

_PIECE = re.compile(r"\s*(?:\d|[^\W\d_]+|[^\s\w]|_)|\s+")


def following(text: str, char_offset: int) -> int:
    """Where the last of the tokens ends that count behind a place.

    >>> text = "In all they have 52 apples and pears."
    >>> text[16 : following(text, 16)]
    ' 52 apples and pears'
    """
    end = char_offset
    for _ in WEIGHTS:
        if not (piece := _PIECE.match(text, end)):
            break
        end = piece.end()
    return end
