"""A language model whose every probability is written down by the test: what stages are tested on.

It answers the engine's three questions from one function of the text so far, by definition and without a batch.
"""

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from toolformer_ray.lm.requests import Insertion, Place, Prompt, Sample, ScoreRequest
from toolformer_ray.lm.tokenizer import Places

_TOKEN = re.compile(r" ?\w+| ?[^\w\s]|\s")
BOS = "<s>"

NextToken = Callable[[str], Mapping[str, float]]
"""From all that was written so far to the probabilities of what may come next; what it leaves out has `otherwise`."""

Choose = Callable[[Sequence[int], Sequence[np.ndarray]], Sequence[Sequence[Place]]]


def suffixes(table: Mapping[str, Mapping[str, float]]) -> NextToken:
    """What may come next after a text that ends so; of several endings the longest counts."""
    endings = sorted(table, key=len, reverse=True)
    return lambda context: next((table[ending] for ending in endings if context.endswith(ending)), {})


class ScriptedTokenizer:
    """A word, a number or a sign with the space before it is a token; ids are given in the order of first sight."""

    def __init__(self) -> None:
        self.entries = [BOS, " ["]
        self.bos_ids = (0,)
        self.open_ids = (1,)

    def encode(self, text: str) -> list[int]:
        return self.places(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.entries[token] for token in ids)

    def places(self, text: str) -> Places:
        matches = list(_TOKEN.finditer(text))
        assert "".join(match[0] for match in matches) == text
        self.entries += dict.fromkeys(match[0] for match in matches if match[0] not in self.entries)
        ids = [self.entries.index(match[0]) for match in matches]
        return Places(ids, [match.start() for match in matches], [True] * len(ids))


class ScriptedModel:
    """`window` is in tokens; `asked` counts the sequences of each kind that were asked for."""

    def __init__(self, next_token: NextToken, *, otherwise: float = 0.001, window: int = 10_000) -> None:
        self.tokenizer = ScriptedTokenizer()
        self.window = window
        self.asked: dict[str, int] = {"starts": 0, "samples": 0, "scores": 0, "alone": 0}
        self.sequences: list[str] = []
        """What was read, as text, in the order of asking."""
        self.written: list[str] = []
        """The samples, with what ended them."""
        self._next_token = next_token
        self._otherwise = otherwise

    def sample_calls(
        self,
        prompts: Sequence[Prompt],
        choose: Choose,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        stop: str | None = None,
    ) -> list[list[list[Sample]]]:
        self.asked["starts"] += len(prompts)
        chosen = choose(range(len(prompts)), [self._start_log_probs(prompt) for prompt in prompts])
        answers = []
        for prompt, places in zip(prompts, chosen, strict=True):
            before = [
                [*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[: p.token_index], 1, *prompt.opening_ids]
                for p in places
            ]
            answers.append(
                [
                    [self._sample(ids, key, max_new_tokens, stop) for key in place.keys]
                    for ids, place in zip(before, places, strict=True)
                ]
            )
            self.asked["samples"] += sum(len(place.keys) for place in places)
        return answers

    def stream_calls(
        self,
        portions: Iterable[tuple[Sequence[Prompt], Choose]],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        stop: str | None = None,
    ) -> list[list[list[list[Sample]]]]:
        return [self.sample_calls(*portion, max_new_tokens=max_new_tokens, stop=stop) for portion in portions]

    def start_log_probs_alone(self, prompt: Prompt) -> np.ndarray:
        self.asked["alone"] += 1
        return self._start_log_probs(prompt)

    def read_texts(self, texts: Sequence[Sequence[int]], asked_again: Sequence[bool]) -> "ScriptedReading":
        return ScriptedReading(self, texts)

    def log_probs(self, requests: Sequence[ScoreRequest]) -> list[np.ndarray]:
        self.asked["scores"] += len(requests)
        return [self._log_probs(request) for request in requests]

    def log_probs_inserted(self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion]) -> list[np.ndarray]:
        self.asked["inserted"] = self.asked.get("inserted", 0) + len(insertions)
        return [
            np.stack([self._log_probs(each) for each in one.as_requests(self.tokenizer.bos_ids, texts[one.text])])
            for one in insertions
        ]

    def log_probs_alone(self, request: ScoreRequest) -> np.ndarray:
        self.asked["alone"] += 1
        return self._log_probs(request)

    def _start_log_probs(self, prompt: Prompt) -> np.ndarray:
        before = [*prompt.shared_ids, *prompt.own_ids]
        asked = range(len(prompt.text_ids)) if prompt.asked is None else prompt.asked
        starts = [
            self._log_opening([*before, *prompt.text_ids[:i]], prompt.opening_ids) if i in asked else -math.inf
            for i in range(len(prompt.text_ids))
        ]
        self.sequences.append(self.tokenizer.decode([*before, *prompt.text_ids]))
        return np.array(starts, np.float32)

    def _log_opening(self, before: Sequence[int], opening_ids: Sequence[int]) -> float:
        ids = [1, *opening_ids]
        return sum(self._log_prob([*before, *ids[:n]], token) for n, token in enumerate(ids))

    def _log_probs(self, request: ScoreRequest) -> np.ndarray:
        self.sequences.append(self.tokenizer.decode(request.ids))
        return np.array([self._log_prob(request.ids[:j], request.ids[j]) for j in request.targets], np.float32)

    def _log_prob(self, before: Sequence[int], token: int) -> float:
        known = self._next_token(self.tokenizer.decode(before))
        return math.log(known.get(self.tokenizer.entries[token], self._otherwise))

    def _sample(self, before: Sequence[int], key: int | None, max_new_tokens: int, stop: str | None) -> Sample:
        chance = random.Random(key)
        context, ids, written = self.tokenizer.decode(before), [], ""
        ends = ["]"] if stop is None else [stop, "]"]
        while len(ids) < max_new_tokens and not any(end in written for end in ends):
            known = self._next_token(context + written)
            (token,) = (
                chance.choices(list(known), list(known.values())) if key is not None else [max(known, key=known.get)]
            )
            ids += self.tokenizer.encode(token)
            written += token
        self.written.append(written)
        end = next((end for end in ends if end in written), None)
        return Sample(ids=tuple(ids), text=None if end is None else written.split(end)[0])


class NoisyModel(ScriptedModel):
    """Losses of a batch are off by `noise` in the last digits; those of a single request are not.

    The sign of the noise turns where `turns_sign` is in the sequence, so that it does not cancel in a difference.
    """

    def __init__(self, next_token: NextToken, noise: float, turns_sign: str = "\0") -> None:
        super().__init__(next_token)
        self._noise, self._turns_sign = noise, turns_sign

    def log_probs(self, requests: Sequence[ScoreRequest]) -> list[np.ndarray]:
        signs = [-1 if self._turns_sign in self.tokenizer.decode(request.ids) else 1 for request in requests]
        exact = super().log_probs(requests)
        return [answer + np.float32(self._noise * sign) for answer, sign in zip(exact, signs, strict=True)]

    def log_probs_inserted(self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion]) -> list[np.ndarray]:
        return [answer + np.float32(self._noise) for answer in super().log_probs_inserted(texts, insertions)]


class ScriptedReading:
    """Each text counts as one score, when it is first asked about."""

    def __init__(self, model: ScriptedModel, texts: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._texts = texts
        self._read: set[int] = set()

    def log_probs(self, wanted: Mapping[int, Sequence[int]]) -> dict[int, np.ndarray]:
        answers = {}
        for number, tokens in wanted.items():
            ids = [*self._model.tokenizer.bos_ids, *self._texts[number]]
            answers[number] = self._model._log_probs(ScoreRequest(ids=ids, targets=[1 + j for j in tokens]))
            self._model.asked["scores"] += bool(tokens) and number not in self._read
            self._read |= {number} if tokens else set()
        return answers
