"""What a model is asked for the losses of a call: the sequence that it reads, and which of its tokens count.

    before the text   bos, z, x_0 .. x_{i+4}                     the paper: the model has not seen calls inside texts
    in place          bos, x_0 .. x_{i-1}, z, x_i .. x_{i+4}     with decoys; for a model that was fine-tuned on calls

z is empty for L_i(epsilon), e(c, epsilon) for the call without its result, and e(c, r) for L+. A call in place is
encoded in the same parts (`records.calls.call_parts`) as in fine-tuning and in decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from toolformer_ray.lm.requests import ScoreRequest
from toolformer_ray.losses.weights import weighted_loss, weighted_token_indices
from toolformer_ray.records.calls import call_parts, render_call
from toolformer_ray.records.stages import Candidate


class Tokenizer(Protocol):
    """What turns text into token ids, without special tokens."""

    @property
    def bos_ids(self) -> Sequence[int]:
        """What every sequence begins with."""

    def encode(self, text: str) -> list[int]:
        """The token ids of a text that is encoded alone."""


class LossModel(Protocol):
    """What can answer log-probabilities: `lm.model.LanguageModel`, or a table in a test."""

    def log_probs(self, requests: Sequence[ScoreRequest], /) -> list[np.ndarray]:
        """Per request float32 (targets,): the log-probability of each target, given everything before it."""

    def log_probs_alone(self, request: ScoreRequest, /) -> np.ndarray:
        """The same for one request in a batch of one, so that no other sequence changes its last digits."""


@dataclass(frozen=True, kw_only=True)
class LossQuestion:
    """Asks for L_i(z) of a text that follows a prefix."""

    text_id: str
    """Names the text: questions with equal names are about equal `text_ids`."""
    text_ids: Sequence[int]
    """The whole text or, for a call in place, the rest of it after the call."""
    prefix_ids: Sequence[int]
    """The beginning-of-sequence token and z; for a call in place also the text before it."""
    token_index: int
    """i, counted in `text_ids`."""

    @property
    def targets(self) -> range:
        """The tokens that count, as indices into the sequence of prefix and text."""
        weighted, before = weighted_token_indices(self.token_index, len(self.text_ids)), len(self.prefix_ids)
        return range(before + weighted.start, before + weighted.stop)

    @property
    def num_tokens(self) -> int:
        """The length of the sequence that has to be read: it ends with the last token that counts."""
        return self.targets.stop


def question_without_call(
    tokenizer: Tokenizer, text_id: str, text_ids: Sequence[int], token_index: int
) -> LossQuestion:
    """What to ask for L_i(epsilon)."""
    return LossQuestion(text_id=text_id, text_ids=text_ids, prefix_ids=tokenizer.bos_ids, token_index=token_index)


def question_with_call(
    tokenizer: Tokenizer, call: Candidate, text_ids: Sequence[int], result: str, *, in_place: bool
) -> LossQuestion:
    """What to ask for L_i(e(c, r)) or, with an empty result, for L_i(e(c, epsilon))."""
    place = call.token_index
    if not in_place:
        call_ids = tokenizer.encode(render_call(call.tool, call.call_input, result))
        prefix_ids = [*tokenizer.bos_ids, *call_ids]
        return LossQuestion(text_id=call.text_id, text_ids=text_ids, prefix_ids=prefix_ids, token_index=place)
    call_ids = [token for part in call_parts(call.tool, call.call_input, result) for token in tokenizer.encode(part)]
    return LossQuestion(
        text_id=f"{call.text_id}@{place}",
        text_ids=text_ids[place:],
        prefix_ids=[*tokenizer.bos_ids, *text_ids[:place], *call_ids],
        token_index=0,
    )


def weighted_losses(model: LossModel, questions: Sequence[LossQuestion]) -> list[float]:
    """L_i(z) of each question, in weighted nats. Questions about one text with the same prefix are read as one."""
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for number, question in enumerate(questions):
        groups.setdefault((question.text_id, tuple(question.prefix_ids)), []).append(number)
    requests = [_request([questions[number] for number in group]) for group in groups.values()]
    losses: dict[int, float] = {}
    for request, group, answer in zip(requests, groups.values(), model.log_probs(requests), strict=True):
        known = dict(zip(request.targets, answer, strict=True))
        losses |= {number: weighted_loss(known[j] for j in questions[number].targets) for number in group}
    return [losses[number] for number in range(len(questions))]


def loss_alone(model: LossModel, question: LossQuestion) -> float:
    """L_i(z) from a batch of one, so that nothing but the sequence decides its last digits."""
    return weighted_loss(model.log_probs_alone(_request([question])))


def _request(group: Sequence[LossQuestion]) -> ScoreRequest:
    """One request for questions about one text with the same prefix."""
    targets = sorted({j for question in group for j in question.targets})
    return ScoreRequest(ids=[*group[0].prefix_ids, *group[0].text_ids][: targets[-1] + 1], targets=targets)
