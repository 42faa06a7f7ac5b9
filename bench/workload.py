"""The texts of the comparison and what is asked about them; everything follows from the seed.

A text is made of stories of the miniature's invented world, cut before a token so that all texts have the same length.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolformer_ray.annotate.places import choose_places
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.miniature.texts import choose_tools, tell_story
from toolformer_ray.miniature.world import World
from toolformer_ray.tools.calculator import Calculator

TEACHING = replace(Calculator.teaching, max_places=5, num_samples=5)
"""How the calculator is taught here: k = m = 5, τ_s = 0 and τ_f = 0.5."""


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
    num_places: int = TEACHING.max_places
    """k: calls are sampled at the k most probable places of each text."""
    num_samples: int = TEACHING.num_samples
    """m: samples at each place."""
    min_loss_reduction: float = TEACHING.min_loss_reduction
    """τ_f, in nats."""
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

    def choose_places(self, log_starts: np.ndarray, text: int) -> list[int]:
        """Token indices of the places of a text at which calls are sampled, as the propose stage chooses them."""
        return choose_places(log_starts, self.texts[text].is_place, replace(TEACHING, max_places=self.num_places))

    def sample_keys(self, text: int, place: int) -> list[int]:
        """The keys of the samples at a place: all their randomness."""
        rng = random.Random(f"{self.seed} {text} {place}")
        return [rng.getrandbits(128) for _ in range(self.num_samples)]


def make_workload(
    tokenizer: TextTokenizer, *, num_texts: int, num_tokens: int, max_new_tokens: int, writes_calls: bool, seed: int = 0
) -> Workload:
    """The calculator's prompt over new texts."""
    return Workload(
        shared_ids=[*tokenizer.bos_ids, *tokenizer.encode(render_demonstrations(Calculator))],
        texts=make_texts(tokenizer, num_texts, num_tokens, seed=seed),
        max_new_tokens=max_new_tokens,
        writes_calls=writes_calls,
        seed=seed,
    )


def make_texts(tokenizer: TextTokenizer, num_texts: int, num_tokens: int, *, seed: int = 0) -> list[BenchText]:
    """Texts of exactly `num_tokens` tokens; the model's own copy may have one more or less at the cut."""
    if num_texts < 1 or num_tokens < 1:
        raise ValueError(f"{num_texts} texts of {num_tokens} tokens: both must be at least 1")
    rng = random.Random(f"bench {seed}")
    world = World(seed, num_countries=50, num_landmarks=50)
    return [_make_text(tokenizer, _write(tokenizer, rng, world, num_tokens), num_tokens) for _ in range(num_texts)]


def _write(tokenizer: TextTokenizer, rng: random.Random, world: World, num_tokens: int) -> str:
    text = tell_story(rng, world, (Calculator.name,)).text
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
