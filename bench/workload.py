"""The texts of the comparison and what is asked about them; everything follows from the seed.

A text is stories of the miniature's invented world joined up and cut before a token, so that all have one length.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolformer_ray.bench.prompt import render_demonstrations, render_text_slot
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.miniature.texts import choose_tools, tell_story
from toolformer_ray.miniature.world import World


@dataclass(frozen=True, kw_only=True)
class BenchText:
    """A text as the model reads it."""

    own_ids: Sequence[int]
    """What stands in the prompt between the demonstrations and the model's copy of the text."""
    text_ids: Sequence[int]
    is_place: Sequence[bool]
    """Before which tokens a call may stand."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One tool's prompt, the texts, and the paper's numbers."""

    shared_ids: Sequence[int]
    """The beginning-of-sequence token and the demonstrations."""
    texts: Sequence[BenchText]
    num_places: int = 5
    """k: the most probable places of each text; tau_s is 0."""
    num_samples: int = 5
    """m: samples at each place."""
    min_loss_reduction: float = 0.5
    """tau_f, in nats."""
    max_new_tokens: int = 64
    """A sample ends after this many tokens at the latest."""
    writes_calls: bool = True
    """Whether the model was trained to write calls. If not, a sample's first tokens stand for a call."""
    seed: int = 0

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the prompt and a sample can make."""
        texts = max(len(text.own_ids) + len(text.text_ids) for text in self.texts)
        return len(self.shared_ids) + texts + 8 + self.max_new_tokens

    def sample_keys(self, text: int, place: int) -> list[int]:
        """The randomness of the samples at a place."""
        rng = random.Random(f"{self.seed} {text} {place}")
        return [rng.getrandbits(128) for _ in range(self.num_samples)]


def make_texts(tokenizer: TextTokenizer, num_texts: int, num_tokens: int, *, seed: int = 0) -> list[BenchText]:
    """Texts of exactly `num_tokens` tokens; the model's own copy may have one more or less at the cut."""
    if num_texts < 1 or num_tokens < 1:
        raise ValueError(f"{num_texts} texts of {num_tokens} tokens: both must be at least 1")
    rng = random.Random(f"bench {seed}")
    world = World(seed, num_countries=50, num_landmarks=50)
    return [_make_text(tokenizer, _write(tokenizer, rng, world, num_tokens), num_tokens) for _ in range(num_texts)]


def choose_places(log_starts: np.ndarray, is_place: Sequence[bool], num_places: int) -> list[int]:
    """Token indices of the most probable places, in the order of the text; of equals the earlier one."""
    places = [index for index, allowed in enumerate(is_place) if allowed]
    ranked = sorted(places, key=lambda index: (-float(log_starts[index]), index))
    return sorted(ranked[:num_places])


def make_workload(
    tokenizer: TextTokenizer, *, num_texts: int, num_tokens: int, max_new_tokens: int, writes_calls: bool, seed: int = 0
) -> Workload:
    """The calculator's prompt over new texts."""
    return Workload(
        shared_ids=[*tokenizer.bos_ids, *tokenizer.encode(render_demonstrations())],
        texts=make_texts(tokenizer, num_texts, num_tokens, seed=seed),
        max_new_tokens=max_new_tokens,
        writes_calls=writes_calls,
        seed=seed,
    )


def _write(tokenizer: TextTokenizer, rng: random.Random, world: World, num_tokens: int) -> str:
    text = tell_story(rng, world, ("Calculator",)).text
    while len(tokenizer.encode(text)) <= num_tokens:
        text += " " + tell_story(rng, world, choose_tools(rng)).text
    return text


def _make_text(tokenizer: TextTokenizer, text: str, num_tokens: int) -> BenchText:
    places = tokenizer.places(text)
    cut = text[: places.char_offsets[num_tokens]]
    return BenchText(
        own_ids=tokenizer.encode(render_text_slot(cut)),
        text_ids=places.ids[:num_tokens],
        is_place=places.is_place[:num_tokens],
    )
