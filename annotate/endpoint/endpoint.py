"""A model behind an endpoint, asked many things at once: how probable openings are, and samples of calls."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from toolformer_ray.annotate.endpoint.answered import Answered
from toolformer_ray.annotate.endpoint.client import EndpointClient, Fault
from toolformer_ray.annotate.endpoint.questions import (
    CHAT,
    COMPLETIONS,
    chat_question,
    opening_question,
    prompt_before,
    read_chat_sample,
    read_log_opening,
    read_sample,
    sample_question,
)
from toolformer_ray.annotate.openings import Opening
from toolformer_ray.annotate.portion import Asked, opening_keys
from toolformer_ray.annotate.prompt import CallOpening
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.lm.requests import Sample
from toolformer_ray.records.calls import CALL_START
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder

Question = tuple[str, Mapping[str, Any], Callable[[Any], Any]]
"""Where it is sent, its body, and what reads the answer."""


class Endpoint:
    """One model of one endpoint, and what it has answered for a run."""

    def __init__(self, client: EndpointClient, answered: Answered, options: ProposerOptions) -> None:
        self._client, self._answered, self._options = client, answered, options
        self._model = options.proposer_model or ""
        self.chooses_places = options.proposer_places == "endpoint"
        """Whether its log-probabilities tell where calls start."""

    @classmethod
    def open(cls, options: ProposerOptions, run: RunFolder | None) -> Self:
        """The endpoint as a worker asks it. Raises OptionError if the key is not in the environment."""
        return cls(EndpointClient(options, read_key(options)), Answered(run, options.proposer_budget), options)

    def log_openings(self, asked: Asked, options: ProposeOptions) -> list[Question]:
        """What to ask for log p(opening) at each place of a text where a call may stand, in their order."""
        text, questions = asked.text, list[Question]()
        for index, is_place in enumerate(asked.is_place):
            if is_place:
                offset = text.places.char_offsets[index]
                before = prompt_before(asked.tool, text.document.text, offset, options)
                questions.append(opening_probability(self._model, before, asked.begins))
        return questions

    def samples(self, opening: Opening, options: ProposeOptions) -> list[Question]:
        """What to ask for the samples at a place, one question for each."""
        tool, text, begins = opening.tool, opening.text.document.text, opening.begins
        keys = opening_keys(opening, options)
        if self._options.proposer_chat:
            chats = [chat_question(self._model, tool, text, opening.char_offset, key, options) for key in keys]
            return [(CHAT, body, lambda answer: _as_sample(read_chat_sample(answer, begins))) for body in chats]
        before = prompt_before(tool, text, opening.char_offset, options)
        bodies = [sample_question(self._model, before, begins, key, options) for key in keys]
        return [(COMPLETIONS, body, lambda answer: _as_sample(read_sample(answer))) for body in bodies]

    def ask(self, questions: Iterable[Question]) -> list[Any]:
        """The answer to each question, or a Fault, in their order; many are in flight at once, and equal ones are one.

        Raises EndpointDownError or BudgetSpentError; what was answered by then is kept.
        """
        named = [(fingerprint(question[0], question[1]), question) for question in questions]
        unique = dict(named)
        threads = ThreadPoolExecutor(self._options.proposer_concurrency)
        try:
            answers = dict(zip(unique, threads.map(self._ask, unique.values()), strict=True))
            return [answers[name] for name, _ in named]
        finally:
            threads.shutdown(cancel_futures=True)

    def _ask(self, question: Question) -> Any:
        path, body, read = question
        return self._answered.ask(path, body, lambda: self._client.ask(path, body, read))


def opening_probability(model: str, before: str, begins: CallOpening) -> Question:
    """What to ask for log p(opening) behind a prompt."""
    prompt = f"{before}{CALL_START}{begins.text}"
    return COMPLETIONS, opening_question(model, before, begins), lambda a: read_log_opening(a, before, prompt)


def gives_log_probs(options: ProposerOptions, client: EndpointClient) -> bool:
    """Whether the endpoint tells the log-probabilities of a prompt, tried with a short one.

    Raises EndpointDownError.
    """
    path, body, read = opening_probability(options.proposer_model or "", "One and two are", CallOpening("Calculator("))
    return not isinstance(client.ask(path, body, read), Fault)


def read_key(options: ProposerOptions) -> str:
    """The endpoint's key. Raises OptionError if there should be one."""
    name = options.proposer_key_env
    key = os.environ.get(name, "") if name else ""
    if name and not key:
        raise OptionError("proposer_key_env", name, "it is not set in the environment")
    return key


def to_samples(answers: Sequence[Any]) -> list[Sample]:
    """The samples among the answers; faults are none."""
    return [Sample(ids=(), text=answer["text"]) for answer in answers if not isinstance(answer, Fault)]


def _as_sample(text: str | None) -> dict[str, str | None]:
    """A sample as JSON, in which no text is not the same as no answer."""
    return {"text": text}
