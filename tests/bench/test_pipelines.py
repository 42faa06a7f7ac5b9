"""Engine and baseline find the same, and what goes through the model is counted right."""

import dataclasses

import pytest
import torch

from tests.support.models import build_model, build_tokenizer
from toolformer_ray.bench.compare import Setting, compare
from toolformer_ray.bench.engine_run import annotate
from toolformer_ray.bench.floor import ModelCost, count_floor
from toolformer_ray.bench.meter import STAGES, Meter
from toolformer_ray.bench.models import BenchModel, twin
from toolformer_ray.bench.plain_run import PlainPipeline, PlainSizes
from toolformer_ray.bench.tuning import prompts_in_memory, tune
from toolformer_ray.bench.workload import Workload, make_texts
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer

CPU = torch.device("cpu")


@pytest.fixture
def tokenizer() -> TextTokenizer:
    return TextTokenizer(build_tokenizer(), name="random")


@pytest.fixture
def work(tokenizer: TextTokenizer) -> Workload:
    return Workload(
        shared_ids=[*tokenizer.bos_ids, 40, 41, 42, 43],
        texts=make_texts(tokenizer, 3, 24),
        num_places=2,
        num_samples=3,
        min_loss_reduction=0.1,
        max_new_tokens=14,
        writes_calls=False,
    )


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_engine_and_baseline_agree_on_places_and_losses(family: str, tokenizer: TextTokenizer, work: Workload) -> None:
    model = build_model(family)
    plain_model = twin(model)
    found = annotate(LanguageModel(model, tokenizer), work, Meter(CPU))
    meter = Meter(CPU)
    sizes = PlainSizes(prompts=2, sequences=3)
    plain = PlainPipeline(plain_model, tokenizer, sizes, meter).annotate(work, found)
    assert found.calls
    assert found.loss_with_call
    assert [list(places) for places in plain.places] == [list(places) for places in found.places]
    for at, loss in found.loss_without.items():
        assert plain.loss_without[at] == pytest.approx(loss, abs=1e-4)
    assert plain.loss_with_result[: len(found.calls)] == pytest.approx(found.loss_with_result, abs=1e-4)
    for index, loss in found.loss_with_call.items():
        assert plain.loss_with_call[index] == pytest.approx(loss, abs=1e-4)


def test_the_baselines_tokens_are_those_of_its_padded_batches(tokenizer: TextTokenizer, work: Workload) -> None:
    model = build_model("llama")
    found = annotate(LanguageModel(twin(model), tokenizer), work, Meter(CPU))
    meter = Meter(CPU)
    pipeline = PlainPipeline(model, tokenizer, PlainSizes(sequences=2), meter)
    with meter.count(model, finds_padding=False), meter.stage("positions"):
        pipeline.start_log_probs(work)
    lengths = sorted(5 + len(text.own_ids) + 24 for text in work.texts)
    # The longest two together, the third alone.
    assert meter.tokens["positions"] == 2 * lengths[2] + lengths[0]
    assert meter.tokens["positions"] - meter.padding["positions"] == sum(lengths)

    everywhere = [(n, place) for n, places in enumerate(found.places) for place in places][:1]
    with meter.count(model, finds_padding=False), meter.stage("samples"):
        samples = pipeline.sample(work, everywhere)[everywhere[0]]
    (n, place), read = everywhere[0], [len(sample.ids) - 1 for sample in samples]
    prompt = 5 + len(work.texts[n].own_ids) + place + 1
    # Three rows of the prompt, then a token a step for all three until the longest is done.
    assert meter.tokens["samples"] == 3 * prompt + 3 * max(read)
    assert meter.tokens["samples"] - meter.padding["samples"] == 3 * prompt + sum(read)


def test_the_engine_reads_at_least_the_floor_in_every_stage(tokenizer: TextTokenizer, work: Workload) -> None:
    model = build_model("llama")
    meter = Meter(CPU)
    with meter.count(model, finds_padding=True):
        found = annotate(LanguageModel(model, tokenizer), work, meter)
    floor = count_floor(ModelCost.of(model), work, tokenizer, found)
    for stage in STAGES:
        assert meter.tokens[stage] - meter.padding[stage] >= floor[stage].tokens > 0


def test_a_twin_shares_the_weights_and_nothing_else() -> None:
    model = build_model("llama")
    other = twin(model)
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    other.config.use_cache = not model.config.use_cache
    assert other.config.use_cache != model.config.use_cache
    assert other.base_model is not model.base_model


def test_tuning_tries_no_batch_larger_than_there_is_work(tokenizer: TextTokenizer, work: Workload) -> None:
    model = build_model("llama")
    found = annotate(LanguageModel(twin(model), tokenizer), work, Meter(CPU))
    few = dataclasses.replace(found, places=[list(found.places[0]), [], []], calls=found.calls[:4])
    tuned = tune(model, tokenizer, work, few, token_budget=1)
    assert sorted(tuned.samples_per_second) == [1, 2]
    assert sorted(tuned.sequences_per_second) == [1, 4]
    assert tuned.sizes.prompts in (1, 2)
    assert tuned.sizes.sequences in (1, 4)


def test_the_same_memory_is_counted_in_tokens_of_keys_and_values(work: Workload) -> None:
    # A budget of 480 is 30 slots of 16 tokens, 960 tokens of prompts and 5 demonstrations: 1445. A prompt with its 3
    # samples is at most 3 * 80 = 240.
    assert work.longest == 80
    assert prompts_in_memory(work, 480) == 6
    assert prompts_in_memory(work, 1) == 1


def test_a_comparison_ends_in_figures_for_every_stage(
    monkeypatch: pytest.MonkeyPatch, tokenizer: TextTokenizer
) -> None:
    def load(name: str, tokenizer: TextTokenizer, **_: object) -> BenchModel:
        model = build_model("llama")
        model.config.max_position_embeddings = 4096
        return BenchModel(title=name, model=model, tokenizer=tokenizer, writes_calls=False)

    monkeypatch.setattr("toolformer_ray.bench.compare.load_tokenizer", lambda name: tokenizer)
    monkeypatch.setattr("toolformer_ray.bench.compare.load_model", load)
    monkeypatch.setattr("toolformer_ray.bench.peak.SECONDS_EACH", 0.0)
    monkeypatch.setattr("toolformer_ray.bench.peak.SQUARE_SIZES", {"cpu": (64,)})
    monkeypatch.setattr("toolformer_ray.bench.compare.RANDOM_SAMPLE", 13)
    setting = Setting(
        model="small", device="cpu", dtype="float32", num_texts=1, num_tokens=10, token_budget=512, max_repeats=1
    )
    outcome = compare(setting)
    assert outcome.agreement.places_differ == 0
    assert outcome.agreement.loss < 1e-4
    assert outcome.num_timed == 1
    assert outcome.share_of_peak("positions") > 0
    assert outcome.engine.tokens["samples"] < outcome.plain.tokens["samples"]


def test_a_stage_inside_another_stops_its_clock_and_its_count() -> None:
    model = build_model("llama")
    meter = Meter(CPU)
    with meter.count(model, finds_padding=True), meter.stage("samples"):
        model(torch.tensor([[1, 2, 0]]))
        with meter.stage("loss without"):
            model(torch.tensor([[1, 2]]))
        model(torch.tensor([[3, 0, 0]]))
    assert meter.tokens == {"samples": 6, "loss without": 2}
    assert meter.padding == {"samples": 3, "loss without": 0}
    assert set(meter.seconds) == {"samples", "loss without"}


def test_padding_is_asked_of_the_device_only_when_a_stage_is_over() -> None:
    meter = Meter(CPU)
    with meter.stage("samples"):
        meter._count_padding(torch.nn.Identity(), (torch.tensor([[5, 0, 7, 0], [5, 0, 0, 0]]),), {})
        assert not meter.padding["samples"]
    assert meter.padding["samples"] == 1 + 3
