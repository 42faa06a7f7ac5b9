"""Pieces of HTML. Everything that is not made here is escaped, since texts, inputs and answers are anybody's."""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from toolformer_ray.workflow.calls.opened import Answer

NOTHING = Markup("")
SMALLEST, LARGE = 0.001, 100.0
"""What is not 0 and would be written as 0 is told as less than this; from LARGE on one decimal is enough."""
# Characters that would turn the direction of what follows, or that no browser shows.
_TURNING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROL = (*range(9), 11, 12, *range(14, 32), *range(127, 160))
_INVISIBLE = dict.fromkeys((*_TURNING, *_CONTROL), "\N{REPLACEMENT CHARACTER}")


def join(pieces: Iterable[Markup | str]) -> Markup:
    """The pieces one after the other; plain strings are escaped."""
    return NOTHING.join(pieces)


def text(value: str) -> Markup:
    """A text of a corpus, a model or a tool, safe to stand anywhere between tags or in a quoted attribute."""
    return escape(value.translate(_INVISIBLE))


def element(name: str, *content: Markup | str, **attributes: object) -> Markup:
    """An element. A trailing underscore of an attribute's name is left out, and others become hyphens."""
    told = join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), told, join(content))  # noqa: S704 - a name of ours


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "") -> Markup:
    """A table; numbers are aligned to the right."""
    rows = list(rows)
    kinds = ["number" if any(_is_number(row[place]) for row in rows) else "" for place in range(len(columns))]
    head = element("tr", *(element("th", text(name), class_=kind) for name, kind in zip(columns, kinds, strict=True)))
    body = join(element("tr", *map(_cell, row)) for row in rows)
    return element("table", element("thead", head), element("tbody", body), class_=kind)


def answer_table(answer: Answer) -> Markup:
    """What a question brought; words in the place of an empty table."""
    if not answer.rows:
        return element("p", "Nothing of the kind so far.", class_="none")
    return table(answer.columns, answer.rows)


def folded(title: str, *content: Markup) -> Markup:
    """Content that is shown when its title is clicked."""
    return element("details", element("summary", title), *content)


def written(value: object) -> str:
    """A value as a cell shows it: numbers with three decimals, large ones with one; nothing for None.

    >>> written(1234), written(0.25), written(1392.564), written(0.00002), written(None)
    ('1,234', '0.250', '1,392.6', '<0.001', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return _written_float(value) if isinstance(value, float) else str(value)


def _written_float(value: float) -> str:
    if 0 < abs(value) < SMALLEST / 2:
        return f"<{SMALLEST:g}" if value > 0 else f">-{SMALLEST:g}"
    return f"{value:,.1f}" if abs(value) >= LARGE else f"{value:,.3f}"


def _cell(value: object) -> Markup:
    if isinstance(value, Markup):
        return element("td", value)
    shown = text(written(value))
    return element("td", shown, class_="number") if _is_number(value) else element("td", shown)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
