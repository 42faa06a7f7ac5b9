"""Texts of one's own, each cut off where an answer follows; for worlds and subjects that no benchmark knows."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.rules import is_next
from toolformer_ray.evals.task import Question, Task, texts_of


class Continuation(Task):
    """Read from rows with `prompt`, `answers`, and perhaps `today` (year-month-day) and `about` (a word to sort by)."""

    describes = "Texts of your own that have to go on with an answer; give --path.continuation FILE"
    path = "continuation.jsonl"
    has_data = False
    rule = staticmethod(is_next)

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """The one question of a row."""
        today = _day(row["today"]) if row.get("today") else None
        about = {"about": str(row["about"])} if row.get("about") else {}
        yield Question(prompt=row["prompt"], answers=tuple(texts_of(row["answers"])), today=today, about=about)


def _day(written: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(written)
    except ValueError as error:
        raise TypeError(f"today: it is {written!r}, no year-month-day") from error
