"""Stage 3, execute: ask each tool its candidate calls (paper, section 2, "Executing API Calls").

Reads `candidates` and `documents`. Writes `executed`, one row for each candidate, with decoys of its result where the
filter needs them. Drops nothing: a call that failed keeps its row, with its status.

Decoys are made here, where the tools are: a tool may draw them from its own data. What is drawn depends on the call and
its place alone, so a call that is not asked again, or whose answer is replayed, has the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.stages import Candidate, Document, Executed
from toolformer_ray.tools.asking.call import Call
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.tool import Tool


def execute(candidates: Sequence[Candidate], documents: Sequence[Document], executor: ToolExecutor) -> list[Executed]:
    """Each candidate with its tool's answer, in order, without decoys; "today" is the date of the document.

    Raises KeyError for a candidate whose tool or document is not given.
    """
    dates = {document.text_id: document.date for document in documents}
    outcomes = executor.run(
        Call(call.tool, call.call_input, dates[call.text_id], tuple(call.needs)) for call in candidates
    )
    return [
        Executed(**vars(candidate), **vars(outcome)) for candidate, outcome in zip(candidates, outcomes, strict=True)
    ]


def with_decoys(call: Executed, tools: Mapping[str, Tool], num_decoys: int) -> Executed:
    """The call with so many decoys of its result, or as many as there are; none if it has no result."""
    if call.result is None or not num_decoys:
        return replace(call, decoys=())
    key = f"{call.text_id}\0{call.tool}\0{call.char_offset}\0{call.call_input}"
    decoys = map(clean_result, tools[call.tool].decoys(call.result, key, num_decoys))
    return replace(call, decoys=tuple(decoy for decoy in dict.fromkeys(decoys) if decoy and decoy != call.result))
