"""Prompts in, completions with answered calls out: runs the model's batch and the executor of tool calls side by side.

A text that waits for its tool leaves its place in the batch to another and keeps its KV cache. The decoder itself waits
only when every text does.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from toolformer_ray.decode.completion import Completion, Piece, ToolCall
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.request import DecodeRequest, Prompt, noise_key
from toolformer_ray.decode.scoring import ScoreQueue
from toolformer_ray.decode.writing import Writing
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.text import Text
from toolformer_ray.records.calls import FoundCall, find_calls
from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.call import Call, Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.asking.tool_queue import PendingCall
from toolformer_ray.tools.earlier_calls import needed_calls
from toolformer_ray.tools.tool import Tool

DEFAULT_BATCH_SIZE = 64
TOKENS_SCORED_AT_ONCE = 1024
"""Between two decode steps: a few hundred milliseconds on a CPU, for which texts that are being written wait."""


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
        self._tools, self._executor = tools, ToolExecutor(tools, store)
        self._generator: Generator = model.generator(batch_size)
        self._requests: dict[Text, DecodeRequest] = {}
        self._waiting: dict[PendingCall, DecodeRequest] = {}
        self._scores = ScoreQueue(model, TOKENS_SCORED_AT_ONCE)
        self._barred = tuple(barred)

    @property
    def tool_names(self) -> Collection[str]:
        """The names of the tools that are loaded, as in calls."""
        return self._executor.names

    @property
    def num_passes(self) -> int:
        """How often the model was run."""
        return self._generator.num_passes

    def check(self, prompt: str) -> list[int]:
        """The prompt's token ids. Raises ValueError if they fill the window, or if the prompt is not valid Unicode."""
        ids = self._encode(prompt)
        self._check_length(ids, prompt, self._window - 1)
        return ids

    def read(self, request: DecodeRequest) -> None:
        """Set the ids that the model reads, unless they are set. Raises ValueError as `check`. For any thread."""
        if request.prompt_ids:
            return
        prompt = request.prompt
        ids = self._encode(prompt) if isinstance(prompt, str) else self._begin_ids(prompt)
        self._check_length(ids, prompt, self._window - request.is_written)
        request.num_hidden = len(ids) - len(prompt) if not isinstance(prompt, str) else len(self._tokenizer.bos_ids)
        request.prompt_ids = ids

    def _encode(self, prompt: str) -> list[int]:
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"character {error.start} of a prompt is {prompt[error.start]!r}, half a character, which UTF-8 does "
                f"not have; give the one that begins {prompt[:40]!r} as UTF-8"
            ) from error
        return [*self._tokenizer.bos_ids, *self._tokenizer.encode(prompt)]

    def _begin_ids(self, prompt: Sequence[int]) -> list[int]:
        size = self.model.vocabulary_size
        if wrong := next((token for token in prompt if not 0 <= token < size), None):
            raise ValueError(
                f"a prompt has the token id {wrong}; those of {self._tokenizer.name!r} are 0 to {size - 1}"
            )
        bos_ids = self._tokenizer.bos_ids
        return [*(() if tuple(prompt[: len(bos_ids)]) == bos_ids else bos_ids), *prompt]

    def _check_length(self, ids: Sequence[int], prompt: Prompt, most: int) -> None:
        if len(ids) > most:
            shown = prompt[:40] if isinstance(prompt, str) else list(prompt[:10])
            raise ValueError(
                f"a prompt of {len(ids)} tokens leaves nothing of the window of {self._window} tokens of "
                f"{self._tokenizer.name!r}; shorten the one that begins {shown!r}"
            )

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
        self.read(request)
        options, ids = request.options, request.prompt_ids
        if not request.is_written:
            self._end(request, Completion.of_nothing(len(ids)), ids)
            return
        request.writing = Writing(
            self._tokenizer,
            replace(options, barred=(*options.barred, *self._barred)),
            self._executor.names,
            num_prompt_tokens=len(ids),
            window=self._window,
        )
        # A prompt has the same random numbers, whether it is given as a text or as token ids.
        given = request.prompt if isinstance(request.prompt, str) else self._tokenizer.decode(list(request.prompt))
        request.text = self._generator.begin(
            request.writing,
            ids,
            temperature=options.temperature,
            top_p=options.top_p,
            key=noise_key(options.seed, given, request.sample),
        )
        self._requests[request.text] = request

    def cancel(self, request: DecodeRequest) -> None:
        """Stop writing the text. The result of a call that is being made is ignored."""
        self._scores.forget(request)
        if request.is_written:
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
        ended += [request for request in written if self._has_ended(request)]
        return ended + (self._scores.step() if self._scores else [])

    def wait(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """If no text can go on, wait until a call has finished or `wake` is called."""
        if not self._generator.has_work and not self._scores:
            self._executor.wait(is_needed)

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        self._executor.wake()

    def finish(self) -> Iterable[DecodeRequest]:
        """Step until every text has ended; yields each when it has. Raises the error of one without a completion."""
        while self._requests or self._scores:
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
        """Whether the text that has just been written has its completion. If it waits for a call, that is submitted."""
        if request.text.is_over:
            del self._requests[request.text]
            self._end(request, request.writing.finished(), [*request.text.ids, *request.writing.last_ids])
        elif request.writing.asked is not None:
            self._waiting[self._executor.submit(self._behind_earlier(request, request.writing.asked))] = request
        _tell(request)
        return request.completion is not None

    def _behind_earlier(self, request: DecodeRequest, asked: Call) -> Call:
        """The call, behind those of the prompt and of the text so far that define what it uses."""
        prompt = request.prompt if isinstance(request.prompt, str) else self._tokenizer.decode(list(request.prompt))
        before: list[FoundCall | ToolCall] = [*find_calls(prompt), *request.writing.calls]
        inputs = [call.call_input or "" for call in before if call.tool == asked.tool and call.result is not None]
        return asked._replace(earlier=needed_calls(self._tools[asked.tool], asked.call_input, inputs))

    def _end(self, request: DecodeRequest, completion: Completion, ids: Sequence[int]) -> None:
        """A request has its completion, or waits for the log-probabilities in it. `ids`: of the whole sequence."""
        if request.scoring is None:
            request.completion = completion
        else:
            self._scores.add(request, completion, ids, request.scoring)


def _tell(request: DecodeRequest) -> None:
    if request.on_pieces and (pieces := request.writing.transcript.drain()):
        request.on_pieces(pieces)
