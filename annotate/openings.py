"""An opening: a place of a text where calls of one tool may start, and the rows that its samples become."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.lm.requests import Sample
from toolformer_ray.records.calls import parse_sample
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import Places

_DETAIL_CHARS = 200


@dataclass(frozen=True)
class EncodedText:
    """A document as the model reads it."""

    document: Document
    places: "Places"
    """Its tokens, and before which of them a call may stand."""
    own_ids: Sequence[int]
    """What stands in the prompt between the demonstrations and the model's copy of the text."""

    @property
    def text_id(self) -> str:
        """The document's."""
        return self.document.text_id


@dataclass
class Opening:
    """A chosen place."""

    text: EncodedText
    tool: Tool
    token_index: int
    open_probability: float
    """p_i, above tau_s."""
    loss_without: float = nan
    """L_i(epsilon), weighted nats."""

    @property
    def char_offset(self) -> int:
        """The same place in the text, in code points."""
        return self.text.places.char_offsets[self.token_index]


def distinct_calls(opening: Opening, samples: Sequence[Sample]) -> tuple[list[Candidate], list[Dropped]]:
    """Each distinct call among the samples with its count, in the order of sampling, and the samples that are none."""
    inputs: Counter[str] = Counter()
    malformed: list[str] = []
    for sample in samples:
        if sample.text is None:
            continue
        call = parse_sample(sample.text)
        if call and call[0] == opening.tool.name:
            inputs[call[1]] += 1
        else:
            malformed.append(sample.text)
    dropped = []
    if num_unfinished := sum(not sample.is_finished for sample in samples):
        dropped.append(drop_opening("sample_unfinished", opening, count=num_unfinished))
    if malformed:
        dropped.append(drop_opening("sample_malformed", opening, detail=malformed[0], count=len(malformed)))
    return [_candidate(opening, call_input, count) for call_input, count in inputs.items()], dropped


def drop_opening(reason: str, opening: Opening, *, detail: str | None = None, count: int = 1) -> Dropped:
    """The row for something that left at one place."""
    return drop_text(reason, opening.text, opening.tool, char_offset=opening.char_offset, detail=detail, count=count)


def drop_text(
    reason: str,
    text: EncodedText,
    tool: Tool,
    *,
    char_offset: int | None = None,
    detail: str | None = None,
    count: int = 1,
) -> Dropped:
    """The row for something that left; `detail` is shortened."""
    return Dropped(
        stage="propose",
        reason=reason,
        text_id=text.text_id,
        tool=tool.name,
        char_offset=char_offset,
        detail=detail and detail[:_DETAIL_CHARS],
        count=count,
    )


def _candidate(opening: Opening, call_input: str, num_samples: int) -> Candidate:
    return Candidate(
        text_id=opening.text.text_id,
        tool=opening.tool.name,
        token_index=opening.token_index,
        char_offset=opening.char_offset,
        # As their columns hold them, so that a row is the same before and after the disk.
        open_probability=float(np.float32(opening.open_probability)),
        call_input=call_input,
        num_samples=num_samples,
        loss_without=float(np.float32(opening.loss_without)),
    )
