"""Prompts in, texts with answered calls out: the model's batch on one side, the tools' desk on the other.

A text that waits for its tool is in nobody's way: its slot goes to the next one, and it comes back with its own keys
and values. Only when every text waits does the decoder wait too.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolformer_ray.decode.answer import Answer, Piece
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.writing import Writing
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.writing.generator import Generator, Text
from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.asking.tool_queue import PendingCall
from toolformer_ray.tools.tool import Tool

OnPieces = Callable[[Sequence[Piece]], None]
DEFAULT_BATCH_SIZE = 64


@dataclass(eq=False)
class Request:
    """One prompt on its way."""

    prompt: str
    options: DecodeOptions
    on_pieces: OnPieces | None
    """Told what has become certain of the text, as it becomes so."""
    writing: Writing = field(init=False)
    text: Text = field(init=False)
    answer: Answer | None = None
    """None until it is finished."""
    error: Exception | None = None
    """Why it ended without an answer: a recording that could not be read."""


class Decoder:
    """`tools` by the name written in calls, opened. Not for several threads, but `wake` may be called from any."""

    def __init__(
        self,
        model: LanguageModel,
        tools: Mapping[str, Tool],
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        store: AnswerStore | None = None,
        barred: Sequence[str] = (),
    ) -> None:
        """`batch_size`: how many texts are written at a time; four times as many may wait for their tools.

        `barred`: names of tools that no text may ask, whatever its own options say.
        """
        self.model = model
        self._tokenizer, self._window, self.model_name = model.tokenizer, model.window, model.tokenizer.name
        self._executor = ToolExecutor(tools, store)
        self._generator: Generator = model.generator(batch_size)
        self._requests: dict[Text, Request] = {}
        self._waiting: dict[PendingCall, Request] = {}
        self._barred = tuple(barred)

    @property
    def num_open(self) -> int:
        """Requests that are not finished."""
        return len(self._requests)

    @property
    def num_passes(self) -> int:
        """How often the model was run."""
        return self._generator.num_passes

    def check(self, prompt: str) -> list[int]:
        """The prompt's token ids. Raises ValueError if they leave no room for another, or if it is no text."""
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"character {error.start} of a prompt is {prompt[error.start]!r}, half a character, which UTF-8 does "
                f"not have; give the one that begins {prompt[:40]!r} as UTF-8"
            ) from error
        ids = [*self._tokenizer.bos_ids, *self._tokenizer.encode(prompt)]
        if len(ids) >= self._window:
            raise ValueError(
                f"a prompt of {len(ids)} tokens leaves nothing of the window of {self._window} tokens of "
                f"{self.model_name!r}; shorten the one that begins {prompt[:40]!r}"
            )
        return ids

    def shorten(self, prompt: str, room: int) -> str:
        """The end of the prompt, all of it if that leaves room for so many tokens; cut where a token begins."""
        places = self._tokenizer.places(prompt)
        most = max(1, self._window - len(self._tokenizer.bos_ids) - room)
        return prompt if len(places.ids) <= most else prompt[places.char_offsets[-most] :]

    def submit(self, prompt: str, options: DecodeOptions, on_pieces: OnPieces | None = None) -> Request:
        """Begin a text; it joins the batch at the next `step`. Raises ValueError as `check`."""
        ids = self.check(prompt)
        options = replace(options, barred=(*options.barred, *self._barred))
        request = Request(prompt, options, on_pieces)
        request.writing = Writing(
            self._tokenizer, options, self._executor.names, num_prompt_tokens=len(ids), window=self._window
        )
        request.text = self._generator.begin(
            request.writing, ids, temperature=options.temperature, key=_key(options.seed, prompt)
        )
        self._requests[request.text] = request
        return request

    def cancel(self, request: Request) -> None:
        """Write no more of it; a tool that it waits for is not waited for."""
        self._generator.forget(request.text)
        self._requests.pop(request.text, None)

    def step(self) -> list[Request]:
        """Take in what tools have answered and write a token of every text; those that have ended now."""
        ended = []
        for call in self._executor.finished():
            request = self._waiting.pop(call)
            if request.text not in self._requests:
                continue
            if isinstance(call.outcome, Outcome):
                self._generator.resume(request.text, request.writing.answer(call.outcome))
                _tell(request)
            else:
                self.cancel(request)
                request.error = call.outcome
                ended.append(request)
        return ended + [found for text in self._generator.step() if (found := self._look_at(text)) is not None]

    def wait(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """Until there is something to do, if no text can go on: an answer of a tool, or somebody calls `wake`."""
        if not self._generator.has_work:
            self._executor.wait(is_needed)

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        self._executor.wake()

    def finish(self) -> Iterable[Request]:
        """Step until all that was submitted is finished; each when it is. Raises what ended one without an answer."""
        while self._requests:
            self.wait()
            for request in self.step():
                if request.error is not None:
                    raise request.error
                yield request

    def check_recording(self) -> None:
        """Raises OSError or ValueError if a recording that is made lacks calls that were asked."""
        self._executor.check_recording()

    def write(self, prompts: Sequence[str], options: DecodeOptions) -> list[Answer]:
        """The answers to some prompts, in their order. Raises ValueError as `check`, before anything is written, and
        OSError if a recording cannot be read."""
        requests = [self.submit(prompt, options) for prompt in prompts]
        for _ in self.finish():
            pass
        return [request.answer for request in requests if request.answer is not None]

    def _look_at(self, text: Text) -> Request | None:
        """Hand in the call that a text waits for, tell what is certain of it; the request if it is finished."""
        request = self._requests.get(text)
        if request is None:
            return None
        writing = request.writing
        if text.is_over:
            request.answer = writing.finished()
            del self._requests[text]
        elif writing.asked is not None:
            self._waiting[self._executor.submit(writing.asked)] = request
        _tell(request)
        return request if text.is_over else None


def _tell(request: Request) -> None:
    if request.on_pieces and (fresh := request.writing.transcript.drain()):
        request.on_pieces(fresh)


def _key(seed: int, prompt: str) -> int:
    digest = hashlib.blake2b(f"{seed}\n{prompt}".encode("utf-8", "replace"), digest_size=16).digest()
    return int.from_bytes(digest, "big")
