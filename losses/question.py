"""What the model is asked about a call: the loss of what follows its place, with the call before the text or in it.

    before the text    L_i(z) of the paper (section 2): bos, z, x_0 .. x_{i+4}      the model has seen no call in a text
    in place           bos, x_0 .. x_{i-1}, z, x_i .. x_{i+4}                       it was fine-tuned on such texts

Where a call stands in the text it is encoded in the parts in which it comes about (`records.calls.call_parts`), as in
fine-tuning and in decoding.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolformer_ray.losses.weights import LossQuestion
from toolformer_ray.records.calls import call_parts, render_call
from toolformer_ray.records.stages import Candidate

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import TextTokenizer


def call_question(
    tokenizer: "TextTokenizer", call: Candidate, text_ids: Sequence[int], result: str, *, in_place: bool
) -> LossQuestion:
    """What to ask for L_i(e(c, r)) or, with an empty result, for L_i(e(c, epsilon))."""
    if not in_place:
        ids = tokenizer.encode(render_call(call.tool, call.call_input, result))
        prefix_ids = [*tokenizer.bos_ids, *ids]
        return LossQuestion(
            text_id=call.text_id, text_ids=text_ids, prefix_ids=prefix_ids, token_index=call.token_index
        )
    place = call.token_index
    ids = [token for part in call_parts(call.tool, call.call_input, result) for token in tokenizer.encode(part)]
    return LossQuestion(
        # What stands behind the call is a text of its own.
        text_id=f"{call.text_id}@{place}",
        text_ids=text_ids[place:],
        prefix_ids=[*tokenizer.bos_ids, *text_ids[:place], *ids],
        token_index=0,
    )
