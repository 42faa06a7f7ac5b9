"""Stage 3, execute: ask each tool its candidate calls (paper, section 2, "Executing API Calls").

Reads `candidates` and `documents`. Writes `executed`, one row for each candidate. Drops nothing: a call that failed
keeps its row, with its status.
"""

from collections.abc import Sequence

from toolformer_ray.records.stages import Candidate, Document, Executed
from toolformer_ray.tools.asking.executor import ToolExecutor


def execute(candidates: Sequence[Candidate], documents: Sequence[Document], executor: ToolExecutor) -> list[Executed]:
    """Each candidate with its tool's answer, in order; "today" is the date of the document.

    Raises KeyError for a candidate whose tool or document is not given.
    """
    dates = {document.text_id: document.date for document in documents}
    outcomes = executor.run((call.tool, call.call_input, dates[call.text_id]) for call in candidates)
    return [
        Executed(**vars(candidate), **vars(outcome)) for candidate, outcome in zip(candidates, outcomes, strict=True)
    ]
