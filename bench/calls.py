"""Samples made into calls that can be scored, without running a tool.

    a model that writes calls    `Calculator(18 * 24)` -> the value if it is two numbers and a sign, else 7
    random weights               the sample's first CALL_TOKENS tokens are the call, 432 its result

Both pipelines are given the same results, so a stand-in favours neither.
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from toolformer_ray.bench.prompt import TOOL
from toolformer_ray.bench.workload import Workload
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.tokenizer import TextTokenizer

CALL_TOKENS = 12
RESULT = "432"
UNKNOWN_RESULT = "7"

_CALL = re.compile(r"\s*(?P<tool>[A-Za-z_]\w*)\((?P<call_input>(?:(?!\) -> )[^\[\]])*)\)\s*")
_SUM = re.compile(r"(\d{1,9}) ?([-+*/]) ?(\d{1,9})")
_SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A distinct call at a place."""

    text: int
    """Index of the text in the workload."""
    token_index: int
    """The call goes before this token."""
    ids_with_result: Sequence[int]
    """The beginning-of-sequence token and e(c, r)."""
    ids_without_result: Sequence[int]
    """The beginning-of-sequence token and e(c, epsilon)."""


def distinct_calls(
    tokenizer: TextTokenizer, work: Workload, text: int, token_index: int, samples: Sequence[Sample]
) -> list[Call]:
    """Each distinct call among the samples of a place, in the order of sampling."""
    make = _written_call if work.writes_calls else _stand_in_call
    pairs = dict.fromkeys(pair for sample in samples if (pair := make(tokenizer, sample)))
    bos_ids = tokenizer.bos_ids
    return [
        Call(
            text=text,
            token_index=token_index,
            ids_with_result=(*bos_ids, *answered),
            ids_without_result=(*bos_ids, *unanswered),
        )
        for answered, unanswered in pairs
    ]


def stand_in_result(call_input: str) -> str:
    """The value of two whole numbers and a sign; of anything else a constant.

    >>> stand_in_result("400 / 1400"), stand_in_result("18 boxes")
    ('0.29', '7')
    """
    match = _SUM.fullmatch(call_input.strip())
    if match is None or (match[2] == "/" and not int(match[3])):
        return UNKNOWN_RESULT
    return f"{_SIGNS[match[2]](int(match[1]), int(match[3])):.2f}".rstrip("0").rstrip(".")


def _written_call(tokenizer: TextTokenizer, sample: Sample) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    match = None if sample.text is None else _CALL.fullmatch(sample.text)
    if match is None or match["tool"] != TOOL:
        return None
    call_input = match["call_input"]
    written = [f" [{TOOL}({call_input}) -> {result}]" for result in (stand_in_result(call_input), "")]
    answered, unanswered = (tuple(tokenizer.encode(text)) for text in written)
    return answered, unanswered


def _stand_in_call(tokenizer: TextTokenizer, sample: Sample) -> tuple[tuple[int, ...], tuple[int, ...]]:
    start = (*tokenizer.open_ids, *sample.ids[:CALL_TOKENS])
    return (*start, *tokenizer.encode(f" -> {RESULT}]")), (*start, *tokenizer.encode(" -> ]"))
