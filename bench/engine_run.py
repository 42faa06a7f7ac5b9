"""(a) The engine, through its public methods, asked what the propose and score stages ask for one tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolformer_ray.bench.calls import Call, distinct_calls
from toolformer_ray.bench.meter import Meter
from toolformer_ray.bench.workload import Workload
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, Prompt, Sample
from toolformer_ray.losses.question import LossQuestion, weighted_losses
from toolformer_ray.losses.weights import weighted_loss, weighted_token_indices

TextPlace = tuple[int, int]
"""A place of the workload: index of the text, token index."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """All that a pipeline computes from the workload."""

    log_starts: Sequence[np.ndarray]
    """For each text, log p(start marker) before each token."""
    places: Sequence[Sequence[int]]
    """For each text, the token indices chosen."""
    loss_without: Mapping[TextPlace, float]
    """L(ε), nats."""
    samples: Mapping[TextPlace, Sequence[Sample]]
    """Samples at every place where a call could still be kept."""
    calls: Sequence[Call]
    loss_with_result: Sequence[float]
    """L+ of each call, nats."""
    loss_with_call: Mapping[int, float]
    """L(e(c, ε)), nats, by index of the call, where the verdict depends on it."""

    @property
    def num_samples(self) -> int:
        """Samples drawn at all places."""
        return sum(map(len, self.samples.values()))


def annotate(model: LanguageModel, work: Workload, meter: Meter) -> Annotation:
    """Places, samples and losses of all texts.

    The engine reads prompts and draws samples in one call. To tell the two apart, the prompts are read once more
    without drawing, and the cost of that is subtracted from the samples: so the stages add up to the one call.
    """
    prompts = [Prompt(shared_ids=work.shared_ids, own_ids=t.own_ids, text_ids=t.text_ids) for t in work.texts]
    with meter.stage("demonstrations"):
        model.sample_calls([replace(prompts[0], own_ids=[], text_ids=[0])], _choose_none, max_new_tokens=1)
    with meter.stage("positions"):
        model.sample_calls(prompts, _choose_none, max_new_tokens=work.max_new_tokens)
    chooser = _Chooser(model, work, meter)
    with meter.stage("samples"):
        answers = model.sample_calls(prompts, chooser.choose, max_new_tokens=work.max_new_tokens)
    meter.take_off("samples", "positions")
    samples = {
        (n, place): drawn
        for n, answer in enumerate(answers)
        for place, drawn in zip(chooser.hopeful[n], answer, strict=True)
    }
    calls = [call for at, drawn in samples.items() for call in distinct_calls(model.tokenizer, work, *at, drawn)]
    with meter.stage("loss with result"):
        loss_with_result = _call_losses(model, work, calls, [call.ids_with_result for call in calls])
    with meter.stage("loss with call"):
        survivors = [
            index
            for index, (call, loss) in enumerate(zip(calls, loss_with_result, strict=True))
            if chooser.loss_without[call.text, call.token_index] - loss >= work.min_loss_reduction
        ]
        hopeful = [calls[index] for index in survivors]
        loss_with_call = _call_losses(model, work, hopeful, [call.ids_without_result for call in hopeful])
    return Annotation(
        log_starts=[chooser.log_starts[n] for n in range(len(prompts))],
        places=[chooser.places[n] for n in range(len(prompts))],
        loss_without=chooser.loss_without,
        samples=samples,
        calls=calls,
        loss_with_result=loss_with_result,
        loss_with_call=dict(zip(survivors, loss_with_call, strict=True)),
    )


def equal_sequences(
    calls: Sequence[Call], prefixes: Sequence[Sequence[int]]
) -> dict[tuple[int, tuple[int, ...]], list[int]]:
    """Indices of the calls by text and prefix: one pass over a sequence serves all places at which it is scored."""
    groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for index, (call, prefix) in enumerate(zip(calls, prefixes, strict=True)):
        groups.setdefault((call.text, tuple(prefix)), []).append(index)
    return groups


def weighted_union(places: Sequence[int], num_tokens: int) -> list[int]:
    """The tokens of a text that count at any of its places, in order."""
    return sorted({j for place in places for j in weighted_token_indices(place, num_tokens)})


class _Chooser:
    """Chooses the places of each prompt once it is read, and drops those with too small a loss for any call to help."""

    def __init__(self, model: LanguageModel, work: Workload, meter: Meter) -> None:
        self._work = work
        self._meter = meter
        self._reading = model.read_texts([text.text_ids for text in work.texts], [False] * len(work.texts))
        self.log_starts: dict[int, np.ndarray] = {}
        self.places: dict[int, list[int]] = {}
        self.hopeful: dict[int, list[int]] = {}
        self.loss_without: dict[TextPlace, float] = {}

    def choose(self, batch: Sequence[int], log_starts: Sequence[np.ndarray]) -> list[list[Place]]:
        """The callback of `LanguageModel.sample_calls`."""
        work = self._work
        for n, starts in zip(batch, log_starts, strict=True):
            self.log_starts[n] = starts
            self.places[n] = work.choose_places(starts, n)
        with self._meter.stage("loss without"):
            self._fill_losses(batch)
        for n in batch:
            losses = [(place, self.loss_without[n, place]) for place in self.places[n]]
            self.hopeful[n] = [place for place, loss in losses if loss >= work.min_loss_reduction]
        return [[Place(token_index=place, keys=work.sample_keys(n, place)) for place in self.hopeful[n]] for n in batch]

    def _fill_losses(self, batch: Sequence[int]) -> None:
        """L(epsilon) at the chosen places of some texts."""
        lengths = {n: len(self._work.texts[n].text_ids) for n in batch}
        wanted = {n: weighted_union(self.places[n], lengths[n]) for n in batch}
        for n, answer in self._reading.log_probs(wanted).items():
            log_probs = dict(zip(wanted[n], answer, strict=True))
            for place in self.places[n]:
                weighted = weighted_token_indices(place, lengths[n])
                self.loss_without[n, place] = weighted_loss(log_probs[j] for j in weighted)


def _choose_none(batch: Sequence[int], _: Sequence[np.ndarray]) -> list[list[Place]]:
    return [[] for _ in batch]


def _call_losses(
    model: LanguageModel, work: Workload, calls: Sequence[Call], prefixes: Sequence[Sequence[int]]
) -> list[float]:
    """L_i(z) of each call, z being its prefix, as the score stage computes it."""
    questions = [
        LossQuestion(
            text_id=str(call.text),
            text_ids=work.texts[call.text].text_ids,
            prefix_ids=prefix,
            token_index=call.token_index,
        )
        for call, prefix in zip(calls, prefixes, strict=True)
    ]
    return weighted_losses(model, questions)
