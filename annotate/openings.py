"""The places of texts where calls of a tool are sampled, and the rows that the samples become."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.annotate.prompt import NO_OPENING, CallOpening
from toolformer_ray.lm.requests import Sample
from toolformer_ray.losses.weights import weighted_token_indices
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
    """What stands in the prompt between the demonstrations and the text as it is to be continued with calls."""


@dataclass
class Opening:
    """A place of a text that was chosen for one tool: calls are sampled before its token.

    `lm.tokenizer.Places` is where calls may stand in a text at all; `lm.requests.Place` is what the engine, which knows
    no tool, is told of an opening: the token, and the keys of its samples.
    """

    text: EncodedText
    tool: Tool
    token_index: int
    open_probability: float
    """p_i, above tau_s."""
    begins: CallOpening = NO_OPENING
    """What is written before a sample begins."""
    loss_without: float = nan
    """L_i(epsilon), weighted nats; NaN until it is computed."""

    @property
    def char_offset(self) -> int:
        """Where the token, its leading space included, starts in the text, in code points."""
        return self.text.places.char_offsets[self.token_index]

    @property
    def weighted(self) -> range:
        """The indices of the text's tokens that count for the loss."""
        return weighted_token_indices(self.token_index, len(self.text.places.ids))


def distinct_calls(opening: Opening, samples: Sequence[Sample]) -> tuple[list[Candidate], list[Dropped]]:
    """Each distinct call among the samples with its count, in the order of sampling, and the samples that are none.

    A call without an input is whole with its opening and was not sampled.
    """
    if opening.begins.is_whole_call:
        return [_candidate(opening, "", 1)], []
    texts = [opening.begins.text + sample.text for sample in samples if sample.text is not None]
    calls = [parse_sample(text) for text in texts]
    inputs = Counter(call[1] for call in calls if call and call[0] == opening.tool.name)
    malformed = [text for text, call in zip(texts, calls, strict=True) if not call or call[0] != opening.tool.name]
    dropped = []
    if num_unfinished := len(samples) - len(texts):
        dropped.append(drop_opening("sample_unfinished", opening, count=num_unfinished))
    if malformed:
        dropped.append(drop_opening("sample_malformed", opening, detail=malformed[0], count=len(malformed)))
    return [_candidate(opening, call_input, count) for call_input, count in inputs.items()], dropped


def drop_opening(reason: str, opening: Opening, *, detail: str | None = None, count: int = 1) -> Dropped:
    """The row for a place, or for something that was sampled there."""
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
    """The row for a text that a tool is not asked about; `detail` is shortened."""
    return Dropped(
        stage="propose",
        reason=reason,
        text_id=text.document.text_id,
        tool=tool.name,
        char_offset=char_offset,
        detail=detail and detail[:_DETAIL_CHARS],
        count=count,
    )


def _candidate(opening: Opening, call_input: str, num_samples: int) -> Candidate:
    return Candidate(
        text_id=opening.text.document.text_id,
        tool=opening.tool.name,
        token_index=opening.token_index,
        char_offset=opening.char_offset,
        # Rounded as their columns are, so that a row is the same before and after it is written.
        open_probability=float(np.float32(opening.open_probability)),
        call_input=call_input,
        num_samples=num_samples,
        loss_without=float(np.float32(opening.loss_without)),
    )
