"""A run folder of short texts, each with chosen calls, written by hand."""

from collections.abc import Mapping, Sequence

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
    documents = [
        Document(
            text_id=name, doc_id=name, part=0, text=f"{name} is here.", title=None, url=None, date=None, source="x"
        )
        for name in texts
    ]
    write(run, "documents", Document, documents)
    write(run, "scored", Scored, [_scored(name, *call) for name, calls in texts.items() for call in calls])
    return location


def _scored(name: str, tool: str, call_input: str, result: str, reduction: float, before: str = " is") -> Scored:
    return Scored(
        text_id=name,
        tool=tool,
        token_index=1,
        char_offset=f"{name} is here.".index(before, len(name)),
        open_probability=0.5,
        call_input=call_input,
        num_samples=1,
        loss_without=4.0,
        loss_with_call=4.0,
        status="ok",
        result=result,
        seconds=0.0,
        from_cache=False,
        loss_with_result=4.0 - reduction,
        loss_reduction=reduction,
        input_sees_future=False,
        sees_future=False,
        is_kept=reduction >= 1.0,
    )
