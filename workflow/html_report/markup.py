"""Pieces of HTML. Everything that is not made here is escaped, since texts, inputs and answers are anybody's."""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from toolformer_ray.workflow.calls.opened import Answer

NOTHING = Markup("")
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
    head = element("tr", *(element("th", text(column)) for column in columns))
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
    """A value as a cell shows it: numbers with three decimals, nothing for None.

    >>> written(1234), written(0.25), written(None)
    ('1,234', '0.250', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def _cell(value: object) -> Markup:
    if isinstance(value, Markup):
        return element("td", value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return element("td", text(written(value)), class_="number") if is_number else element("td", text(written(value)))
