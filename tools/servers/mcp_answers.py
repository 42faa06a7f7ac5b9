"""What an MCP server answers, as the text that may become a result; `tools.asking` cuts it and makes it one line."""

import json
import re
from typing import Any

from toolformer_ray.records.calls import clean_result
from toolformer_ray.tools.tool import BadInput

MAX_PARTS = 100
MAX_REFUSAL_CHARS = 300
# What turns or hides text where it is shown: marks of direction, and the tags that copy ASCII without being seen.
_UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]+")


def as_text(result: Any) -> str:
    """The text parts of an answer, and in place of the others what they are; structured content where there is no text.

    Raises BadInput if the server says that the call failed: MCP has one sign for all that a tool refuses.
    """
    parts = [_part(content) for content in result.content[:MAX_PARTS]]
    text = _UNSEEN.sub(" ", "\n".join(part for part in parts if part))
    if result.is_error:
        raise BadInput(clean_result(text, MAX_REFUSAL_CHARS) or "the server gives no reason")
    if not text and result.structured_content is not None:
        return _UNSEEN.sub(" ", json.dumps(result.structured_content, ensure_ascii=False))
    return text


def _part(content: Any) -> str:
    if content.type == "text":
        return content.text
    if content.type == "resource":
        return getattr(content.resource, "text", None) or "(resource)"
    return f"({content.type.replace('_', ' ')})"
