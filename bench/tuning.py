"""Chooses the baseline's batch sizes: the fastest of a few, each tried on the same sequences."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from toolformer_ray.bench.engine_run import Annotation
from toolformer_ray.bench.meter import Meter
from toolformer_ray.bench.plain_run import PlainPipeline, PlainSizes
from toolformer_ray.bench.workload import Workload
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.sequences import TOKENS_PER_SLOT

PROMPTS = {"cpu": (1, 2, 4), "cuda": (2, 8, 32)}
SEQUENCES = {"cpu": (1, 4, 16), "cuda": (4, 16, 64)}
MAX_LOGITS_BYTES = {"cpu": 2**30, "cuda": 2**33}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The fastest batch sizes, and the rate of each that was tried; sizes that do not fit into memory are left out."""

    sizes: PlainSizes
    """The fastest."""
    samples_per_second: dict[int, float]
    """Of `generate`, by prompts in a batch."""
    sequences_per_second: dict[int, float]
    """Of scoring, by sequences in a batch."""


def prompts_in_memory(work: Workload, token_budget: int) -> int:
    """How many prompts `generate` can hold in the memory that the engine uses for keys and values at its most.

    The engine then holds the slots of its samples, grown to the longest sample, the prompts in use, those of the batch
    being read, and the demonstrations once.
    """
    per_slot = TOKENS_PER_SLOT
    while per_slot <= work.max_new_tokens:
        per_slot *= 2
    tokens = token_budget // TOKENS_PER_SLOT * per_slot + 2 * token_budget + len(work.shared_ids)
    return max(1, tokens // (work.num_samples * work.longest))


def tune(
    model: PreTrainedModel, tokenizer: TextTokenizer, work: Workload, found: Annotation, *, token_budget: int
) -> Tuned:
    """Try `generate` and scoring at several sizes, on prompts and calls of the workload."""
    kind = "cuda" if model.device.type == "cuda" else "cpu"
    base = PlainSizes(max_logits_bytes=MAX_LOGITS_BYTES[kind])
    everywhere = [(n, place) for n, places in enumerate(found.places) for place in places]
    prompts, calls = everywhere[: max(PROMPTS[kind])], list(found.calls[: max(SEQUENCES[kind])])

    def sample(size: int) -> None:
        pipeline = PlainPipeline(model, tokenizer, replace(base, prompts=size), Meter(model.device))
        pipeline.sample(work, prompts)

    def score(size: int) -> None:
        pipeline = PlainPipeline(model, tokenizer, replace(base, sequences=size), Meter(model.device))
        pipeline.score(calls, work, with_result=True)

    sampling = _rates(sample, sorted({*PROMPTS[kind], prompts_in_memory(work, token_budget)}), len(prompts))
    scoring = _rates(score, SEQUENCES[kind], len(calls))
    sizes = replace(base, prompts=_best(sampling), sequences=_best(scoring))
    samples = {size: rate * work.num_samples for size, rate in sampling.items()}
    return Tuned(sizes=sizes, samples_per_second=samples, sequences_per_second=scoring)


def _rates(work: Callable[[int], None], sizes: "tuple[int, ...] | list[int]", num_items: int) -> dict[int, float]:
    """Items a second at each size that is no larger than their number; the smallest is always tried."""
    rates: dict[int, float] = {}
    for size in sizes:
        if num_items and (size <= num_items or not rates):
            try:
                if torch.cuda.is_available():
                    # On CUDA the first call of a size spends most of its time on setup.
                    work(size)
                start = time.perf_counter()
                work(size)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                continue
            rates[size] = num_items / (time.perf_counter() - start)
    return rates


def _best(rates: dict[int, float]) -> int:
    return max(rates, key=lambda size: rates[size], default=1)
