"""The perplexity of plain texts, which tools must not make worse (paper, section 4.3), with calls disabled.

As in decoding, calls are disabled by giving vocabulary entries with a `[` probability 0. A bracket in the text itself
counts as the token that it is.

The file of WikiText-2 is read article by article, as in the Language Model Evaluation Harness: each begins without
context, and a part of them can be drawn. A text longer than the window is read in windows that overlap by half, so that
each token is predicted once, after at least half a window of context wherever there is that much.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import ScoreRequest

# Sections of an article have two or more equals signs, and quoted text may begin with one: an article's heading stands
# between empty lines.
_HEADING = re.compile(r"^ = [^=\n]+ = *\n(?= *\n)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """The loss of some texts, and how long they are."""

    nats: float
    """Sum of the losses of all tokens."""
    num_tokens: int
    num_words: int
    """Words separated by white space, for comparing models with different tokenizers."""

    @property
    def per_token(self) -> float:
        """exp of the mean loss per token."""
        return math.exp(self.nats / self.num_tokens)

    @property
    def per_word(self) -> float:
        """exp of the summed loss divided by the words."""
        return math.exp(self.nats / self.num_words)


def measure_perplexity(model: LanguageModel, texts: Iterable[str]) -> Perplexity:
    """The perplexity of all tokens of all texts; a text's first is predicted from the beginning-of-sequence token."""
    requests: list[ScoreRequest] = []
    num_words = 0
    for text in texts:
        requests += windows(model.tokenizer.bos_ids, model.tokenizer.encode(text), model.window)
        num_words += len(text.split())
    num_tokens = sum(len(request.targets) for request in requests)
    if not num_tokens:
        raise ValueError("there is no text to measure the perplexity of")
    nats = -sum(float(log_probs.sum(dtype="float64")) for log_probs in model.log_probs(requests, without_calls=True))
    return Perplexity(nats=nats, num_tokens=num_tokens, num_words=max(1, num_words))


def split_articles(text: str) -> Iterator[str]:
    """The articles of a file of WikiText, each with its heading; text before the first is one of its own."""
    borders = [0, *(found.start() for found in _HEADING.finditer(text)), len(text)]
    yield from (text[start:end] for start, end in itertools.pairwise(borders) if text[start:end].strip())


def windows(bos_ids: Sequence[int], ids: Sequence[int], window: int) -> Iterator[ScoreRequest]:
    """Sequences of at most `window` tokens in which every token of the text is a target exactly once.

    Of 10 tokens, with a window of 5 and one token of beginning: 0..3 behind the beginning, then 2..5, 4..7 and 6..9,
    of which the last two each are targets.
    """
    room = window - len(bos_ids)
    done = 0
    while done < len(ids):
        start = 0 if done == 0 else max(0, done - room // 2)
        end = min(len(ids), start + room)
        sequence = [*bos_ids, *ids[start:end]]
        first = len(bos_ids) + done - start
        yield ScoreRequest(ids=sequence, targets=list(range(max(1, first), len(sequence))))
        done = end
