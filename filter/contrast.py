"""The losses of calls in their place, with their results and with decoys (losses.criteria).

A model that has never met a call inside a text may be so surprised by what follows one that it does not see what the
result tells. It recovers within some tokens: `call_distance` lets a call stand so many before its place.

A text is read once for all its calls, a call up to its arrow once for its result and all decoys, and then of each of
these the answer, the end marker and the tokens that count. The parts of a call are encoded one by one, as in
fine-tuning and in decoding.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from toolformer_ray.filter.call_to_score import CallToScore
from toolformer_ray.lm.requests import Insertion
from toolformer_ray.losses.weights import weighted_loss
from toolformer_ray.records.calls import call_parts

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


def compute_losses_in_place(calls: Sequence[CallToScore], model: "LanguageModel") -> None:
    """Compute the loss with the result and those with the decoys for every call."""
    texts = {call.executed.text_id: call.text_ids for call in calls}
    number_of = {text_id: number for number, text_id in enumerate(texts)}
    insertions = [_insertion(call, number_of[call.executed.text_id], model) for call in calls]
    answers = model.log_probs_inserted(list(texts.values()), insertions)
    for call, answer in zip(calls, answers, strict=True):
        in_place, *decoys = map(weighted_loss, answer)
        call.losses = replace(call.losses, loss_in_place=in_place, losses_of_decoys=tuple(decoys))
        with_result, with_decoys = answer[0], answer[1:]
        call.token_contrasts = (with_result - with_decoys.mean(axis=0)).tolist()


def _insertion(call: CallToScore, text: int, model: "LanguageModel") -> Insertion:
    row, encode = call.executed, model.tokenizer.encode
    start, written, result = call_parts(row.tool, row.call_input, row.result or "")
    decoys = [call_parts(row.tool, row.call_input, decoy)[-1] for decoy in row.decoys]
    return Insertion(
        text=text,
        token_index=call.stands_at,
        opening=[*encode(start), *encode(written)],
        endings=[encode(answer) for answer in (result, *decoys)],
        targets=call.weighted_in_place,
    )
