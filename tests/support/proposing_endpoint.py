"""An OpenAI-compatible server of completions on the loopback, that writes sums and fares as a test says.

Run as a module it is a process of its own, which appends each request that it answers to a file:
`python -m tests.support.proposing_endpoint PORT_FILE LOG`.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.http_endpoint import Request, serve

Fate = Callable[[Mapping[str, Any], int], str]
"""From a request's body and number to how it fares: `well`, a status, `garbage`, `half`, `gone` or `hang`."""
_NUMBERS = re.compile(r"\d+")


class SumsEndpoint:
    """After `[Calculator(` it writes the sum of the last two numbers before, and likes places behind `=`.

    Without `has_log_probs` it refuses `echo`, as some servers do.
    """

    def __init__(self, *, has_log_probs: bool = True, fate: Fate = lambda *_: "well", log: Path | None = None) -> None:
        self.has_log_probs, self.fate, self.log = has_log_probs, fate, log
        self.bodies: list[dict[str, Any]] = []
        """Of all requests, in the order of their coming."""
        self.answered: list[str] = []
        """Of those that were answered well, as JSON with sorted keys."""
        self.headers: list[Mapping[str, str]] = []
        self.ends = threading.Event()
        self._lock = threading.Lock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def respond(self, request: Request) -> None:
        body = json.loads(request.body)
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            fate = self.fate(body, len(self.bodies) - 1)
        if fate in ("hang", "gone"):
            if fate == "hang":
                self.ends.wait(30)
            request.close_connection = True
            return
        if body.get("echo") and not self.has_log_probs:
            fate = "400"
        if fate.isdigit():
            request.send(json.dumps({"error": {"message": f"no, {fate}"}}).encode(), int(fate), Retry_After="0.01")
            return
        content = json.dumps(self.answer(body)).encode()
        if fate == "well":
            self._note(json.dumps(body, sort_keys=True))
        request.send({"garbage": b"\x00<html>", "half": content[: len(content) // 2]}.get(fate, content))

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A completion as OpenAI, vLLM and llama.cpp write it."""
        if "messages" in body:
            said = f"Of course!\n[Calculator({self._sum(body['messages'][-1]['content'])})]"
            return {"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}
        prompt = body["prompt"]
        if body.get("echo"):
            before = prompt[: prompt.rindex(" [")]
            tokens = [*re.findall(r"\s?\w+|\s?[^\w\s]|\s", prompt), "x"]
            opening = -1.0 if before.endswith("=") else -4.0
            log_probs = [None, *([-0.5] * (len(tokens) - 5)), opening, -0.25, -0.25, -9.0]
            told = {"tokens": tokens, "token_logprobs": log_probs}
            return {"choices": [{"text": f"{prompt}x", "logprobs": told, "finish_reason": "length"}]}
        before = prompt[: prompt.rindex(" [")]
        written = self._sum(before) if body["temperature"] == 0 else f"{self._sum(before)} + {body['seed'] % 3}"
        return {"choices": [{"text": f"{written})", "finish_reason": "stop"}], "usage": {"total_tokens": 9}}

    def _sum(self, text: str) -> str:
        return " + ".join(_NUMBERS.findall(text)[-2:])

    def _note(self, body: str) -> None:
        with self._lock:
            self.answered.append(body)
            if self.log:
                with self.log.open("a", encoding="utf-8") as file:
                    file.write(f"{body}\n")


@contextmanager
def serving_sums(**options: Any) -> Iterator[SumsEndpoint]:
    """The endpoint while the block runs."""
    endpoint = SumsEndpoint(**options)
    with serve(endpoint.respond) as port:
        endpoint.port = port
        try:
            yield endpoint
        finally:
            endpoint.ends.set()


def _main(port_file: str, log: str) -> None:
    with serving_sums(log=Path(log)) as endpoint:
        Path(port_file).write_text(str(endpoint.port), encoding="utf-8")
        threading.Event().wait()


if __name__ == "__main__":
    _main(*sys.argv[1:])
