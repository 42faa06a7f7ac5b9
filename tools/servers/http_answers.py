"""What an HTTP operation answers: its status as one of ours, and the part of its body that is the result."""

import json
import math
from typing import Any

import httpx2
import jiter

from toolformer_ray.tools.tool import BadInput, Unavailable

MAX_ANSWER_BYTES = 256 * 1024
"""A longer answer is cut here, and the beginning is used."""


def read_answer(response: httpx2.Response, pointer: str | None) -> str:
    """The result that a response holds; empty where there is nothing (204, 404, 410, or no such part).

    Raises BadInput for 400 and 422, Unavailable where the server cannot be asked now or with this key, and
    RuntimeError for anything else that is no answer.
    """
    status = response.status_code
    if status in (204, 404, 410):
        return ""
    if status in (400, 422):
        raise BadInput(f"HTTP status {status}")
    if status in (401, 403, 408, 425, 429) or status >= 500 or 300 <= status < 400:
        raise Unavailable(f"HTTP status {status}", retry_after=_retry_after(response))
    if not 200 <= status < 300:
        raise RuntimeError(f"HTTP status {status}")
    content = response.content
    if pointer is None:
        return content.decode("utf-8", "replace")
    try:
        is_cut = len(content) >= MAX_ANSWER_BYTES
        document = jiter.from_json(content, partial_mode="trailing-strings" if is_cut else False, cache_mode="none")
    except ValueError:
        # Not `from` it: the message may hold the answer.
        raise RuntimeError("the answer is no JSON") from None
    return _written(_at(document, pointer))


def _at(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; None if that is nothing."""
    for written in pointer.split("/")[1:]:
        step = written.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(document):
            document = document[int(step[:9])]
        else:
            return None
    return document


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _retry_after(response: httpx2.Response) -> float | None:
    """The seconds that the server asks to wait; None if it does not, or gives a date."""
    try:
        seconds = float(response.headers.get("Retry-After", "nan"))
    except ValueError:
        return None
    return seconds if seconds >= 0 and math.isfinite(seconds) else None
