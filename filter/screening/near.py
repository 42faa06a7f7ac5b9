"""An estimate of L+: the call with its result stands `distance` tokens before x_i, instead of before the whole text.

What stands before the call is then read once for all calls of a text, and a call costs its own tokens, those up to x_i
and the few that count.

At distance 0 the call stands as in C*, but a model that has never seen a call inside a text does not know how to go on
after one: its surprise at the first token hides what the result gave away. A few words later it has recovered.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolformer_ray.filter.trial import Trial
from toolformer_ray.lm.requests import Insertion
from toolformer_ray.losses.weights import loss_alone, weighted_loss
from toolformer_ray.records.calls import render_call

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


def near_losses(trials: Sequence[Trial], model: "LanguageModel", distance: int) -> list[float]:
    """Of each trial. Equal calls that stand at one place of a text, for whatever tokens, are read once."""
    texts: dict[str, Sequence[int]] = {trial.executed.text_id: trial.text_ids for trial in trials}
    number_of = {text_id: number for number, text_id in enumerate(texts)}
    groups: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for index, trial in enumerate(trials):
        key = (number_of[trial.executed.text_id], place_near(trial, distance), tuple(_call_ids(trial, model)))
        groups.setdefault(key, []).append(index)
    insertions = [
        Insertion(text=text, token_index=place, ids=ids, targets=sorted({j for n in group for j in trials[n].weighted}))
        for (text, place, ids), group in groups.items()
    ]
    losses: dict[int, float] = {}
    answers = model.log_probs_inserted(list(texts.values()), insertions)
    for insertion, group, answer in zip(insertions, groups.values(), answers, strict=True):
        known = dict(zip(insertion.targets, answer, strict=True))
        losses |= {index: weighted_loss(known[j] for j in trials[index].weighted) for index in group}
    return [losses[index] for index in range(len(trials))]


def near_loss_alone(trial: Trial, model: "LanguageModel", distance: int) -> float:
    """The same from a batch of one, so that nothing but the trial decides its last digits."""
    place = place_near(trial, distance)
    before = [*model.tokenizer.bos_ids, *trial.text_ids[:place], *_call_ids(trial, model)]
    # The rest of the text behind all that is a text behind a prefix.
    return loss_alone(model, before, trial.text_ids[place:], trial.executed.token_index - place)


def place_near(trial: Trial, distance: int) -> int:
    """Before which token the call stands; at 0 the estimate is L+ itself."""
    return max(0, trial.executed.token_index - distance)


def _call_ids(trial: Trial, model: "LanguageModel") -> list[int]:
    """e(c, r)."""
    call = trial.executed
    return model.tokenizer.encode(render_call(call.tool, call.call_input, call.result))
