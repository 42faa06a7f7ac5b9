"""Question answering by a chat model behind an OpenAI-compatible endpoint (OpenAI, vLLM, Ollama, ...)."""

import os

from tools.tool import Unavailable

INSTRUCTION = (
    "Answer the question with a name, a number, a date or a few words, without a sentence around it. "
    "If you do not know the answer, reply with nothing but the word unknown."
)
MAX_ANSWER_TOKENS = 64


class ChatEndpoint:
    """One model of one endpoint. The key is read from the environment when the tool is opened, and kept nowhere else.

    Raises ValueError if `api_key_variable` is given and not set.
    """

    def __init__(self, url: str, model: str, api_key_variable: str | None, timeout: float) -> None:
        import openai

        key = os.environ.get(api_key_variable, "") if api_key_variable else "none"
        if not key:
            raise ValueError(f"--qa.api-key-variable names {api_key_variable}, which is not set in the environment")
        # The pool gives a call up after `timeout`; the connection must not outlive it, and no retry starts.
        self._client = openai.OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=0)
        self._model = model

    def answer(self, question: str) -> str:
        """The model's answer, greedily decoded; empty if it says that it does not know."""
        import openai

        try:
            completion = self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": question}],
                temperature=0.0,
                max_tokens=MAX_ANSWER_TOKENS,
            )
        except openai.OpenAIError as error:
            raise Unavailable(f"{self._client.base_url}: {error}") from error
        answer = (completion.choices[0].message.content or "").strip() if completion.choices else ""
        return "" if answer.strip(".").casefold() == "unknown" else answer
