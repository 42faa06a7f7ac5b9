"""The beginning of a passage, cut where a sentence ends."""

import re

_SENTENCE_END = re.compile(r"""[.!?][.!?'"”’»)]*(?=\s|$)""")
# A full stop after one of these, or after a single letter, ends no sentence: `Dr. No`, `J. Doe`, `D . C .`
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|Mt|Jr|Sr|No|vs|ca|approx|Prof|Gen|Col|Capt|Lt|Rev)|\b\w)\s?$")


def cut_at_sentence(text: str, max_chars: int) -> str:
    """As many whole sentences from the start as fit; if not even one fits, whole words and an ellipsis.

    >>> cut_at_sentence("The Nile is a river. It is long. It ends in the sea.", 35)
    'The Nile is a river. It is long.'
    """
    text = text.strip()
    if len(text) <= max_chars:
        return text
    # One character more than fits, so that a sentence is seen to end exactly at the limit.
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, max_chars + 1) if _ends_sentence(text, match)]
    fitting = [end for end in ends if end <= max_chars]
    if fitting:
        return text[: fitting[-1]]
    words = text[:max_chars].rsplit(maxsplit=1)
    return words[0].rstrip(" ,;:") + "…"


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    return text[match.start()] != "." or not _ABBREVIATION.search(text, max(0, match.start() - 10), match.start())
