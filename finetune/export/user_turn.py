"""What the user asks for where a text becomes a conversation: something that a reader could have asked."""

import re

from toolformer_ray.finetune.choose import Example

MAX_WORDS = 30
"""A first sentence that is longer is cut."""
_SENTENCE = re.compile(r"\s*\S.*?[.!?][\"'”»)]*(?=\s)", re.DOTALL)


def ask_for(example: Example, instruction: str | None) -> str:
    """The instruction or, by default, a request for the text by its title or, where it has none, its first sentence.

    >>> ask_for(Example(text_id="", text="The fair is open. It has 12 stalls and a band."), None)
    'Write a text that begins with "The fair is open."'
    """
    if instruction is not None:
        return instruction
    if example.title and example.title.strip():
        return f'Write a text with the title "{_one_line(example.title)}".'
    return f'Write a text that begins with "{first_words(example.text)}"'


def first_words(text: str) -> str:
    """The first sentence, but at most half of the words, so that the request never gives the whole answer."""
    words = text.split()
    most = max(1, min(MAX_WORDS, len(words) // 2))
    sentence = _SENTENCE.match(text)
    return " ".join((sentence[0] if sentence else text).split()[:most])


def _one_line(text: str) -> str:
    return " ".join(text.split())
