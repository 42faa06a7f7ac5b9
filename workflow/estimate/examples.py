"""A few calls of a sample in their texts: the best that are kept, or those that came closest."""

from collections.abc import Iterable, Mapping, Sequence

from toolformer_ray.records.calls import render_call
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.workflow.report.kept_calls import CHARS_AROUND

NUM_EXAMPLES = 5


def choose_examples(texts: Sequence[Document], scored: Iterable[Scored]) -> list[str]:
    """The most valuable calls, one of a text at most, each on one line; of those that are not kept only if none is."""
    by_value = sorted((row for row in scored if _value(row) is not None), key=_order)
    kept = [row for row in by_value if row.is_kept]
    one_of_a_text = {row.text_id: row for row in reversed(kept or by_value)}
    known = {text.text_id: text.text for text in texts}
    return [_show(row, known) for row in sorted(one_of_a_text.values(), key=_order)[:NUM_EXAMPLES]]


def _value(row: Scored) -> float | None:
    """What the call is worth, in nats, as the filter measures it."""
    return row.loss_reduction if row.contrast is None else row.contrast


def _order(row: Scored) -> tuple[float, str, int]:
    return -(_value(row) or 0.0), row.text_id, row.char_offset


def _show(row: Scored, texts: Mapping[str, str]) -> str:
    text, place = texts[row.text_id], row.char_offset
    before, after = text[max(0, place - CHARS_AROUND) : place], text[place : place + CHARS_AROUND]
    call = render_call(row.tool, row.call_input, row.result or "")
    verdict = "kept" if row.is_kept else "not kept"
    return " ".join(f"{verdict}, {_value(row) or 0.0:.2f} nats: … {before}{call}{after} …".split())
