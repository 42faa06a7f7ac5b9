"""Question answering by a chat model behind an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, ...).

Answers are read up to a size limit, and the key is removed from all that an endpoint sends back, errors included, so
that it appears in no log and no table.
"""

import math
import os
from typing import Any

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.locations import without_keys
from toolformer_ray.tools.backends.bounded_http import open_client
from toolformer_ray.tools.tool import Unavailable

INSTRUCTION = (
    "Answer the question with a name, a number, a date or a few words, without a sentence around it. "
    "If you do not know the answer, reply with nothing but the word unknown."
)
MAX_ANSWER_TOKENS = 64
MAX_ANSWER_BYTES = 256 * 1024
"""A longer answer is cut here, and the beginning is used."""
MAX_ERROR_CHARS = 300


class ChatEndpoint:
    """One model of one endpoint. The key is read from the environment when the tool is opened.

    Raises OptionError if `api_key_variable` is given and not set.
    """

    def __init__(self, url: str, model: str, api_key_variable: str | None, timeout: float) -> None:
        import openai

        key = os.environ.get(api_key_variable, "") if api_key_variable else ""
        if api_key_variable and not key:
            raise OptionError("qa.api_key_variable", api_key_variable, "it is not set in the environment")
        # Calls are repeated by the executor (tools.asking), which also counts `timeout` against them.
        self._client = openai.OpenAI(
            base_url=url,
            api_key=key or "none",
            timeout=timeout,
            max_retries=0,
            http_client=open_client(max_bytes=MAX_ANSWER_BYTES, timeout=timeout),
        )
        self._url, self._model, self._key = url, model, key

    def answer(self, question: str) -> str:
        """The model's greedy answer; empty if it says that it does not know."""
        import openai

        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=[{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": question}],
                temperature=0.0,
                max_tokens=MAX_ANSWER_TOKENS,
            )
            answer = self._without_key(_read_answer(response.content))
        except (openai.OpenAIError, ValueError) as error:
            # Not `from error`: the traceback would print what the endpoint sent, which may include the key.
            raise self._unavailable(error) from None
        return "" if answer.strip(".").casefold() == "unknown" else answer

    def _unavailable(self, error: Exception) -> Unavailable:
        said = without_keys(self._without_key(str(error)))[:MAX_ERROR_CHARS]
        return Unavailable(f"{self._url}: {said}", retry_after=_retry_after(error))

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _read_answer(content: bytes) -> str:
    """The text of the first choice. Raises ValueError if the content is no chat completion."""
    import jiter

    is_cut = len(content) >= MAX_ANSWER_BYTES
    completion: Any = jiter.from_json(content, partial_mode="trailing-strings" if is_cut else False)
    try:
        choices = completion["choices"]
        answer = choices[0]["message"]["content"] if choices else None
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no chat completion: {content[:80]!r}") from error
    if not isinstance(answer, str | None):
        raise ValueError(f"no chat completion: the answer is a {type(answer).__name__}")
    return (answer or "").strip()


def _retry_after(error: Exception) -> float | None:
    """The seconds that the endpoint asks to wait; None if it does not, or gives a date."""
    response = getattr(error, "response", None)
    try:
        seconds = float(response.headers["Retry-After"]) if response is not None else math.nan
    except (KeyError, ValueError):
        return None
    return seconds if seconds >= 0 else None
