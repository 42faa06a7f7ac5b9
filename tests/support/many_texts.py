"""A run folder of short texts, each with chosen calls, written by hand."""

from collections.abc import Mapping, Sequence

from tests.support.rows import make_row
from tests.support.small_run import write
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Scored

SETTINGS = {
    "tools": ["calculator", "translation"],
    "prune-below": 0.25,
    "calculator.min-loss-reduction": 1.0,
    "translation.min-loss-reduction": 1.0,
}
Call = tuple[str, str, str, float] | tuple[str, str, str, float, str]
"""Tool, input, result, loss reduction, and before which word it stands: ` is` unless told otherwise, or ` here`."""


def write_texts(location: str, texts: Mapping[str, Sequence[Call]], settings: Mapping[str, object] = SETTINGS) -> str:
    """`texts` are ids with the calls of each; the text of `a` is `a is here.`; a reduction of 1 or more is kept."""
    run = RunFolder(location)
    run.write_json("run.json", {"settings": dict(settings)})
    documents = [make_row(Document, text_id=name, doc_id=name, text=f"{name} is here.", source="x") for name in texts]
    write(run, "documents", Document, documents)
    write(run, "scored", Scored, [_scored(name, *call) for name, calls in texts.items() for call in calls])
    return location


def _scored(name: str, tool: str, call_input: str, result: str, reduction: float, before: str = " is") -> Scored:
    return make_row(
        Scored,
        text_id=name,
        tool=tool,
        char_offset=f"{name} is here.".index(before, len(name)),
        call_input=call_input,
        loss_without=4.0,
        loss_with_call=4.0,
        result=result,
        loss_with_result=4.0 - reduction,
        loss_reduction=reduction,
        is_kept=reduction >= 1.0,
    )
