"""(b) The baseline: a plain pipeline on transformers, such as a good engineer writes in an afternoon.

It uses batched `generate` with `num_return_sequences`, and forward passes with full logits. Sequences are sorted by
length and padded, equal ones are read once, and batch sizes are tuned. No cache is kept from one call to the next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from toolformer_ray.bench.calls import Call, distinct_calls
from toolformer_ray.bench.engine_run import Annotation, TextPlace
from toolformer_ray.bench.meter import Meter
from toolformer_ray.bench.workload import Workload
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.tokenizer import END_MARKER, TextTokenizer
from toolformer_ray.losses.weights import weighted_loss, weighted_token_indices


@dataclass(frozen=True, kw_only=True)
class PlainSizes:
    """Batch sizes; see `bench.tuning`."""

    prompts: int = 1
    """Prompts per call of `generate`; each becomes m rows."""
    sequences: int = 4
    """Sequences per forward pass."""
    max_logits_bytes: int = 2**31
    """A forward pass has fewer sequences if its logits in float32 would exceed this."""


class PlainPipeline:
    """The baseline on one model."""

    def __init__(self, model: PreTrainedModel, tokenizer: TextTokenizer, sizes: PlainSizes, meter: Meter) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._sizes = sizes
        self._meter = meter
        self._ends = sorted(tokenizer.end_marker_ids | tokenizer.stop_ids)

    @torch.inference_mode()
    def annotate(self, work: Workload, engine: Annotation) -> Annotation:
        """Places, samples and losses of all texts.

        Draws its own samples at all places, but scores the engine's calls where the engine sampled: so both have the
        same sequences to score, and their losses can be compared.
        """
        meter = self._meter
        with meter.stage("positions"):
            log_starts = self.start_log_probs(work)
            places = [work.choose_places(log_probs, n) for n, log_probs in enumerate(log_starts)]
        everywhere = [(n, place) for n, indices in enumerate(places) for place in indices]
        with meter.stage("samples"):
            samples = self.sample(work, everywhere)
        calls = list(engine.calls)
        for at in everywhere:
            if at not in engine.samples:
                calls += distinct_calls(self._tokenizer, work, *at, samples[at])
        with meter.stage("loss without"):
            bos_ids = self._tokenizer.bos_ids
            losses = self._losses([(bos_ids, n, place) for n, place in everywhere], work)
            loss_without = dict(zip(everywhere, losses, strict=True))
        with meter.stage("loss with result"):
            loss_with_result = self.score(calls, work, with_result=True)
        with meter.stage("loss with call"):
            loss_with_call = self.score(calls, work, with_result=False)
        return Annotation(
            log_starts=log_starts,
            places=places,
            loss_without=loss_without,
            samples=samples,
            calls=calls,
            loss_with_result=loss_with_result,
            loss_with_call=dict(enumerate(loss_with_call)),
        )

    @torch.inference_mode()
    def start_log_probs(self, work: Workload) -> list[np.ndarray]:
        """Per text log p(start marker) before each token, from full logits."""
        markers = list(self._tokenizer.start_marker_ids)
        sequences = [[*work.shared_ids, *text.own_ids, *text.text_ids] for text in work.texts]

        def read_rows(index: int, log_probs_TV: Tensor) -> np.ndarray:
            first = len(sequences[index]) - len(work.texts[index].text_ids)
            rows = log_probs_TV[first - 1 : len(sequences[index]) - 1, markers]
            return rows.logsumexp(-1).cpu().numpy()

        return self._forward(sequences, read_rows)

    @torch.inference_mode()
    def sample(self, work: Workload, everywhere: Sequence[TextPlace]) -> dict[TextPlace, list[Sample]]:
        """m samples at each place, by `generate` over the whole prompts, padded on the left."""
        opening = self._tokenizer.open_ids
        prompts = [
            [*work.shared_ids, *work.texts[n].own_ids, *work.texts[n].text_ids[:place], *opening]
            for n, place in everywhere
        ]
        found: dict[TextPlace, list[Sample]] = {}
        for batch in _batches(prompts, lambda _: self._sizes.prompts):
            rows = self._generate([prompts[index] for index in batch], work)
            for number, index in enumerate(batch):
                found[everywhere[index]] = rows[number * work.num_samples : (number + 1) * work.num_samples]
        return found

    def score(self, calls: Sequence[Call], work: Workload, *, with_result: bool) -> list[float]:
        """L+ of each call or, without the result, L(e(c, ε)); nats."""
        prefixes = [call.ids_with_result if with_result else call.ids_without_result for call in calls]
        placed = [(prefix, call.text, call.token_index) for prefix, call in zip(prefixes, calls, strict=True)]
        return self._losses(placed, work)

    def _generate(self, prompts: Sequence[Sequence[int]], work: Workload) -> list[Sample]:
        width = max(map(len, prompts))
        pad = self._ends[0]
        ids_BT = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask_BT = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        config = GenerationConfig(
            do_sample=True,
            top_k=0,
            num_return_sequences=work.num_samples,
            max_new_tokens=work.max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=pad,
        )
        device = self._model.device
        written_NT = self._model.generate(
            ids_BT.to(device), attention_mask=mask_BT.to(device), generation_config=config
        )
        samples = [self._read_sample(row) for row in written_NT[:, width:].tolist()]
        steps = written_NT.shape[1] - width
        left = sum(width - len(prompt) for prompt in prompts) * work.num_samples
        self._meter.add_padding(left + sum(steps - len(sample.ids) for sample in samples))
        return samples

    def _read_sample(self, row: Sequence[int]) -> Sample:
        end = next((number for number, token in enumerate(row) if token in self._ends), len(row) - 1)
        ids = tuple(row[: end + 1])
        is_finished = ids[-1] in self._tokenizer.end_marker_ids
        text = self._tokenizer.decode(ids).partition(END_MARKER)[0] if is_finished else None
        return Sample(ids=ids, text=text)

    @torch.inference_mode()
    def _losses(self, placed: Sequence[tuple[Sequence[int], int, int]], work: Workload) -> list[float]:
        """L_i of each (prefix, text, token index), from a pass over the whole text; equal sequences are read once."""
        keys = [(tuple(prefix), n) for prefix, n, _ in placed]
        distinct = list(dict.fromkeys(keys))
        sequences = [[*prefix, *work.texts[n].text_ids] for prefix, n in distinct]

        def read_tokens(index: int, log_probs_TV: Tensor) -> np.ndarray:
            ids = torch.tensor(sequences[index][1:], device=log_probs_TV.device)
            return log_probs_TV[: len(ids)].gather(1, ids[:, None])[:, 0].cpu().numpy()

        answers = dict(zip(distinct, self._forward(sequences, read_tokens), strict=True))
        losses = []
        for key, (prefix, n, place) in zip(keys, placed, strict=True):
            weighted = weighted_token_indices(place, len(work.texts[n].text_ids))
            # Entry j - 1 is the log-probability of token j of the sequence.
            first = len(prefix) + weighted.start - 1
            losses.append(weighted_loss(answers[key][first : first + len(weighted)]))
        return losses

    def _forward(
        self, sequences: Sequence[Sequence[int]], read: Callable[[int, Tensor], np.ndarray]
    ) -> list[np.ndarray]:
        """`read` on the log-probabilities (T, V) of each sequence; padded on the right, which no real token sees."""
        found: dict[int, np.ndarray] = {}
        for batch in _batches(sequences, self._fitting):
            width = max(len(sequences[index]) for index in batch)
            rows = [[*sequences[index], *[0] * (width - len(sequences[index]))] for index in batch]
            ids_BT = torch.tensor(rows, device=self._model.device)
            self._meter.add_padding(ids_BT.numel() - sum(len(sequences[index]) for index in batch))
            log_probs_BTV = self._model(ids_BT, use_cache=False).logits.float().log_softmax(-1)
            found |= {
                index: read(index, log_probs_TV) for index, log_probs_TV in zip(batch, log_probs_BTV, strict=True)
            }
        return [found[index] for index in range(len(sequences))]

    def _fitting(self, length: int) -> int:
        bytes_each = length * self._model.get_output_embeddings().weight.shape[0] * 4
        return max(1, min(self._sizes.sequences, self._sizes.max_logits_bytes // bytes_each))


def _batches(sequences: Sequence[Sequence[int]], size: Callable[[int], int]) -> Iterator[list[int]]:
    """Indices of sequences of similar length, the longest first; `size` says how many of a length go together."""
    waiting = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    while waiting:
        num = size(len(sequences[waiting[0]]))
        yield waiting[:num]
        waiting = waiting[num:]
