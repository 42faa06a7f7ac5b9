"""Measures one setting: engine and baseline take turns on the same texts; the floor is computed.

The first run of each counts tokens and is not timed, as first calls on CUDA spend most of their time on setup. Timed
pairs of runs are repeated while patience lasts, and the fastest run of each pipeline counts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from toolformer_ray.bench.engine_run import Annotation, annotate
from toolformer_ray.bench.floor import Cost, ModelCost, count_floor, layer_shapes
from toolformer_ray.bench.meter import SCORE_STAGES, STAGES, Meter
from toolformer_ray.bench.models import load_model, load_tokenizer, twin
from toolformer_ray.bench.peak import Peak, measure_peak
from toolformer_ray.bench.plain_run import PlainPipeline
from toolformer_ray.bench.tuning import Tuned, prompts_in_memory, tune
from toolformer_ray.bench.workload import Workload, make_workload
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer

LONGEST_SAMPLE = 64
RANDOM_SAMPLE = 20
"""Random weights hardly ever write an end marker; a call has about this many tokens."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is compared."""

    model: str
    device: str
    dtype: str
    num_texts: int
    num_tokens: int
    """Of each text."""
    token_budget: int
    """The engine's."""
    max_repeats: int = 3
    """Pairs of timed runs."""
    patience: float = 200.0
    """Seconds of timed runs after which no further pair is begun."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A pipeline's tokens, from the counted run, and its seconds, from the fastest timed run; all texts together."""

    tokens: Mapping[str, int]
    """By stage, padding included."""
    padding: Mapping[str, int]
    seconds: Mapping[str, float]
    num_samples: int
    peak_bytes: int
    """Device memory during the samples; 0 on CPU."""

    @property
    def total_seconds(self) -> float:
        """Of all stages."""
        return sum(self.seconds.values())


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far the two pipelines' answers lie apart."""

    places_differ: int
    """Texts with other places."""
    log_probability: float
    """The largest difference of log p(start marker)."""
    loss: float
    """The largest difference of a loss that both computed, nats."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that was measured of one setting."""

    setting: Setting
    title: str
    threads: int = field(default_factory=torch.get_num_threads)
    device_name: str
    max_new_tokens: int
    num_calls: int
    """Distinct calls that the engine scored."""
    num_survivors: int
    """How many of them needed L(e(c, ε))."""
    num_timed: int
    peak: Peak
    tuned: Tuned
    same_memory_prompts: int
    """Prompts that `generate` holds in the engine's batch memory."""
    repeated_empty_tokens: int
    """What the baseline would read in addition if it computed L(ε) anew for each call."""
    agreement: Agreement
    floor: Mapping[str, Cost]
    engine: Run
    plain: Run

    def floor_seconds(self, stage: str) -> float:
        """Seconds that the operations of a stage take at the machine's peak."""
        return self.floor[stage].operations / self.peak.best

    def share_of_peak(self, *stages: str) -> float:
        """The operations that the stages need, over those that the machine can do in the time that the engine took."""
        seconds = sum(self.engine.seconds.get(stage, 0.0) for stage in stages)
        return sum(map(self.floor_seconds, stages)) / seconds if seconds else math.nan

    def raw(self) -> dict[str, object]:
        """Everything, and the shares that the table shows, for JSON."""
        shares = {"score": self.share_of_peak(*SCORE_STAGES), "positions": self.share_of_peak("positions")}
        return asdict(self) | {"share_of_peak": shares}


def compare(setting: Setting) -> Outcome:
    """Measure one setting. Raises ValueError for an unusable value, torch.OutOfMemoryError for too large a model."""
    tokenizer = load_tokenizer(setting.model)
    work = _workload(setting, tokenizer, writes_calls=True)
    loaded = load_model(setting.model, tokenizer, window=work.longest, device=setting.device, dtype=setting.dtype)
    if not loaded.writes_calls:
        work = _workload(setting, tokenizer, writes_calls=False)
    plain_model = twin(loaded.model)
    device = loaded.model.device
    peak = measure_peak(device, plain_model.dtype, layer_shapes(plain_model))
    engine_model = LanguageModel(loaded.model, tokenizer, token_budget=setting.token_budget)

    engine_count, plain_count = Meter(device), Meter(device)
    with engine_count.count(loaded.model, finds_padding=True):
        found = annotate(engine_model, work, engine_count)
    tuned = tune(plain_model, tokenizer, work, found, token_budget=setting.token_budget)
    torch.manual_seed(work.seed)
    with plain_count.count(plain_model, finds_padding=False):
        plain_found = PlainPipeline(plain_model, tokenizer, tuned.sizes, plain_count).annotate(work, found)

    engine_timed: list[Meter] = []
    plain_timed: list[Meter] = []
    while not _is_timed(setting, engine_timed, plain_timed):
        engine_timed.append(Meter(device))
        annotate(engine_model, work, engine_timed[-1])
        plain_timed.append(Meter(device))
        PlainPipeline(plain_model, tokenizer, tuned.sizes, plain_timed[-1]).annotate(work, found)
    return Outcome(
        setting=setting,
        title=loaded.title,
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        max_new_tokens=work.max_new_tokens,
        num_calls=len(found.calls),
        num_survivors=len(found.loss_with_call),
        num_timed=len(engine_timed),
        peak=peak,
        tuned=tuned,
        same_memory_prompts=prompts_in_memory(work, setting.token_budget),
        repeated_empty_tokens=_repeated_empty_tokens(work, tokenizer, plain_found),
        agreement=_agreement(found, plain_found),
        floor=count_floor(ModelCost.of(plain_model), work, tokenizer, found),
        engine=_run(engine_count, engine_timed, found),
        plain=_run(plain_count, plain_timed, plain_found),
    )


def _is_timed(setting: Setting, engine: Sequence[Meter], plain: Sequence[Meter]) -> bool:
    """Whether there are enough runs, or patience has run out."""
    spent = sum(meter.total_seconds for meter in (*engine, *plain))
    return len(engine) >= setting.max_repeats or (len(engine) > 0 and spent >= setting.patience)


def _workload(setting: Setting, tokenizer: TextTokenizer, *, writes_calls: bool) -> Workload:
    return make_workload(
        tokenizer,
        num_texts=setting.num_texts,
        num_tokens=setting.num_tokens,
        max_new_tokens=LONGEST_SAMPLE if writes_calls else RANDOM_SAMPLE,
        writes_calls=writes_calls,
    )


def _run(counted: Meter, timed: list[Meter], found: Annotation) -> Run:
    fastest = min(timed, key=lambda meter: meter.total_seconds)
    return Run(
        tokens={stage: counted.tokens[stage] for stage in STAGES},
        padding={stage: counted.padding[stage] for stage in STAGES},
        seconds={stage: fastest.seconds[stage] for stage in STAGES},
        num_samples=found.num_samples,
        peak_bytes=fastest.peak_bytes,
    )


def _agreement(engine: Annotation, plain: Annotation) -> Agreement:
    """Compares what both computed; the baseline's list of calls begins with the engine's."""
    gaps = [abs(ours - plain.loss_without[at]) for at, ours in engine.loss_without.items() if at in plain.loss_without]
    gaps += [abs(a - b) for a, b in zip(engine.loss_with_result, plain.loss_with_result, strict=False)]
    gaps += [abs(ours - plain.loss_with_call[index]) for index, ours in engine.loss_with_call.items()]
    starts = [
        float(np.abs(ours - theirs).max()) for ours, theirs in zip(engine.log_starts, plain.log_starts, strict=True)
    ]
    return Agreement(
        places_differ=sum(a != b for a, b in zip(engine.places, plain.places, strict=True)),
        log_probability=max(starts),
        loss=max(gaps, default=0.0),
    )


def _repeated_empty_tokens(work: Workload, tokenizer: TextTokenizer, found: Annotation) -> int:
    """One pass over a text for each of its calls, less the one pass that is read anyway."""
    lengths = [len(tokenizer.bos_ids) + len(text.text_ids) for text in work.texts]
    return sum(lengths[call.text] for call in found.calls) - sum(lengths[n] for n in {c.text for c in found.calls})
