"""Prompts in, completions with answered calls out: runs the model's batch and the executor of tool calls side by side.

A text that waits for its tool leaves its place in the batch to another and keeps its KV cache. The decoder itself waits
only when every text does.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.writing import Writing
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.text import Text
from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.asking.tool_queue import PendingCall
from toolformer_ray.tools.tool import Tool

DEFAULT_BATCH_SIZE = 64


@dataclass(eq=False)
class DecodeRequest:
    """A prompt and what comes of it. Both functions are called by the thread that runs the decoder."""

    prompt: str
    options: DecodeOptions
    on_pieces: Callable[[Sequence[Piece]], None] | None = None
    """Called with the pieces of the text as they become certain."""
    on_end: Callable[[Completion | Exception], None] | None = None
    """Called by `DecodingService` when the text has ended."""
    completion: Completion | None = None
    """None until the text is finished."""
    error: Exception | None = None
    """Why the text ended without a completion: a recording could not be read."""
    writing: Writing = field(init=False)
    text: Text = field(init=False)


class Decoder:
    """`tools` by the name written in calls, opened. To be used by one thread; only `wake` may be called from any."""

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
        self._tokenizer, self._window = model.tokenizer, model.window
        self._executor = ToolExecutor(tools, store)
        self._generator: Generator = model.generator(batch_size)
        self._requests: dict[Text, DecodeRequest] = {}
        self._waiting: dict[PendingCall, DecodeRequest] = {}
        self._barred = tuple(barred)

    @property
    def num_passes(self) -> int:
        """How often the model was run."""
        return self._generator.num_passes

    def check(self, prompt: str) -> list[int]:
        """The prompt's token ids. Raises ValueError if they fill the window, or if the prompt is not valid Unicode."""
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
                f"{self._tokenizer.name!r}; shorten the one that begins {prompt[:40]!r}"
            )
        return ids

    def shorten(self, prompt: str, room: int) -> str:
        """As much of the prompt's end as leaves room for so many tokens in the window; cut between tokens."""
        places = self._tokenizer.places(prompt)
        most = max(1, self._window - len(self._tokenizer.bos_ids) - room)
        return prompt if len(places.ids) <= most else prompt[places.char_offsets[-most] :]

    def submit(
        self, prompt: str, options: DecodeOptions, on_pieces: Callable[[Sequence[Piece]], None] | None = None
    ) -> DecodeRequest:
        """Begin a text. Raises ValueError as `check`."""
        request = DecodeRequest(prompt, options, on_pieces)
        self.begin(request)
        return request

    def begin(self, request: DecodeRequest) -> None:
        """Begin the text of a request; it joins the batch at the next `step`. Raises ValueError as `check`."""
        prompt, ids = request.prompt, self.check(request.prompt)
        options = replace(request.options, barred=(*request.options.barred, *self._barred))
        request.writing = Writing(
            self._tokenizer, options, self._executor.names, num_prompt_tokens=len(ids), window=self._window
        )
        request.text = self._generator.begin(
            request.writing, ids, temperature=options.temperature, key=_key(options.seed, prompt)
        )
        self._requests[request.text] = request

    def cancel(self, request: DecodeRequest) -> None:
        """Stop writing the text. The result of a call that is being made is ignored."""
        self._generator.forget(request.text)
        self._requests.pop(request.text, None)

    def step(self) -> list[DecodeRequest]:
        """Insert the results that have come, then write a token of every text. Returns the requests that have ended."""
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
        written = [self._requests[text] for text in self._generator.step() if text in self._requests]
        return ended + [request for request in written if self._has_ended(request)]

    def wait(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """If no text can go on, wait until a call has finished or `wake` is called."""
        if not self._generator.has_work:
            self._executor.wait(is_needed)

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        self._executor.wake()

    def finish(self) -> Iterable[DecodeRequest]:
        """Step until every text has ended; yields each when it has. Raises the error of one without a completion."""
        while self._requests:
            self.wait()
            for request in self.step():
                if request.error is not None:
                    raise request.error
                yield request

    def check_recording(self) -> None:
        """Raise OSError or ValueError if the recording that is made lacks calls that were asked."""
        self._executor.check_recording()

    def write(self, prompts: Sequence[str], options: DecodeOptions) -> list[Completion]:
        """The completions of some prompts, in their order.

        Raises ValueError as `check`, before anything is written, and OSError if a recording cannot be read.
        """
        requests = [self.submit(prompt, options) for prompt in prompts]
        for _ in self.finish():
            pass
        return [request.completion for request in requests if request.completion is not None]

    def _has_ended(self, request: DecodeRequest) -> bool:
        """Whether the text that has just been written has ended. If it waits for a call, that is submitted."""
        if request.text.is_over:
            request.completion = request.writing.finished()
            del self._requests[request.text]
        elif request.writing.asked is not None:
            self._waiting[self._executor.submit(request.writing.asked)] = request
        _tell(request)
        return request.text.is_over


def _tell(request: DecodeRequest) -> None:
    if request.on_pieces and (pieces := request.writing.transcript.drain()):
        request.on_pieces(pieces)


def _key(seed: int, prompt: str) -> int:
    digest = hashlib.blake2b(f"{seed}\n{prompt}".encode("utf-8", "replace"), digest_size=16).digest()
    return int.from_bytes(digest, "big")
