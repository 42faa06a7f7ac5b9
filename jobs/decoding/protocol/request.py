"""What both endpoints are asked for, checked: prompts, how texts are written, and how the answer is told."""

import datetime
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.request import DecodeRequest, Prompt, Scoring
from toolformer_ray.jobs.decoding.protocol.errors import BadRequest
from toolformer_ray.jobs.decoding.protocol.fields import Fields, shown
from toolformer_ray.records.errors import OptionError, one_line

MOST_SAMPLES = 128
"""`n` at most."""
MOST_TEXTS = 1024
"""Of one request: prompts times `n`."""
MOST_NUMBER = 1_000_000
"""The largest number of tokens or calls that may be asked for; the window ends texts long before."""
MOST_STOPS, MOST_STOP_CHARS = 16, 1000
MOST_LIKELIEST = 20
"""`logprobs` of completions and `top_logprobs` of chat at most."""

COMMON = frozenset(
    {
        *("model", "n", "temperature", "top_p", "stop", "seed", "stream", "stream_options", "logprobs"),
        *("presence_penalty", "frequency_penalty", "logit_bias"),
        *("max_calls", "call_top_k", "max_call_tokens", "barred", "today"),
    }
)
"""Fields of both endpoints."""
REMEDIES: Mapping[str, str] = {
    "tools": "not supported: the server has its own tools and answers their calls itself; leave it out",
    "tool_choice": "not supported: give max_calls, 0 for none, and barred",
    "functions": "not supported: the server has its own tools and answers their calls itself; leave it out",
    "best_of": "not supported; give n",
}


@dataclass(frozen=True, kw_only=True)
class TextsRequest:
    """A checked request for texts, of whichever endpoint."""

    prompts: Sequence[Prompt]
    options: DecodeOptions
    num_samples: int = 1
    """Texts per prompt."""
    scoring: Scoring | None = None
    is_echoed: bool = False
    """Whether a text is told with its prompt before it."""
    is_written: bool = True
    """False: prompts are only told and scored."""
    is_streamed: bool = False
    tells_usage: bool = False
    """Whether a stream ends with the number of tokens."""
    prompt_field: str = "prompt"
    """The field that prompts came from."""

    def each_prompt(self) -> list[Prompt]:
        """The prompt of every choice of the answer, in their order."""
        return [prompt for prompt in self.prompts for _ in range(self.num_samples)]

    def make(self) -> list[DecodeRequest]:
        """One request per choice of the answer, in their order."""
        return [
            DecodeRequest(prompt, self.options, sample=sample, scoring=self.scoring, is_written=self.is_written)
            for prompt in self.prompts
            for sample in range(self.num_samples)
        ]


def check_model(fields: Fields, model: str) -> None:
    """Raise BadRequest for another model than the one that is served; who names none means that one."""
    if (asked := fields.text("model")) not in (None, model):
        message = f"the model {shown(asked)} is not served; there is {model!r}"
        raise BadRequest(message, param="model", status=404, code="model_not_found")


def read_streaming(fields: Fields) -> tuple[bool, bool]:
    """`stream`, and whether the stream ends with the number of tokens. Raises BadRequest."""
    is_streamed, usage = fields.flag("stream"), fields.inner("stream_options")
    if usage is None:
        return is_streamed, False
    usage.refuse_others(frozenset({"include_usage", "include_obfuscation"}), {})
    return is_streamed, usage.flag("include_usage")


def read_samples(fields: Fields, num_prompts: int) -> int:
    """`n`. Raises BadRequest."""
    number = fields.integer("n", 1, least=1, most=MOST_SAMPLES)
    if number * num_prompts > MOST_TEXTS:
        raise BadRequest(f"{num_prompts} prompts with n {number} are too many texts; at most {MOST_TEXTS}", param="n")
    return number


def read_options(
    fields: Fields, *, max_tokens: int, max_calls: int | None = None, more_stops: Sequence[str] = ()
) -> DecodeOptions:
    """How texts are written. `max_calls`: where the request does not say. Raises BadRequest."""
    for name, accepted in (("presence_penalty", (0, 0.0)), ("frequency_penalty", (0, 0.0)), ("logit_bias", ({},))):
        fields.refuse_unless(name, accepted)
    given = {
        name: fields.integer(name, 0, least=least, most=MOST_NUMBER)
        for name, least in (("max_calls", 0), ("call_top_k", 0), ("max_call_tokens", 1))
        if fields.has(name)
    }
    if max_calls is not None:
        given.setdefault("max_calls", max_calls)
    stop = fields.texts("stop", most=MOST_STOPS, most_chars=MOST_STOP_CHARS)
    try:
        return DecodeOptions(
            max_new_tokens=max_tokens,
            temperature=fields.number("temperature", 1.0),
            top_p=fields.number("top_p", 1.0),
            # Without a seed a client wants another text each time.
            seed=fields.integer("seed", secrets.randbits(63), least=-(2**63), most=2**63 - 1),
            stop=(*stop, *more_stops),
            barred=fields.texts("barred", most=1000, most_chars=200),
            today=_read_day(fields),
            **given,
        )
    except OptionError as error:
        raise BadRequest(f"{error.field} is {error.value}; {error.remedy}", param=error.field) from error


def _read_day(fields: Fields) -> datetime.date | None:
    day = fields.text("today")
    try:
        return datetime.date.fromisoformat(day) if day else None
    except ValueError as error:
        said = f"today is {shown(day)} ({one_line(error)[:80]}); give a day as in 2026-11-28"
        raise BadRequest(said.encode("utf-8", "replace").decode(), param="today") from error
