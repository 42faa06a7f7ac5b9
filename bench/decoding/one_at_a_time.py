"""The baseline of decoding: `generate` with a stopping criterion at the arrow, one text after the other.

Where the start marker is among the k likeliest tokens, it is made the likeliest. After the tool's answer, `generate`
continues with the keys and values that it has. A call that gets no answer stays in the text.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor, PreTrainedModel, StoppingCriteria

from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import parse_sample


class _AtCall(StoppingCriteria):
    """Stops behind ` ->` or a `]`."""

    def __init__(self, tokenizer: TextTokenizer, size: int) -> None:
        self._ids = {token for token in range(size) if any(end in tokenizer.decode([token]) for end in ("->", "]"))}

    def __call__(self, input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.tensor([int(input_ids[0, -1]) in self._ids])


class _Opens(LogitsProcessor):
    """The paper's inference: a call starts where its marker is among the k likeliest."""

    def __init__(self, marker: int, top_k: int) -> None:
        self._marker, self._top_k = marker, top_k

    def __call__(self, _: Tensor, scores: Tensor) -> Tensor:
        if self._marker in scores[0].topk(self._top_k).indices:
            scores[0, self._marker] = scores[0].max() + 1
        return scores


class OneAtATime:
    """`ask` is given a call's name and input and answers with its result."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: TextTokenizer, ask: Callable[[str, str], str], *, top_k: int
    ) -> None:
        self._model, self._tokenizer, self._ask = model, tokenizer, ask
        self._stop = _AtCall(tokenizer, model.config.vocab_size)
        self._opens = _Opens(tokenizer.open_ids[-1], top_k)
        self._end_ids = sorted(tokenizer.stop_ids)

    @torch.inference_mode()
    def write(self, prompt: str, max_new_tokens: int) -> list[int]:
        """The ids behind the prompt, with at most one call."""
        ids = [*self._tokenizer.bos_ids, *self._tokenizer.encode(prompt)]
        start, limit, cache = len(ids), len(ids) + max_new_tokens, DynamicCache(config=self._model.config)
        called = False
        while len(ids) < limit:
            ids = self._go_on(ids, limit - len(ids), cache, may_call=not called)
            if called or ids[-1] in self._end_ids or len(ids) == limit:
                break
            called = True
            ids += self._answer(ids[start:])
        return ids[start:]

    def _go_on(self, ids: Sequence[int], most: int, cache: DynamicCache, *, may_call: bool) -> list[int]:
        written = self._model.generate(  # type: ignore[operator]
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            past_key_values=cache,
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=self._end_ids,
            pad_token_id=self._end_ids[0],
            stopping_criteria=[self._stop] if may_call else None,
            logits_processor=[self._opens] if may_call else None,
        )
        return written[0].tolist()

    def _answer(self, ids: Sequence[int]) -> list[int]:
        written = self._tokenizer.decode(list(ids)).rpartition("[")[2]
        call = parse_sample(written.replace(" ->", "").partition("]")[0])
        return self._tokenizer.encode(f" {self._ask(*call)}]" if call else "")
