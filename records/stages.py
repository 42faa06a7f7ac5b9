"""The tables of a run, one record each. Read top to bottom, this is the data flow (paper, section 2):

    corpus -> Document -> Candidate -> Executed -> Scored -> Augmented        and, beside each stage, Dropped

A text is stored once, in `documents/`; every later table joins on `text_id`. Offsets count Unicode code points of
`Document.text`. Losses are weighted nats: L_i(z) = -sum_t w_t log p(x_{i+t} | z, x_{<i+t}) with sum_t w_t = 1.
"""

import datetime
from dataclasses import dataclass

from toolformer_ray.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class Document(Record):
    """One text that fits the model's window.

    Produced by ingest; consumed by propose, execute, score, interleave and fine-tuning.
    """

    table = "documents"

    text_id: str
    """Hash of the whole source document's text and the part number: `<32 hex digits>-<part>`. Unique in a run."""
    doc_id: str
    """The source's own identifier, or `<source>#<row>` where it has none."""
    part: int
    """0 for the first piece of a source document, counting up; pieces joined in order give the whole text back."""
    text: str
    """The text, exactly as the source has it."""
    title: str | None
    """The source's title; None where it has none."""
    url: str | None
    """The source's URL; None where it has none."""
    date: datetime.date | None
    """The day on which the text was written, from a date column, else from the URL; None if neither has it."""
    source: str
    """The file, or the data set's name, that the text was read from."""


@dataclass(frozen=True, kw_only=True)
class Candidate(Record):
    """A distinct call that the model proposed at one place. Produced by propose; consumed by execute."""

    table = "candidates"

    text_id: str
    tool: str
    """The tool's name as written in a call, e.g. `Calculator`."""
    token_index: int
    """The call goes before this token of the text (tokenizer of the model that scores, no special tokens)."""
    char_offset: int
    """The same place in the text, in Unicode code points: where the token, its leading space included, starts."""
    open_probability: float
    """p_i, the probability of a call's opening at this place: of the start marker, all its spellings added, times that
    of the tool's name and what goes before an input; in the paper, of the start marker alone. Above tau_s."""
    call_input: str
    """Exactly what stands between the parentheses, quotes included."""
    num_samples: int
    """How many of the m samples were this call; 1 for a call without an input, which need not be sampled."""
    loss_without: float
    """L_i(epsilon), weighted nats: the loss of the next tokens with no call at all. NaN where another model proposed:
    the model that scores has it in `scored`."""
    loss_with_call: float | None = None
    """L_i(e(c, epsilon)), weighted nats: with the call, not its result. For tools that are expensive to ask it is known
    before they are; for others if the call is not lost on its other two losses. None where it was not computed."""
    proposed_offset: int | None = None
    """Where the token of another proposing model starts, if the call was moved from there to a token border of the
    model that scores; None where it was not moved."""
    needs: tuple[str, ...] = ()
    """Inputs of calls of the same tool at earlier places of the text that define what this call uses, in their order.
    It was asked behind them, and stands in C* only where all of them do. Empty for tools that know no such thing."""


@dataclass(frozen=True, kw_only=True)
class Executed(Candidate):
    """A candidate and what its tool answered. Produced by execute; consumed by score."""

    table = "executed"

    status: str
    """One of records.stages.STATUSES."""
    result: str | None
    """The answer as it is written into the call; None unless status is `ok`."""
    seconds: float
    """How long the tool took; 0 for an answer that was already known."""
    from_cache: bool
    """Whether the answer to an equal call was used instead of calling the tool."""
    note: str | None = None
    """What the status does not say, see records.stages.NOTES; None for most."""
    decoys: tuple[str, ...] = ()
    """Answers of the same kind and shape that this call did not get, for the filter to compare with; empty without a
    result, with the paper's filter, and where nothing of the kind could be made."""


@dataclass(frozen=True, kw_only=True)
class Scored(Executed):
    """An executed call and the filter's verdict.

    Produced by score; consumed by interleave, by fine-tuning and by users' SQL. The filter `decoys` fills the columns
    from `loss_in_place` on, the filter `paper` those from `loss_with_result` to `loss_reduction`, `both` all of them.
    """

    table = "scored"
    former = frozenset({"loss_near", "screening"})

    loss_with_result: float | None
    """L_i(e(c, r)) as the paper has it, weighted nats. None if there is no result to score."""
    loss_reduction: float | None
    """L- minus L+ with L- = min(loss_without, loss_with_call). None where loss_with_call or loss_with_result is."""
    input_sees_future: bool
    """The input, without its quotes, occurs in the text after the call and not before it."""
    sees_future: bool
    """The input or the result occurs in the text after the call and not before it (true of most useful results)."""
    is_kept: bool
    """The run's rule is met (losses.verdict): contrast >= tau_d and loss_without >= tau_d or, with the filter `paper`,
    loss_reduction >= tau_f; and the call is not struck by the rule about inputs that only occur later."""
    loss_in_place: float | None = None
    """The loss of the next tokens behind the call and its result, where the call stands in its place in the text, or
    `call_distance` tokens before. Counted from the first token that is not white space alone."""
    losses_of_decoys: tuple[float, ...] = ()
    """The same with each of `decoys` in the result's stead, in their order."""
    contrast: float | None = None
    """The mean of losses_of_decoys minus loss_in_place. None if there is no result, or no decoy."""
    decoys_passing: int | None = None
    """How many of the decoys would have been kept in the result's stead, each compared with the others: of these the
    false share is estimated (losses.false_share). None where there are not two decoys."""
    token_ends: tuple[int, ...] = ()
    """Where each token that `loss_in_place` counts ends in the text, in code points."""
    token_contrasts: tuple[float, ...] = ()
    """Of each of these tokens, its mean loss with a decoy minus its loss with the result, in nats. With the weights of
    the loss they sum to `contrast`."""


@dataclass(frozen=True, kw_only=True)
class KeptCall(Record):
    """One call inside an augmented text."""

    tool: str
    call_input: str
    result: str
    char_offset: int
    """Where the call stands, in code points of the original text."""
    loss_reduction: float
    """By how much the result lowered the loss, in nats, as the filter measures it: `contrast` or, with the filter
    `paper`, `loss_reduction` of `scored`."""


@dataclass(frozen=True, kw_only=True)
class Augmented(Record):
    """A text of C* with at least one call. Produced by interleave; consumed by users.

    Fine-tuning makes its own choice of calls, from `documents` and `scored`.
    """

    table = "augmented"

    text_id: str
    doc_id: str
    text: str
    """x*, the text with its calls and their results."""
    num_calls: int
    calls: tuple[KeptCall, ...]
    """In the order in which they stand in the text."""


@dataclass(frozen=True, kw_only=True)
class Dropped(Record):
    """Something that left the flow, with its reason. Produced by every stage; consumed by users."""

    stage: str
    reason: str
    """One of DROP_REASONS[stage], or BROKEN."""
    text_id: str
    tool: str | None
    char_offset: int | None
    detail: str | None
    """What was dropped, shortened, or the error; None where the other columns say it all."""
    count: int
    """How many equal things this row stands for (e.g. samples at one place); 1 for most."""


STATUSES = ("ok", "empty", "bad_input", "timeout", "crashed", "unavailable")
"""The outcomes of a call: an answer, an empty answer, an input that the tool refuses, no answer in time, an error
inside the tool, a tool that cannot be reached."""

NOTES = ("cut", "cleaned", "not_asked", "not_recorded")
"""Details of an outcome: the answer was longer than a result may be and was cut; it held control characters, which were
replaced by spaces; the tool was not asked because it was down; or a replayed recording does not hold the call. One more
is `argument NAME`, of a `bad_input`: which of the call's named arguments was refused, or is missing."""
ARGUMENT_NOTE = "argument "
MAX_NOTE_CHARS = 80


def is_note(note: object) -> bool:
    """Whether an outcome may have this note."""
    is_argument = isinstance(note, str) and note.startswith(ARGUMENT_NOTE) and len(note) <= MAX_NOTE_CHARS
    return note is None or note in NOTES or is_argument


UNUSABLE_SOURCE = "unusable_source"
"""The reason given for a file or data set of the corpus of which no row is usable, beside a drop for each of them."""

DROP_REASONS = {
    "ingest": ("duplicate", "empty_text", "invalid_utf8", "invalid_row", "missing_text", UNUSABLE_SOURCE),
    "propose": (
        *("not_offered", "too_long", "no_position", "loss_already_low", "sample_unfinished", "sample_malformed"),
        *("loss_already_low_with_call", "no_border", "no_answer"),
    ),
    "interleave": ("same_place", "definition_not_kept"),
}
"""The reasons for which each stage drops rows, beside BROKEN, which any stage may give. A stage may give no other. A
call that failed is not dropped: it stays, with its status."""

BROKEN = "broken"
"""The reason given for a text or call on which the stage itself fails every time."""
