"""The engine's front: a causal language model that is asked about whole lists of sequences (paper, section 2).

Two kinds of question: where calls may start in texts and samples that continue from there, asked together since one
reading serves both; and log-probabilities of chosen tokens, of whole sequences, of texts bit by bit, or behind what is
written into a text. Batches, caches, devices stay behind them; answers come in request order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.fingerprint import fingerprint_folder, fingerprint_weights
from toolformer_ray.lm.loading import find_folder, load_network, read_window
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Insertion, Prompt, ScoreRequest
from toolformer_ray.lm.scoring.insertion import InsertionReader, whole_request
from toolformer_ray.lm.scoring.prompt_reading import PromptReader
from toolformer_ray.lm.scoring.text_reading import TextReading
from toolformer_ray.lm.self_check import prepare
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.call_stream import Answer, CallStream, ChoosePlaces, Portion
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.sampling import Sampler, SamplingOptions

DEFAULT_TOKEN_BUDGETS = {"cpu": 1024, "cuda": 16384}
"""Tokens through the model at once, by kind of device: on a CPU what its caches hold, on a GPU what keeps it busy."""


class LanguageModel:
    """A causal LM with its tokenizer on one device."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: TextTokenizer,
        *,
        token_budget: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """`folder` holds the model's files, if it came from there. `token_budget`: by default what suits the device.

        Raises ValueError for a model that the engine cannot run exactly.
        """
        if not tokenizer.bos_ids:
            raise ValueError(
                f"tokenizer of {tokenizer.name!r} has neither a beginning- nor an end-of-sequence token, so nothing "
                "can stand before a text's first token; set bos_token in its tokenizer_config.json"
            )
        self.tokenizer = tokenizer
        self._folder = folder
        self.window = read_window(model.config, tokenizer.name)
        """The longest sequence, in tokens."""
        self._network = Network(model)
        default = DEFAULT_TOKEN_BUDGETS[self._network.device.type]
        self._budget = TokenBudget(default if token_budget is None else token_budget)
        self._reader = PromptReader(self._network, tokenizer)
        prepare(self._network, tokenizer)

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        token_budget: int | None = None,
        device_map: str | Mapping[str, Any] | None = None,
    ) -> Self:
        """A model by its folder or name; `device` as torch names it, `dtype` "float32" or "bfloat16".

        One that is too large for a device is laid over several by `device_map`, as from_pretrained understands it; its
        sequences are read whole.

        Reads safetensors only and runs no code from the model's folder. Raises ValueError, one line, if a value is
        wrong or the model cannot be used.
        """
        tokenizer = TextTokenizer.load(name_or_path)
        model = load_network(name_or_path, device=device, dtype=dtype, device_map=device_map)
        return cls(model, tokenizer, token_budget=token_budget, folder=find_folder(name_or_path))

    @property
    def fingerprint(self) -> str:
        """A hash of the configuration, weights and tokenizer; the same for a copy elsewhere and on every device."""
        return fingerprint_folder(self._folder) if self._folder else fingerprint_weights(self._network.model)

    @property
    def num_tokens_read(self) -> int:
        """Tokens that went through the model since it was loaded, those of its own check included: the unit of cost."""
        return self._network.num_tokens_read

    def sample_calls(
        self,
        prompts: Sequence[Prompt],
        choose: ChoosePlaces,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        stop: str | None = None,
    ) -> Answer:
        """Per prompt, per chosen place, per key one sample: what the model writes after the start marker there.

        `choose` is asked once for every prompt, for some of them at a time: from log p(start marker) before each token
        of their texts, all spellings of the marker added, to the places where calls are to be sampled. Each prompt is
        read once: all its samples go on from there. Prompts with equal shared ids should stand together.
        Samples end at the end marker, and at `stop` if it is given; either is no part of their text.

        A sample depends on its sequence and its key alone, not on the batch, in float32 on one kind of device.
        """
        portions = [(prompts, choose)]
        return self.stream_calls(portions, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop)[0]

    @torch.inference_mode()
    def stream_calls(
        self, portions: Iterable[Portion], *, max_new_tokens: int, temperature: float = 1.0, stop: str | None = None
    ) -> list[Answer]:
        """The same for many prompts, portion by portion, as one stream: nothing waits for a portion to be finished.

        A portion is asked for when there is room for its samples and all prompts before it are read.
        """
        options = SamplingOptions(max_new_tokens=max_new_tokens, temperature=temperature, stop=stop)
        sampler = Sampler(self._network, self.tokenizer, self._budget, options)
        new = len(self.tokenizer.open_ids) + max_new_tokens
        return CallStream(self._reader, sampler, self._budget).run(self._checked(portions, new))

    @torch.inference_mode()
    def start_log_probs_alone(self, prompt: Prompt) -> np.ndarray:
        """Float32 (tokens of the text,): log p(start marker) before each, from a batch of one, nothing shared.

        Settles what is close.
        """
        _check_prompt(prompt)
        self._check_length(len(prompt.shared_ids) + len(prompt.own_ids) + len(prompt.text_ids))
        [log_starts] = self._budget.run([1], lambda _: [self._reader.log_starts_alone(prompt)])
        return log_starts.numpy()

    def read_texts(self, texts: Sequence[Sequence[int]], asked_again: Sequence[bool]) -> TextReading:
        """Texts, given by their token ids, whose tokens' log-probabilities may be asked for bit by bit.

        `asked_again`: whether that may happen more than once for a text, so that it had better be read to its end.
        """
        for text_ids in texts:
            self._check_length(len(self.tokenizer.bos_ids) + len(text_ids))
        return TextReading(self._network, self._budget, self.tokenizer.bos_ids, texts, asked_again)

    @torch.inference_mode()
    def log_probs(self, requests: Sequence[ScoreRequest], *, without_calls: bool = False) -> list[np.ndarray]:
        """Per request float32 (targets,): log p(ids[j] | ids[:j]) for each target j. Nothing after the last is read.

        `without_calls`: no call may start, so entries with a `[` have probability 0, but for those of the sequence.
        """
        barred = sorted(self.tokenizer.bracket_ids) if without_calls else ()
        for request in requests:
            _check_targets(request)
            self._check_length(len(request.ids))
        ends = [max(r.targets, default=1) for r in requests]

        def answer(batch: list[int]) -> list[np.ndarray]:
            chosen = [requests[index] for index in batch]
            hidden = self._network.read_whole([r.ids[: ends[index]] for index, r in zip(batch, chosen, strict=True)])
            return self._target_log_probs(hidden, chosen, barred)

        return self._budget.run(ends, answer)

    @torch.inference_mode()
    def log_probs_inserted(self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion]) -> list[np.ndarray]:
        """Per insertion float32 (targets,): the text's tokens behind what is written into it.

        Each text is read once for all that is inserted into it; a model that is not served reads every sequence whole.
        """
        bos_ids = self.tokenizer.bos_ids
        for insertion in insertions:
            _check_insertion(insertion, len(texts[insertion.text]))
            self._check_length(len(bos_ids) + len(insertion.ids) + insertion.targets[-1] + 1)
        if not self._network.is_served:
            return self.log_probs([whole_request(bos_ids, texts[n.text], n) for n in insertions])
        return InsertionReader(self._network, self._budget, bos_ids).log_probs(texts, insertions)

    @torch.inference_mode()
    def log_probs_alone(self, request: ScoreRequest) -> np.ndarray:
        """The same for one request, batch of one. Settles what is close."""
        return self.log_probs([request])[0]

    @torch.inference_mode()
    def are_greedy(self, requests: Sequence[ScoreRequest], *, without_calls: bool = False) -> list[bool]:
        """Per request whether each of its targets is the likeliest token at its place; `without_calls` as above."""
        barred = sorted(self.tokenizer.bracket_ids) if without_calls else ()
        ends = [max(r.targets, default=1) for r in requests]

        def answer(batch: list[int]) -> list[bool]:
            chosen = [requests[index] for index in batch]
            hidden = self._network.read_whole([r.ids[: ends[index]] for index, r in zip(batch, chosen, strict=True)])
            return [
                self._network.are_likeliest(*self._targets([hidden_TW], [request]), barred)
                for hidden_TW, request in zip(hidden, chosen, strict=True)
            ]

        return self._budget.run(ends, answer)

    def generator(self, num_slots: int) -> Generator:
        """Writes texts token by token, so many at a time."""
        return Generator(self._network, self.tokenizer, self._budget, num_slots)

    def _checked(self, portions: Iterable[Portion], num_new: int) -> Iterator[Portion]:
        for prompts, choose in portions:
            for prompt in prompts:
                _check_prompt(prompt)
                self._check_length(len(prompt.shared_ids) + len(prompt.own_ids) + len(prompt.text_ids) + num_new)
            yield prompts, choose

    def _target_log_probs(
        self, hidden: Sequence[Tensor], requests: Sequence[ScoreRequest], barred: Sequence[int] = ()
    ) -> list[np.ndarray]:
        values = self._network.token_log_probs(*self._targets(hidden, requests), barred).cpu()
        return [part.numpy() for part in values.split([len(r.targets) for r in requests])]

    def _targets(self, hidden: Sequence[Tensor], requests: Sequence[ScoreRequest]) -> tuple[Tensor, Tensor]:
        """What foretells the targets of all requests, the state after token j - 1 token j; and the targets."""
        rows = [hidden_TW[[j - 1 for j in r.targets]] for hidden_TW, r in zip(hidden, requests, strict=True)]
        targets = torch.tensor([r.ids[j] for r in requests for j in r.targets], device=self._network.device)
        return torch.cat(rows), targets

    def _check_length(self, length: int) -> None:
        if length > self.window:
            raise ValueError(
                f"a sequence of {length} tokens exceeds the window of {self.window} tokens of "
                f"{self.tokenizer.name!r}; cut the texts shorter or use a model with a longer window"
            )


def _check_prompt(prompt: Prompt) -> None:
    if not prompt.shared_ids:
        raise ValueError("shared_ids is empty; every sequence begins with the tokenizer's bos_ids")


def _check_insertion(insertion: Insertion, num_tokens: int) -> None:
    if not insertion.ids or not insertion.targets:
        raise ValueError("an insertion needs something to write and tokens to ask for")
    if not 0 <= insertion.token_index <= insertion.targets[0] <= insertion.targets[-1] < num_tokens:
        raise ValueError(
            f"targets {list(insertion.targets)} must lie between place {insertion.token_index} and the end of the "
            f"text, {num_tokens} tokens"
        )


def _check_targets(request: ScoreRequest) -> None:
    for target in request.targets:
        if not 1 <= target < len(request.ids):
            raise ValueError(f"target {target} must lie between 1 and {len(request.ids) - 1}, inside the sequence")
