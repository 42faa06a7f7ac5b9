"""A prompt and what comes of it: whoever wants a text makes one, and the decoder answers it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.writing import Writing

if TYPE_CHECKING:
    # Torch takes seconds to import, and who only checks requests has no need of it.
    from toolformer_ray.lm.writing.text import Text

Prompt = str | Sequence[int]
"""A text, or token ids. Ids that do not begin with the beginning-of-sequence token get it put before them."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """That the log-probabilities of a text's tokens are wanted, and of which tokens."""

    num_likeliest: int = 0
    """How many of the likeliest tokens at each place are told with theirs."""
    with_prompt: bool = False
    """Whether the prompt's tokens are told too."""


@dataclass(eq=False)
class DecodeRequest:
    """Both functions are called by the thread that runs the decoder."""

    prompt: Prompt
    options: DecodeOptions
    on_pieces: Callable[[Sequence[Piece]], None] | None = None
    """Called with the pieces of the text as they become certain."""
    on_end: Callable[[Completion | Exception], None] | None = None
    """Called by `DecodingService` when the text has ended."""
    sample: int = 0
    """Which of several texts with the same prompt and seed this is."""
    scoring: Scoring | None = None
    """None: no log-probabilities are wanted."""
    is_written: bool = True
    """False: nothing is written behind the prompt, which is only scored."""
    completion: Completion | None = None
    """None until the text is finished."""
    error: Exception | None = None
    """Why the text ended without a completion: a recording could not be read."""
    prompt_ids: Sequence[int] = ()
    """What the model reads, its beginning-of-sequence token included; set by the decoder unless it is given."""
    num_hidden: int = 0
    """How many of them are not of the prompt: the beginning-of-sequence token that was put before it."""
    writing: Writing = field(init=False)
    text: "Text" = field(init=False)


def noise_key(seed: int, prompt: str, sample: int) -> int:
    """All the randomness of a text, 0 <= key < 2**128: a function of these names alone."""
    data = f"{seed}\n{prompt}".encode("utf-8", "replace")
    digest = hashlib.blake2b(data, digest_size=16, salt=sample.to_bytes(16, "big")).digest()
    return int.from_bytes(digest, "big")
