"""The engine's front: a causal language model that is asked about whole lists of sequences (paper, section 2).

It samples calls at places that are chosen while it reads, writes texts token by token, and gives the log-probabilities
of chosen tokens: of whole sequences, of texts bit by bit, or after something is inserted into a text. Batches, caches
and devices are its own business; answers come in the order of the requests.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from transformers import PreTrainedModel

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.configuration import read_config, read_window
from toolformer_ray.lm.files import fingerprint_weights, load_network
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import ChoosePlaces, Insertion, Prompt, PromptBatch, Samples, ScoreRequest, TokenScores
from toolformer_ray.lm.scoring.insertion import InsertionReader
from toolformer_ray.lm.scoring.text_reading import TextReading
from toolformer_ray.lm.scoring.whole_sequences import SequenceScorer
from toolformer_ray.lm.self_check import check_and_prepare
from toolformer_ray.lm.sources import find_files, fingerprint_model
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.prompts import PromptReader
from toolformer_ray.lm.writing.sampler import CallSampler, SamplingOptions

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
        files: Path | None = None,
    ) -> None:
        """`files`: the folder or GGUF file that the model came from, if any.

        `token_budget`: by default what suits the device.
        Raises ValueError for a model that the engine cannot run exactly.
        """
        if not tokenizer.bos_ids:
            raise ValueError(
                f"tokenizer of {tokenizer.name!r} has neither a beginning- nor an end-of-sequence token, so nothing "
                "can stand before a text's first token; set bos_token in its tokenizer_config.json"
            )
        self.tokenizer = tokenizer
        self._files = files
        self.window = read_window(model.config, tokenizer.name)
        """The longest sequence, in tokens."""
        self._network = Network(model)
        default = DEFAULT_TOKEN_BUDGETS[self._network.device.type]
        self._budget = TokenBudget(default if token_budget is None else token_budget)
        self._reader = PromptReader(self._network, tokenizer)
        check_and_prepare(self._network, tokenizer)

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
        """A model by its folder, GGUF file or name; `device` as torch names it, `dtype` "float32" or "bfloat16".

        A model that is too large for one device is laid over several by `device_map`, as from_pretrained understands
        it, and has no KV cache then. Only safetensors are read, and no code from the model's folder is run. Raises
        ValueError, one line, if a value is wrong or the model cannot be used.
        """
        read_config(name_or_path)  # What is wrong with it would be told by the tokenizer, as if it were its own fault.
        tokenizer = TextTokenizer.load(name_or_path)
        model = load_network(name_or_path, device=device, dtype=dtype, device_map=device_map)
        return cls(model, tokenizer, token_budget=token_budget, files=find_files(name_or_path))

    @property
    def fingerprint(self) -> str:
        """A hash of the configuration, weights and tokenizer; the same for a copy elsewhere and on every device."""
        return fingerprint_model(self._files) if self._files else fingerprint_weights(self._network.model)

    @property
    def vocabulary_size(self) -> int:
        """How many entries can be read; the tokenizer may know fewer."""
        return self._network.vocabulary_size

    @property
    def num_tokens_read(self) -> int:
        """Tokens that went through the model since it was loaded, its self-check included: the unit of cost."""
        return self._network.num_tokens_read

    @property
    def done(self) -> Mapping[str, int]:
        """What was answered since the model was loaded, at any moment: `Network.done`."""
        return dict(self._network.done)

    def sample_calls(
        self,
        prompts: Sequence[Prompt],
        choose: ChoosePlaces,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        stop: str | None = None,
    ) -> Samples:
        """`stream_calls` for one batch of prompts."""
        batches = [(prompts, choose)]
        return self.stream_calls(batches, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop)[0]

    @torch.inference_mode()
    def stream_calls(
        self,
        batches: Iterable[PromptBatch],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        stop: str | None = None,
    ) -> list[Samples]:
        """Per batch, per prompt, per chosen place, per key one sample: what the model writes behind the opening.

        A batch's `choose` is asked once about every prompt, about several at a time: from log p(opening) before each
        token of their texts, all spellings of the start marker added, to the places where calls are sampled. Each
        prompt is read once, and all its samples go on from its KV cache. A sample ends with the end marker, or with
        `stop` if it is given; neither is part of its text.

        The next batch is asked for when there is room for its samples and places are chosen in all prompts before it,
        without waiting for their samples to end.

        In float32 and on one kind of device a sample depends on its sequence and key alone, not on the batch.
        """
        options = SamplingOptions(max_new_tokens=max_new_tokens, temperature=temperature, stop=stop)
        sampler = CallSampler(self._network, self.tokenizer, self._budget, self._reader, options)
        return sampler.run(self._checked(batches, max_new_tokens))

    @torch.inference_mode()
    def start_log_probs_alone(self, prompt: Prompt) -> np.ndarray:
        """Float32 (tokens of the text,): log p(opening) before each, computed in batches of one; minus infinity where
        it is not asked about.

        Settles choices of places that are too close to call.
        """
        prompt.check()
        self._check_length(len(prompt))
        [log_openings] = self._budget.run([1], lambda _: [self._reader.log_openings_alone(prompt)])
        return log_openings.numpy()

    def generator(self, num_slots: int) -> Generator:
        """Writes texts token by token, so many at a time."""
        return Generator(self._network, self.tokenizer, self._budget, num_slots)

    def read_texts(self, texts: Sequence[Sequence[int]], asked_again: Sequence[bool]) -> TextReading:
        """Texts, given by their token ids, whose tokens' log-probabilities may be asked for bit by bit.

        `asked_again`: whether a text may be asked about more than once, so that it had better be read to its end.
        """
        for text_ids in texts:
            self._check_length(len(self.tokenizer.bos_ids) + len(text_ids))
        return TextReading(self._network, self._budget, self.tokenizer.bos_ids, texts, asked_again)

    @torch.inference_mode()
    def log_probs(self, requests: Sequence[ScoreRequest], *, without_calls: bool = False) -> list[np.ndarray]:
        """Per request float32 (targets,): log p(ids[j] | ids[:j]) for each target j.

        `without_calls`: no call may start, so entries that hold a `[` have probability 0 unless they are the target.
        """
        return self._scorer(requests, without_calls=without_calls).log_probs(requests)

    @torch.inference_mode()
    def log_probs_alone(self, request: ScoreRequest) -> np.ndarray:
        """The same for one request in a batch of its own. Settles what is too close to a threshold."""
        return self.log_probs([request])[0]

    @torch.inference_mode()
    def likeliest(
        self, requests: Sequence[ScoreRequest], num_likeliest: int, *, without_calls: bool = False
    ) -> list[TokenScores]:
        """`log_probs` with the likeliest entries at the place of each target; every request has at least one."""
        return self._scorer(requests, without_calls=without_calls).likeliest(requests, num_likeliest)

    @torch.inference_mode()
    def are_greedy(self, requests: Sequence[ScoreRequest], *, without_calls: bool = False) -> list[bool]:
        """Per request whether each target is the likeliest token at its place; `without_calls` as in `log_probs`."""
        return self._scorer(requests, without_calls=without_calls).are_greedy(requests)

    @torch.inference_mode()
    def log_probs_inserted(self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion]) -> list[np.ndarray]:
        """Per insertion float32 (endings, targets): log p of the text's tokens after what is inserted.

        With a KV cache each text is read once for all its insertions, and each opening for all its endings; else every
        sequence as a whole.
        """
        bos_ids = self.tokenizer.bos_ids
        for insertion in insertions:
            insertion.check(len(texts[insertion.text]))
            longest = max(map(len, insertion.endings))
            self._check_length(len(bos_ids) + len(insertion.opening) + longest + insertion.targets[-1] + 1)
        if not self._network.has_kv_cache:
            requests = [insertion.as_requests(bos_ids, texts[insertion.text]) for insertion in insertions]
            answers = iter(self.log_probs([request for group in requests for request in group]))
            return [np.stack([next(answers) for _ in group]) for group in requests]
        return InsertionReader(self._network, self._budget, bos_ids).log_probs(texts, insertions)

    def _scorer(self, requests: Sequence[ScoreRequest], *, without_calls: bool) -> SequenceScorer:
        for request in requests:
            request.check()
            self._check_length(len(request.ids))
        barred = sorted(self.tokenizer.bracket_ids) if without_calls else ()
        return SequenceScorer(self._network, self._budget, barred)

    def _checked(self, batches: Iterable[PromptBatch], max_new_tokens: int) -> Iterator[PromptBatch]:
        for prompts, choose in batches:
            for prompt in prompts:
                prompt.check()
                num_opening = len(self.tokenizer.open_ids) + len(prompt.opening_ids)
                self._check_length(len(prompt) + num_opening + max_new_tokens)
            yield prompts, choose

    def _check_length(self, length: int) -> None:
        if length > self.window:
            raise ValueError(
                f"a sequence of {length} tokens exceeds the window of {self.window} tokens of "
                f"{self.tokenizer.name!r}; cut the texts shorter or use a model with a longer window"
            )
