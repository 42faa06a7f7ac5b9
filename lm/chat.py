"""A conversation as token ids, by the chat template that comes with a model's tokenizer.

The template's own special tokens are read as such. What looks like one in a message is plain text, as everywhere in
the engine: nobody can end a turn, or speak as another, from inside a message.
"""

from collections.abc import Sequence

import jinja2
from transformers import PreTrainedTokenizerBase

from toolformer_ray.lm.requests import Message
from toolformer_ray.records.errors import explain

# Characters for private use, which Unicode will never give a meaning.
_MARKS = range(0xF0000, 0xFFFFD)


class ChatTemplate:
    """Renders conversations; made by `find_template`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        entries = tokenizer.added_tokens_decoder.values()
        self._special = sorted((entry.content for entry in entries if entry.special), key=len, reverse=True)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The ids up to where the assistant's next message begins.

        Raises ValueError, one line, for messages that the template refuses, as many do of roles that do not take turns.
        """
        contents = [message["content"] for message in messages]
        mark = next(chr(code) for code in _MARKS if not any(chr(code) in content for content in contents))
        # A mark inside of what looks like a special token: where it stood, what is encoded is cut in two.
        safe = [{"role": message["role"], "content": self._broken(message["content"], mark)} for message in messages]
        try:
            shown = self._tokenizer.apply_chat_template(safe, tokenize=False, add_generation_prompt=True)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"the model's chat template refuses the messages ({explain(error)})") from error
        parts = [part for part in str(shown).split(mark) if part]
        return [token for part in parts for token in self._tokenizer(part, add_special_tokens=False)["input_ids"]]

    def _broken(self, content: str, mark: str) -> str:
        for special in self._special:
            content = content.replace(special, special[:1] + mark + special[1:])
        return content


def find_template(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate | None:
    """The chat template of a model's tokenizer; None if it has none."""
    return ChatTemplate(tokenizer) if tokenizer.chat_template else None
