"""`python -m toolformer_ray.bench.decoding`: what decoding with tools costs, in three figures for docs/results.md.

1. Whether greedy texts of a batch of 64 equal those of batches of 1.
2. Tokens per second at batch 64 with tools that take 500 ms, against tools that answer at once.
3. Tokens per second against a loop that writes one text at a time (`one_at_a_time`), both with instant tools.

Each speed is measured a few times, in turns; a ratio is the median over the turns. Prompts are stories of the
miniature's world up to where a sum is due. As in the paper, a call starts where its marker is among the ten likeliest
tokens, once per text. Tokens that the decoder takes back do not count for it; the loop's all count.
"""

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from toolformer_ray.bench.decoding.one_at_a_time import OneAtATime
from toolformer_ray.bench.models import MINIATURE, twin
from toolformer_ray.bench.peak import num_cores
from toolformer_ray.decode.completion import Completion
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.lm.files import load_network
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.miniature.texts import tell_story
from toolformer_ray.miniature.world import World
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.tool import BadInput, CallContext

BATCH_SIZE = 64
TOP_K = 10


class SlowCalculator(Calculator):
    """A calculator that takes so many seconds for a call, and any number of calls at a time."""

    one_at_a_time = False
    asking = Asking(max_in_flight=8 * BATCH_SIZE)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def run(self, call_input: str, context: CallContext) -> str:
        """The value, after the seconds."""
        time.sleep(self._seconds)
        return super().run(call_input, context)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Texts, and how long it took to write them."""

    answers: Sequence[Completion]
    seconds: float

    @property
    def speed(self) -> float:
        """Tokens per second that stand in the texts."""
        return sum(answer.num_new_tokens for answer in self.answers) / self.seconds


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One measurement of all three speeds."""

    instant: Run
    slow: Run
    alone: float
    """Tokens per second of the loop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if all three aims are met."""
    parser = argparse.ArgumentParser(prog="python -m toolformer_ray.bench.decoding", description=main.__doc__)
    parser.add_argument("--texts", type=int, default=512, help="texts with slow and with instant tools")
    parser.add_argument("--texts-alone", type=int, default=32, help="texts of the loop")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each text")
    parser.add_argument("--threads", type=int, default=num_cores(), help="of torch, the same for all")
    parser.add_argument("--turns", type=int, default=3, help="how often each speed is measured")
    parser.add_argument("--model", default=str(MINIATURE), help="model folder")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    options = DecodeOptions(max_new_tokens=given.tokens, call_top_k=TOP_K, max_call_tokens=24)
    network = load_network(given.model, device="cpu", dtype="float32")
    tokenizer = TextTokenizer.load(given.model)
    # The loop's model first: the engine changes how its own attends.
    loop = OneAtATime(twin(network), tokenizer, _calculate, top_k=TOP_K)
    model, prompts = LanguageModel(network, tokenizer), story_beginnings(given.texts)
    write(model, prompts[:BATCH_SIZE], options)  # warm
    num_equal = _count_equal(model, prompts[:BATCH_SIZE], options)
    turns = [
        Turn(
            instant=write(model, prompts, options),
            slow=write(model, prompts, options, seconds=0.5),
            alone=_loop_speed(loop, prompts[: given.texts_alone], given.tokens),
        )
        for _ in range(given.turns)
    ]
    return _report(num_equal, turns)


def story_beginnings(number: int) -> list[str]:
    """Stories up to where their first sum is due."""
    world = World(0, num_countries=50, num_landmarks=50)
    stories = (tell_story(random.Random(f"decoding {n}"), world, ("Calculator",)) for n in range(10 * number))
    return [story.text[: story.due[0].char_offset] for story in stories if story.due and story.due[0].char_offset][
        :number
    ]


def write(
    model: LanguageModel,
    prompts: Sequence[str],
    options: DecodeOptions,
    *,
    seconds: float = 0.0,
    batch: int = BATCH_SIZE,
) -> Run:
    """All texts, with a calculator that takes so many seconds."""
    decoder = Decoder(model, {"Calculator": SlowCalculator(seconds)}, batch_size=batch)
    started = time.perf_counter()
    answers = decoder.write(prompts, options)
    return Run(answers=answers, seconds=time.perf_counter() - started)


def _count_equal(model: LanguageModel, prompts: Sequence[str], options: DecodeOptions) -> int:
    together, alone = (write(model, prompts, options, batch=size).answers for size in (BATCH_SIZE, 1))
    return sum(a.text == b.text for a, b in zip(together, alone, strict=True))


def _loop_speed(loop: OneAtATime, prompts: Sequence[str], num_tokens: int) -> float:
    started = time.perf_counter()
    written = sum(len(loop.write(prompt, num_tokens)) for prompt in prompts)
    return written / (time.perf_counter() - started)


def _calculate(tool: str, call_input: str) -> str:
    try:
        return SlowCalculator(0.0).run(call_input, CallContext()) if tool == "Calculator" else ""
    except BadInput:
        return ""


def _report(num_equal: int, turns: Sequence[Turn]) -> int:
    instant, slow, alone = (
        statistics.median(speeds)
        for speeds in zip(*((turn.instant.speed, turn.slow.speed, turn.alone) for turn in turns), strict=True)
    )
    hidden = statistics.median(turn.slow.speed / turn.instant.speed for turn in turns)
    faster = statistics.median(turn.instant.speed / turn.alone for turn in turns)
    is_met = num_equal == BATCH_SIZE and hidden >= 0.95 and faster >= 10
    print("| | aim | seen |\n|---|---|---|")
    print(f"| texts of a batch of {BATCH_SIZE} equal to batch 1 | {BATCH_SIZE} | {num_equal} |")
    print(f"| tokens/s with 500 ms tools against instant ones | 95 % | {hidden:.1%} ({slow:,.0f} and {instant:,.0f}) |")
    print(f"| tokens/s against one text at a time with `generate` | 10 x | {faster:.1f} x ({alone:,.0f}) |")
    answers = turns[0].instant.answers
    statuses = Counter(call.status for answer in answers for call in answer.calls)
    print(f"\n{len(answers)} texts; calls: {', '.join(f'{n} {s}' for s, n in statuses.most_common())}; ", end="")
    print(f"{len(turns)} turns, {torch.get_num_threads()} threads")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
