"""Execute: every candidate call is put to its tool (paper, section 2, "Executing API calls").

Reads candidates and the documents they belong to; writes the candidates with what the tool answered. Drops nothing: a
call that failed stays, with its status.
"""

from collections.abc import Sequence

from toolformer_ray.records.stages import Candidate, Document, Executed
from toolformer_ray.tools.asking.executor import ToolExecutor


def execute(candidates: Sequence[Candidate], documents: Sequence[Document], tools: ToolExecutor) -> list[Executed]:
    """Each candidate with its answer, in order.

    "Today" is the document's own date. Raises KeyError for a candidate whose tool or document is not given.
    """
    dates = {document.text_id: document.date for document in documents}
    outcomes = tools.run((candidate.tool, candidate.call_input, dates[candidate.text_id]) for candidate in candidates)
    return [
        Executed(**vars(candidate), **vars(outcome)) for candidate, outcome in zip(candidates, outcomes, strict=True)
    ]
