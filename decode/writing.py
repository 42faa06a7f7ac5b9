"""The state machine of one text: where calls start, when a tool is asked, how the text goes on (paper, section 2).

It is fed the model's next tokens and answers with what is to be written; it runs neither the model nor the tools.
Between calls a token is plain text. A call starts with a token that contains a `[`, or where the start marker is
likely enough. At the arrow the text waits for the tool; then the result and `]` are written, so no token after an arrow
is ever the model's own. A call that comes to nothing, before or after its tool is asked, is taken back to the letter,
and no call starts at that place again: the text goes on as if the call had never been opened.

docs/decoding.md has a table of what can happen to a call.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from toolformer_ray.decode.call_syntax import parse_call
from toolformer_ray.decode.completion import Completion, FinishReason, ToolCall, call_pieces
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.transcript import Transcript, join
from toolformer_ray.lm.writing.author import Choice, End, Step, Wait, Write
from toolformer_ray.records.calls import CALL_START, render_call
from toolformer_ray.tools.asking.call import Call, Outcome

_BRACKET = CALL_START.strip()


class Vocabulary(Protocol):
    """What the state machine needs of a tokenizer; `lm.tokenizer.TextTokenizer` has it."""

    @property
    def open_ids(self) -> Sequence[int]: ...
    @property
    def bracket_ids(self) -> Collection[int]: ...
    @property
    def stop_ids(self) -> Collection[int]: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: list[int]) -> str: ...


class Writing:
    """The author of one text (`lm.writing.author.Author`)."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        options: DecodeOptions,
        tool_names: Collection[str],
        *,
        num_prompt_tokens: int,
        window: int,
    ) -> None:
        """`window`: how many tokens the prompt and the text after it may have together."""
        self.asked: Call | None = None
        """The call that the text waits for."""
        self.calls: list[ToolCall] = []
        self.finish_reason: FinishReason | None = None
        self.last_ids: list[int] = []
        """The token with which the text ended, if it is one of the text: no other is chosen, so it is not written."""
        self.transcript = Transcript(vocabulary.decode, options.stop)
        self._vocabulary, self._options, self._tool_names = vocabulary, options, tool_names
        self._num_prompt_tokens, self._room = num_prompt_tokens, window - num_prompt_tokens
        self._num_standing = 0
        """Tokens after the prompt, without those of the call that is being written."""
        self._num_plain = 0
        self._call_ids: list[int] = []
        """The call that is being written, of which the model has been given `_num_written` tokens."""
        self._num_written = 0
        self._calls_left, self._starts_left = options.max_calls, options.max_false_starts
        self._is_barred_here = False

    @property
    def open_within(self) -> int:
        """0 inside a character, where no call may stand."""
        return 0 if self.transcript.is_inside_character else self._options.call_top_k

    @property
    def may_open(self) -> bool:
        """False in a call, directly after one, where one came to nothing, and when no calls are left."""
        return bool(self._calls_left and self._starts_left) and not self._call_ids and not self._is_barred_here

    def take(self, choice: Choice) -> Step:
        """What to do with the model's next token."""
        if self._call_ids:
            return self._go_on_with_call(choice.token)
        if self.may_open and choice.is_marker_near:
            return self._open(self._vocabulary.open_ids)
        if self.may_open and choice.token in self._vocabulary.bracket_ids:
            return self._open([choice.token])
        return self._write_plain(choice.token)

    def answer(self, outcome: Outcome) -> Step:
        """How the text goes on: with the tool's result if there is one, else without the call."""
        call, self.asked = self.asked, None
        if call is None:
            raise RuntimeError("no call is waiting for an answer")
        self._calls_left -= 1
        if outcome.result is None:
            return self._take_back(outcome.status, call.tool, call.call_input, outcome)
        plain = self._decoded().partition(_BRACKET)[0].removesuffix(" ")
        wanted = plain + render_call(call.tool, call.call_input, outcome.result)
        num_good = self._num_good(wanted)
        missing = wanted[len(self._vocabulary.decode(self._call_ids[:num_good])) :]
        ids = [*self._call_ids[:num_good], *self._vocabulary.encode(missing)]
        if self._num_standing + len(ids) >= self._room:
            return self._take_back("no_room", call.tool, call.call_input, outcome)
        self._num_standing += len(ids)
        self.transcript.add_call(plain, call_pieces(call.tool, call.call_input, outcome.result))
        self._record("ok", call.tool, call.call_input, outcome)
        num_read = min(num_good, self._num_written)
        return self._close(Write(ids[num_read:], take_back=self._num_written - num_read))

    def finished(self) -> Completion:
        """The text, once it has ended."""
        if self.finish_reason is None:
            raise RuntimeError("the text has not ended")
        pieces = self.transcript.pieces
        return Completion(
            text=join(pieces),
            plain_text=join(pieces, only_plain=True),
            calls=tuple(self.calls),
            finish_reason=self.finish_reason,
            num_prompt_tokens=self._num_prompt_tokens,
            num_new_tokens=self._num_standing,
            num_plain_tokens=self._num_plain,
        )

    def _write_plain(self, token: int) -> Step:
        self._is_barred_here = False
        if token in self._vocabulary.stop_ids:
            return self._end("stop")
        self._num_standing += 1
        self._num_plain += 1
        if self.transcript.add(token):
            return self._end("stop", [token])
        if self._num_plain == self._options.max_new_tokens or self._num_standing == self._room:
            return self._end("length", [token])
        return Write([token])

    def _end(self, reason: FinishReason, last_ids: Sequence[int] = ()) -> Step:
        self.finish_reason, self.last_ids = reason, list(last_ids)
        self.transcript.finish()
        return End()

    def _open(self, ids: Sequence[int]) -> Step:
        self._call_ids = list(ids)
        if self._num_standing + len(ids) >= self._room:
            return self._false_start("unfinished")
        self._num_written = len(ids)
        return Write(ids)

    def _go_on_with_call(self, token: int) -> Step:
        if token in self._vocabulary.stop_ids:
            return self._false_start("unfinished")
        self._call_ids.append(token)
        call = parse_call(self._decoded().partition(_BRACKET)[2])
        if call.state == "malformed":
            return self._false_start("malformed")
        if call.tool is not None and call.tool in self._options.barred:
            return self._false_start("barred_tool", call.tool)
        if call.tool is not None and call.tool not in self._tool_names:
            return self._false_start("unknown_tool", call.tool)
        if call.tool is not None and call.call_input is not None:
            self.asked = Call(call.tool, call.call_input, self._options.today)
            return Wait()
        is_long = len(self._call_ids) > self._options.max_call_tokens
        if is_long or self._num_standing + len(self._call_ids) >= self._room:
            return self._false_start("unfinished", call.tool)
        self._num_written += 1
        return Write([token])

    def _false_start(self, status: str, tool: str | None = None) -> Step:
        self._starts_left -= 1
        return self._take_back(status, tool)

    def _take_back(
        self, status: str, tool: str | None, call_input: str | None = None, outcome: Outcome | None = None
    ) -> Step:
        """Take back the whole call; the next token is chosen where its first one stood."""
        self._record(status, tool, call_input, outcome)
        return self._close(Write([], take_back=self._num_written))

    def _close(self, step: Step) -> Step:
        """End a call. None starts directly after another, as in C*, or where one came to nothing."""
        self._is_barred_here = True
        self._call_ids, self._num_written = [], 0
        return step

    def _record(self, status: str, tool: str | None, call_input: str | None, outcome: Outcome | None) -> None:
        self.calls.append(
            ToolCall(
                tool=tool,
                call_input=call_input,
                status=status,
                result=outcome.result if outcome and status == "ok" else None,
                char_offset=self.transcript.num_plain_chars,
                written=self._decoded().lstrip(),
                seconds=outcome.seconds if outcome else 0.0,
                note=outcome.note if outcome else None,
            )
        )

    def _decoded(self) -> str:
        return self._vocabulary.decode(self._call_ids)

    def _num_good(self, wanted: str) -> int:
        """How many tokens of the call can stay, because their text is the beginning of the wanted one."""
        sizes = range(len(self._call_ids), 0, -1)
        return next((n for n in sizes if wanted.startswith(self._vocabulary.decode(self._call_ids[:n]))), 0)
