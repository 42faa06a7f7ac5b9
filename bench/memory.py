"""`python -m toolformer_ray.bench.memory`: does the memory of a process grow with the texts that it annotates?

Two processes annotate 1,000 and 10,000 short texts of the miniature's world, a shard at a time as a worker does,
through propose, execute and score, with the calculator and k = m = 1. Each prints its peak resident memory.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.bench.models import MINIATURE
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.miniature.texts import filler, sum_story
from toolformer_ray.miniature.world import World
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.catalog import make_tool

SHARD_TEXTS = 200
MIB = 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the two, or with `--annotate N` be one of them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m toolformer_ray.bench.memory", description=main.__doc__)
    parser.add_argument("--texts", type=int, nargs=2, default=(1_000, 10_000), help="the two numbers of texts")
    parser.add_argument("--model", default=str(MINIATURE), help="model folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--annotate", type=int, help="annotate that many texts in this process and print its memory")
    options = parser.parse_args(arguments)
    if options.annotate:
        num_calls = annotate(options.annotate, options.model, options.device)
        print(json.dumps({"calls": num_calls, "peak_mib": peak_memory() / MIB}))
        return 0
    peaks = []
    for number in options.texts:
        answer = _in_new_process(number, options)
        peaks.append(answer["peak_mib"])
        print(f"{number:,} texts, {answer['calls']:,.0f} calls: {answer['peak_mib']:,.0f} MiB at most", flush=True)
    print(f"{peaks[1] / peaks[0] - 1:+.1%}")
    return 0


def annotate(num_texts: int, model_folder: str, device: str) -> int:
    """Annotate the texts shard by shard, keeping nothing; returns how many calls were scored."""
    tool = make_tool(Calculator, teaching=replace(Calculator.teaching, max_places=1, num_samples=1))
    tools, executor = {"calculator": tool}, ToolExecutor({tool.name: tool})
    model = LanguageModel.load(model_folder, device=device)
    num_calls = 0
    for start in range(0, num_texts, SHARD_TEXTS):
        documents = [short_document(number) for number in range(start, min(start + SHARD_TEXTS, num_texts))]
        candidates, _ = propose(documents, model, tools, ProposeOptions(max_call_tokens=24))
        num_calls += len(score(execute(candidates, documents, executor), documents, model, tools))
    return num_calls


def short_document(number: int) -> Document:
    """A document of two sentences with a sum in it; it follows from its number."""
    rng, world = random.Random(f"short {number}"), World(0, num_countries=1, num_landmarks=1)
    pieces = [piece if isinstance(piece, str) else f" {piece.text}" for piece in sum_story(rng, world)]
    text = "".join([*pieces, " ", filler(rng, world)])
    return Document(
        text_id=f"{number}-0", doc_id=str(number), part=0, text=text, title=None, url=None, date=None, source="bench"
    )


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _in_new_process(num_texts: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "toolformer_ray.bench.memory", "--annotate", str(num_texts)]
    command += ["--model", options.model, "--device", options.device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  our own command
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    sys.exit(main())
