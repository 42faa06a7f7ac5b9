"""Texts that are written token by token: what a batch makes of them is what the model alone would."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch

from tests.support.models import FAMILIES, build_language_model, build_model, build_tokenizer, wrap_model
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.writing.author import Choice, End, Step, Wait, Write
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.next_token import Chooser
from toolformer_ray.lm.writing.sequences import CachedSequences
from toolformer_ray.lm.writing.text import Text

TEXTS = (
    "The mill ground 400 sacks",
    "The",
    "In the year of the flood the bridge was built",
    "[Calc",
    "1 2 3",
    "Input:",
)


@dataclass(eq=False)
class Scribe:
    """Writes whatever the model chooses, so many tokens; may stop to wait, or to say something of its own."""

    length: int
    wait_at: int | None = None
    instead: dict[int, Step] = field(default_factory=dict)
    may_open: bool = True
    open_within: int = 0
    chosen: list[Choice] = field(default_factory=list)

    def take(self, choice: Choice) -> Step:
        self.chosen.append(choice)
        if len(self.chosen) == self.length:
            return End()
        if len(self.chosen) == self.wait_at:
            return Wait()
        return self.instead.get(len(self.chosen), Write([choice.token]))

    @property
    def tokens(self) -> list[int]:
        return [choice.token for choice in self.chosen]


@functools.cache
def model(family: str) -> LanguageModel:
    return build_language_model(family)


def prompt(text: str) -> list[int]:
    return [0, *build_tokenizer().encode(text, add_special_tokens=False)]


def run(generator: Generator, waiting: dict[Text, Step] | None = None) -> None:
    """Until nothing is left; texts that wait come back with what is written down for them."""
    while generator.num_in_hand or waiting:
        for text in generator.step() if generator.num_in_hand else list(waiting or {}):
            if waiting and text in waiting and not text.is_over and not text.num_unread:
                generator.resume(text, waiting.pop(text))


def alone(family: str, ids: list[int], length: int) -> list[int]:
    """By the model's plain forward pass over the whole text, token by token."""
    network, written = model(family)._network, list(ids)
    for _ in range(length):
        with torch.inference_mode():
            written.append(int(network.model(torch.tensor([written])).logits[0, -1].argmax()))
    return written[len(ids) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_texts_of_a_batch_are_those_of_the_model_alone(family: str) -> None:
    generator = model(family).generator(4)
    scribes = [Scribe(length=6 + number) for number in range(len(TEXTS))]
    for scribe, text in zip(scribes, TEXTS, strict=True):
        generator.begin(scribe, prompt(text))
    run(generator)
    assert [s.tokens for s in scribes] == [
        alone(family, prompt(t), s.length) for s, t in zip(scribes, TEXTS, strict=True)
    ]


@pytest.mark.parametrize("has_kv_cache", [True, False])
def test_a_text_that_waited_goes_on_behind_what_was_forced_into_it(
    has_kv_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_kv_cache:
        monkeypatch.setattr("toolformer_ray.lm.network.Network.has_kv_cache", property(lambda _: False))
    generator, forced = model("llama").generator(2), [7, 8, 9]
    first, others = Scribe(length=8, wait_at=4), [Scribe(length=12), Scribe(length=3)]
    text = generator.begin(first, prompt(TEXTS[0]))
    for other in others:
        generator.begin(other, prompt(TEXTS[1]))
    run(generator, {text: Write(forced, take_back=1)})
    # Of four tokens chosen the last was not written, as the text waited, and the third is taken back.
    before = alone("llama", prompt(TEXTS[0]), 4)
    behind = [*prompt(TEXTS[0]), *before[:2], *forced]
    assert first.tokens == [*before, *alone("llama", behind, 4)]
    assert [other.tokens for other in others] == [alone("llama", prompt(TEXTS[1]), n) for n in (12, 3)]


def test_a_text_that_is_over_holds_no_memory() -> None:
    generator = model("llama").generator(1)
    texts = [generator.begin(Scribe(length=3), prompt(TEXTS[0]), temperature=1.0) for _ in range(2)]
    generator.step(), generator.forget(texts[0])
    run(generator)
    assert [(text.is_over, text.noise, text.cached.layers) for text in texts] == [(True, None, ())] * 2


def test_what_is_taken_back_is_forgotten_and_the_place_asked_about_again() -> None:
    generator = model("gpt2").generator(1)
    scribe = Scribe(length=7, instead={3: Write([5, 6]), 5: Write([], take_back=4)})
    generator.begin(scribe, prompt(TEXTS[2]))
    run(generator)
    a, b = alone("gpt2", prompt(TEXTS[2]), 2)
    # Written are a, b, 5, 6 and x; taken back 5, 6, x and b: what comes behind a is b again.
    x = alone("gpt2", [*prompt(TEXTS[2]), a, b, 5, 6], 1)[0]
    assert scribe.tokens[:2] == [a, b]
    assert scribe.tokens[3] == x
    assert scribe.tokens[5:] == [b, alone("gpt2", prompt(TEXTS[2]), 3)[2]]


def test_what_was_read_with_the_prompt_can_be_taken_back_at_the_first_choice() -> None:
    generator, ids = model("llama").generator(2), prompt(TEXTS[2])
    one, many = (Scribe(length=4, instead={1: Write(new, take_back=2)}) for new in ([5], [5, 6]))
    generator.begin(one, ids)
    generator.begin(many, ids)
    run(generator)
    assert one.tokens[1:] == alone("llama", [*ids[:-2], 5], 3)
    assert many.tokens[1:] == alone("llama", [*ids[:-2], 5, 6], 3)


def test_a_drawn_text_depends_on_its_key_alone() -> None:
    def draw(num_slots: int, keys: list[int]) -> dict[int, list[int]]:
        generator = model("llama").generator(num_slots)
        scribes = {key: Scribe(length=9) for key in keys}
        for key, scribe in scribes.items():
            generator.begin(scribe, prompt(TEXTS[key % 3]), temperature=1.0, key=key)
        run(generator)
        return {key: scribe.tokens for key, scribe in scribes.items()}

    together = draw(5, list(range(8)))
    assert len({tuple(tokens) for tokens in together.values()}) == 8
    for key, tokens in together.items():
        assert draw(1, [key]) == {key: tokens}


def test_entries_with_a_bracket_are_never_chosen_where_no_call_may_start() -> None:
    brackets = model("llama").tokenizer.bracket_ids
    assert brackets >= set(model("llama").tokenizer.start_marker_ids)
    for may_open in (True, False):
        generator = model("llama").generator(64)
        scribes = [Scribe(length=8, may_open=may_open) for _ in range(64)]
        for key, scribe in enumerate(scribes):
            generator.begin(scribe, prompt("["), temperature=3.0, key=key)
        run(generator)
        assert bool(brackets & {token for scribe in scribes for token in scribe.tokens}) == may_open


def test_the_start_marker_is_near_where_fewer_than_k_other_entries_are_likelier() -> None:
    network, ids = model("llama")._network, prompt(TEXTS[0])
    with torch.inference_mode():
        logits = network.model(torch.tensor([ids])).logits[0, -1]
    markers = list(model("llama").tokenizer.start_marker_ids)
    others = [value for token, value in enumerate(logits.tolist()) if token not in markers]
    rank = sum(value > logits[markers].logsumexp(0).item() for value in others)
    for within in (rank, rank + 1):
        scribe, generator = Scribe(length=1, open_within=within), model("llama").generator(1)
        generator.begin(scribe, ids)
        run(generator)
        assert scribe.chosen[0].is_marker_near == (within == rank + 1)


def test_short_of_memory_the_same_texts_are_written_in_fewer_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    write = CachedSequences.write

    def write_two(self: CachedSequences, ids: Sequence[int]) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError
        return write(self, ids)

    monkeypatch.setattr(CachedSequences, "write", write_two)
    generator = build_language_model("llama").generator(6)
    scribes = [Scribe(length=5) for _ in TEXTS]
    for scribe, text in zip(scribes, TEXTS, strict=True):
        generator.begin(scribe, prompt(text))
    run(generator)
    assert [s.tokens for s in scribes] == [alone("llama", prompt(text), 5) for text in TEXTS]


@pytest.mark.parametrize("is_close", [True, False])
def test_a_choice_that_is_too_close_to_call_is_made_on_the_text_alone(
    is_close: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_five(_: Chooser, text: Text) -> torch.Tensor:
        return torch.eye(400)[5:6] * 9

    monkeypatch.setattr(Chooser, "logits_alone", always_five)
    monkeypatch.setattr("toolformer_ray.lm.writing.next_token.TIE_MARGIN", 99.0 if is_close else 0.0)
    scribe, generator = Scribe(length=4), model("llama").generator(1)
    generator.begin(scribe, prompt(TEXTS[0]))
    run(generator)
    assert (scribe.tokens == [5, 5, 5, 5]) == is_close


@pytest.mark.parametrize(("dtype", "num_whole_reads"), [(torch.float32, 4), (torch.bfloat16, 0)])
def test_ties_are_settled_by_reading_a_text_again_only_in_the_number_type_that_settles_them(
    dtype: torch.dtype, num_whole_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolformer_ray.lm.writing.next_token.TIE_MARGIN", 99.0)
    generator = wrap_model(build_model("llama").to(dtype)).generator(1)
    whole_reads, read_whole = [], Network.read_whole
    monkeypatch.setattr(Network, "read_whole", lambda self, texts: whole_reads.append(1) or read_whole(self, texts))
    scribe = Scribe(length=4)
    generator.begin(scribe, prompt(TEXTS[0]))
    run(generator)
    assert (len(scribe.tokens), len(whole_reads)) == (4, num_whole_reads)
