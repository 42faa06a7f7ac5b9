"""Stage 2, propose, where a model behind an endpoint proposes (paper, section 2, "Sampling API calls").

As `annotate.propose`, with the same rows, and these differences. The model at hand is the one that scores: it gives
L_i(epsilon), drops what no result could save before anything is sampled, and chooses the places unless the endpoint
tells the log-probabilities of a prompt. Drops besides: `no_answer`, requests that the endpoint refused or answered with
something else, and how many at a place.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolformer_ray.annotate.endpoint.client import Fault
from toolformer_ray.annotate.endpoint.endpoint import Endpoint, Question, to_samples
from toolformer_ray.annotate.openings import drop_opening, drop_text
from toolformer_ray.annotate.portion import Asked, Portion
from toolformer_ray.annotate.propose import TEXTS_AT_ONCE, collect, encode_text
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.lm.requests import Place
from toolformer_ray.losses.options import FilterName
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


def propose_by_endpoint(
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    options: ProposeOptions,
    filter_name: FilterName,
    endpoint: Endpoint,
) -> tuple[list[Candidate], list[Dropped]]:
    """The distinct calls of every text, tool by tool and in the order of the text, and what was dropped.

    Raises EndpointDownError or BudgetSpentError; what was answered by then is kept, and is not asked again.
    """
    texts = [encode_text(document, model, options) for document in documents]
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        settles = not endpoint.chooses_places
        portion = Portion(texts[first : first + TEXTS_AT_ONCE], model, options, filter_name, settles=settles)
        for tool in tools.values():
            portion.offer(tool)
        if endpoint.chooses_places:
            _choose_by_endpoint(portion, endpoint, options)
        elif portion.asked:
            _choose_by_model(portion, model)
        found, lost = collect(portion, _sample(portion, endpoint, options), model, options)
        candidates += found
        dropped += lost
    return candidates, dropped


def _choose_by_endpoint(portion: Portion, endpoint: Endpoint, options: ProposeOptions) -> None:
    questions = [endpoint.log_openings(asked, options) for asked in portion.asked]
    answers = iter(endpoint.ask(question for each in questions for question in each))
    told = [[next(answers) for _ in each] for each in questions]
    starts = [_log_starts(portion, asked, each) for asked, each in zip(portion.asked, told, strict=True)]
    portion.choose(range(len(portion.asked)), starts)


def _log_starts(portion: Portion, asked: Asked, answers: Sequence[Any]) -> np.ndarray:
    """log p(opening) before each token; minus infinity where it was not asked about or not told."""
    if faults := [answer for answer in answers if isinstance(answer, Fault)]:
        portion.dropped.append(drop_text("no_answer", asked.text, asked.tool, detail=faults[0].told, count=len(faults)))
    log_starts = np.full(len(asked.is_place), -np.inf, np.float32)
    log_starts[np.flatnonzero(asked.is_place)] = [
        -np.inf if isinstance(answer, Fault) else answer for answer in answers
    ]
    return log_starts


def _choose_by_model(portion: Portion, model: "LanguageModel") -> None:
    """The places that the model at hand finds likeliest; it samples nothing there."""

    def choose(batch: Sequence[int], log_starts: Sequence[np.ndarray]) -> list[list[Place]]:
        return [[] for _ in portion.choose(batch, log_starts)]

    model.sample_calls([asked.prompt for asked in portion.asked], choose, max_new_tokens=1)


def _sample(portion: Portion, endpoint: Endpoint, options: ProposeOptions) -> list[list[list[Any]]]:
    """Per prompt, per chosen place, the samples that were answered; the others become a drop for each place."""
    places = [(asked, opening) for asked in portion.asked for opening in asked.openings]
    questions: list[list[Question]] = [endpoint.samples(opening, options) for _, opening in places]
    answers = iter(endpoint.ask(question for each in questions for question in each))
    samples: dict[int, list[list[Any]]] = {id(asked): [] for asked in portion.asked}
    for (asked, opening), each in zip(places, questions, strict=True):
        got = [next(answers) for _ in each]
        if faults := [answer for answer in got if isinstance(answer, Fault)]:
            portion.dropped.append(drop_opening("no_answer", opening, detail=faults[0].told, count=len(faults)))
        samples[id(asked)].append(to_samples(got))
    return [samples[id(asked)] for asked in portion.asked]
