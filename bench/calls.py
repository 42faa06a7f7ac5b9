"""Turns samples into calls that can be scored.

    a model that was trained on calls    the call as it is written, answered by the calculator
    random weights                       the sample's first CALL_TOKENS tokens stand for a call, 432 for its result

Both pipelines score the same calls, so a stand-in favours neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toolformer_ray.bench.workload import Workload
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import parse_sample, render_call
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.tool import BadInput, CallContext

CALL_TOKENS = 12
RESULT = "432"
UNKNOWN_RESULT = "7"
"""Stands for the result of an input that the calculator refuses, so that such a call is scored as well."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A distinct call at a place."""

    text: int
    """Index of the text in the workload."""
    token_index: int
    """The call stands before this token."""
    ids_with_result: Sequence[int]
    """The beginning-of-sequence token and e(c, r)."""
    ids_without_result: Sequence[int]
    """The beginning-of-sequence token and e(c, ε)."""


def distinct_calls(
    tokenizer: TextTokenizer, work: Workload, text: int, token_index: int, samples: Sequence[Sample]
) -> list[Call]:
    """Each distinct call among the samples of a place, in the order of sampling."""
    encode = _written_call if work.writes_calls else _stand_in_call
    bos_ids = tokenizer.bos_ids
    return [
        Call(
            text=text,
            token_index=token_index,
            ids_with_result=(*bos_ids, *with_result),
            ids_without_result=(*bos_ids, *without_result),
        )
        for with_result, without_result in dict.fromkeys(filter(None, (encode(tokenizer, one) for one in samples)))
    ]


def _written_call(tokenizer: TextTokenizer, sample: Sample) -> tuple[tuple[int, ...], ...] | None:
    call = None if sample.text is None else parse_sample(sample.text)
    if call is None or call[0] != Calculator.name:
        return None
    return tuple(tuple(tokenizer.encode(render_call(*call, result))) for result in (_answer(call[1]), ""))


def _answer(call_input: str) -> str:
    try:
        return Calculator().run(call_input, CallContext())
    except BadInput:
        return UNKNOWN_RESULT


def _stand_in_call(tokenizer: TextTokenizer, sample: Sample) -> tuple[tuple[int, ...], ...]:
    start = (*tokenizer.open_ids, *sample.ids[:CALL_TOKENS])
    return (*start, *tokenizer.encode(f" -> {RESULT}]")), (*start, *tokenizer.encode(" -> ]"))
