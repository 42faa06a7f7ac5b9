"""What a panel of the report is, and the few ways in which most of them are made."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from toolformer_ray.workflow.calls.opened import OpenedRun
from toolformer_ray.workflow.html_report.markup import answer_table, element, join


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One question about a run, and its answer."""

    key: str
    """Names the panel in the page's addresses and in docs/report.md."""
    title: str
    says: str
    """How to read it, in a sentence or two."""
    content: Callable[[OpenedRun], Markup]


def tables(*questions: str) -> Callable[[OpenedRun], Markup]:
    """Content that is the answers to these questions, as they are."""
    return lambda opened: join(answer_table(opened.ask(sql)) for sql in questions)


def paragraph(*content: Markup | str, kind: str = "") -> Markup:
    """A paragraph."""
    return element("p", *content, class_=kind)
