"""An estimate of L+: the call with its result stands `distance` tokens before x_i, instead of before the whole text.

What stands before the call is then read once for all calls of a text, and a call costs its own tokens, those up to x_i
and the few that count.

At distance 0 the call stands as in C*, but a model that has never seen a call inside a text does not know how to go on
after one: its surprise at the first token hides what the result gave away. A few words later it has recovered.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolformer_ray.filter.call_to_score import CallToScore
from toolformer_ray.lm.requests import Insertion
from toolformer_ray.losses.question import LossQuestion, loss_alone
from toolformer_ray.losses.weights import weighted_loss
from toolformer_ray.records.calls import render_call

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


def near_losses(calls: Sequence[CallToScore], model: "LanguageModel", distance: int) -> list[float]:
    """Of each call. Equal calls that stand at one place of a text, for whatever tokens, are read once."""
    texts: dict[str, Sequence[int]] = {call.executed.text_id: call.text_ids for call in calls}
    number_of = {text_id: number for number, text_id in enumerate(texts)}
    groups: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for index, call in enumerate(calls):
        key = (number_of[call.executed.text_id], place_near(call, distance), tuple(_call_ids(call, model)))
        groups.setdefault(key, []).append(index)
    insertions = [
        Insertion(text=text, token_index=place, ids=ids, targets=sorted({j for n in group for j in calls[n].weighted}))
        for (text, place, ids), group in groups.items()
    ]
    losses: dict[int, float] = {}
    answers = model.log_probs_inserted(list(texts.values()), insertions)
    for insertion, group, answer in zip(insertions, groups.values(), answers, strict=True):
        known = dict(zip(insertion.targets, answer, strict=True))
        losses |= {index: weighted_loss(known[j] for j in calls[index].weighted) for index in group}
    return [losses[index] for index in range(len(calls))]


def near_loss_alone(call: CallToScore, model: "LanguageModel", distance: int) -> float:
    """The same from a batch of one, so that nothing but the call decides its last digits."""
    place = place_near(call, distance)
    before = [*model.tokenizer.bos_ids, *call.text_ids[:place], *_call_ids(call, model)]
    # What is left of the text behind the call is a text behind a prefix.
    question = LossQuestion(
        text_id=f"{call.executed.text_id}@{place}",
        text_ids=call.text_ids[place:],
        prefix_ids=before,
        token_index=call.executed.token_index - place,
    )
    return loss_alone(model, question)


def place_near(call: CallToScore, distance: int) -> int:
    """Before which token the call stands; at 0 the estimate is L+ itself."""
    return max(0, call.executed.token_index - distance)


def _call_ids(call: CallToScore, model: "LanguageModel") -> list[int]:
    """e(c, r)."""
    row = call.executed
    return model.tokenizer.encode(render_call(row.tool, row.call_input, row.result))
