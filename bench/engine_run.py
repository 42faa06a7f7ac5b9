"""(a) Our engine, through its public calls, asked for what propose and score ask for one tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.calls import Call, distinct_calls
from bench.meter import Meter
from bench.workload import Workload, choose_places
from lm.model import LanguageModel
from lm.requests import Place, Sample, SampleRequest, ScoreRequest, StartRequest
from lm.weighted_loss import loss_request, weighted_loss, weighted_token_indices

At = tuple[int, int]
"""A place of the workload: index of the text, token index."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Everything that was found out about the workload."""

    log_starts: Sequence[np.ndarray]
    """Per text log p(start marker) before each token."""
    places: Sequence[Sequence[int]]
    """Per text the token indices chosen."""
    loss_without: Mapping[At, float]
    """L(epsilon), nats."""
    samples: Mapping[At, Sequence[Sample]]
    """At every place that could still keep a call."""
    calls: Sequence[Call]
    loss_with_result: Sequence[float]
    """L+ of each call, nats."""
    loss_with_call: Mapping[int, float]
    """L(e(c, epsilon)) by index of the call, where it could matter."""

    @property
    def num_samples(self) -> int:
        """Samples drawn at all places."""
        return sum(map(len, self.samples.values()))


def annotate(model: LanguageModel, work: Workload, meter: Meter) -> Annotation:
    """Places, samples and losses of all texts."""
    with meter.stage("demonstrations"):
        model.start_log_probs(work.shared_ids, [])
    with meter.stage("positions"):
        starts = [StartRequest(own_ids=text.own_ids, text_ids=text.text_ids) for text in work.texts]
        log_starts = model.start_log_probs(work.shared_ids, starts)
        places = [
            choose_places(log_probs, text.is_place, work.num_places)
            for log_probs, text in zip(log_starts, work.texts, strict=True)
        ]
    with meter.stage("loss without"):
        loss_without = _losses_without(model, work, places)
    hopeful = [at for at, loss in loss_without.items() if loss >= work.min_loss_reduction]
    with meter.stage("samples"):
        samples = _sample(model, work, hopeful)
    calls = [call for at in hopeful for call in distinct_calls(model.tokenizer, work, *at, samples[at])]
    with meter.stage("loss with result"):
        requests = [loss_request(c.ids_with_result, work.texts[c.text].text_ids, c.token_index) for c in calls]
        loss_with_result = [weighted_loss(log_probs) for log_probs in model.log_probs(requests)]
    with meter.stage("loss with call"):
        survivors = [
            index
            for index, (call, loss) in enumerate(zip(calls, loss_with_result, strict=True))
            if loss_without[call.text, call.token_index] - loss >= work.min_loss_reduction
        ]
        kept = [calls[index] for index in survivors]
        requests = [loss_request(c.ids_without_result, work.texts[c.text].text_ids, c.token_index) for c in kept]
        answers = [weighted_loss(log_probs) for log_probs in model.log_probs(requests)]
    return Annotation(
        log_starts=log_starts,
        places=places,
        loss_without=loss_without,
        samples=samples,
        calls=calls,
        loss_with_result=loss_with_result,
        loss_with_call=dict(zip(survivors, answers, strict=True)),
    )


def weighted_union(places: Sequence[int], num_tokens: int) -> list[int]:
    """The tokens of a text that count at any of its places, in order."""
    return sorted({j for place in places for j in weighted_token_indices(place, num_tokens)})


def _losses_without(model: LanguageModel, work: Workload, places: Sequence[Sequence[int]]) -> dict[At, float]:
    """L(epsilon) at all places, one pass a text."""
    bos_ids = model.tokenizer.bos_ids
    chosen = [n for n, indices in enumerate(places) if indices]
    unions = [weighted_union(places[n], len(work.texts[n].text_ids)) for n in chosen]
    requests = [
        ScoreRequest(
            ids=[*bos_ids, *work.texts[n].text_ids[: union[-1] + 1]], targets=[len(bos_ids) + j for j in union]
        )
        for n, union in zip(chosen, unions, strict=True)
    ]
    losses = {}
    for n, union, answer in zip(chosen, unions, model.log_probs(requests), strict=True):
        log_probs = dict(zip(union, answer, strict=True))
        for place in places[n]:
            weighted = weighted_token_indices(place, len(work.texts[n].text_ids))
            losses[n, place] = weighted_loss(log_probs[j] for j in weighted)
    return losses


def _sample(model: LanguageModel, work: Workload, hopeful: Sequence[At]) -> dict[At, list[Sample]]:
    chosen = sorted({text for text, _ in hopeful})
    places = [[place for text, place in hopeful if text == n] for n in chosen]
    requests = [
        SampleRequest(
            own_ids=work.texts[n].own_ids,
            text_ids=work.texts[n].text_ids,
            places=[Place(token_index=place, keys=work.sample_keys(n, place)) for place in indices],
        )
        for n, indices in zip(chosen, places, strict=True)
    ]
    answers = model.sample(work.shared_ids, requests, max_new_tokens=work.max_new_tokens)
    return {
        (n, place): samples
        for n, indices, answer in zip(chosen, places, answers, strict=True)
        for place, samples in zip(indices, answer, strict=True)
    }
