"""`python -m toolformer_ray.bench.budgets`: are the rows the same at every token budget, and how many stand on the
edge?

Stories of the miniature's world go through propose, execute and score with the calculator, once for each budget, from
batches of one text to one batch of everything. Rows must be equal; numbers may differ by 1e-4. Needs the whole
installation.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace

from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.propose import ProposeOptions, propose
from toolformer_ray.bench.documents import stories
from toolformer_ray.bench.models import MINIATURE
from toolformer_ray.filter.score import ScoreOptions, score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.records.shard_header import LUCK
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.asking.pool import ToolPool
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.catalog import make_tool
from toolformer_ray.tools.options import Teaching

BUDGETS = (1, 512, 2048, 8192, 32768, 131072)
TOLERANCE = 1e-4
EDGE = 1e-3
"""Nats from tau_f within which a verdict stands on the edge."""
_MEASURED = ("open_probability", "loss_without", "loss_with_call", "loss_with_result", "loss_reduction")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each budget; the exit code is 1 if a row differs."""
    parser = argparse.ArgumentParser(prog="python -m toolformer_ray.bench.budgets", description=main.__doc__)
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="tokens in a batch")
    parser.add_argument("--model", default=str(MINIATURE), help="model folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options = parser.parse_args(arguments)
    teaching = replace(Calculator.teaching, max_places=5, num_samples=5)
    first: list[Scored] | None = None
    num_wrong = 0
    for budget in options.budgets:
        model = LanguageModel.load(options.model, device=options.device, dtype=options.dtype, token_budget=budget)
        rows = annotate(stories(options.texts), model, teaching)
        first = rows if first is None else first
        differ, gap = compare_rows(first, rows)
        num_wrong += differ
        print(f"{budget:>7,} tokens: {len(rows)} calls, {differ} other rows, numbers differ by {gap:.1e} at most")
    on_edge = num_on_edge(first or [], teaching.min_loss_reduction)
    print(f"{on_edge} of {len(first or [])} calls within {EDGE} nats of the threshold")
    return 1 if num_wrong else 0


def annotate(documents: Sequence[Document], model: LanguageModel, teaching: Teaching) -> list[Scored]:
    """The scored calls of all documents, in one go."""
    tool = make_tool("calculator", teaching=teaching)
    tools, pool = {"calculator": tool}, ToolPool({"Calculator": tool})
    candidates, _ = propose(documents, model, tools, ProposeOptions())
    return score(execute(candidates, documents, pool), documents, model, tools, ScoreOptions())


def compare_rows(ours: Sequence[Scored], theirs: Sequence[Scored]) -> tuple[int, float]:
    """How many rows differ in more than the last digits of a number, and the largest difference of a number."""
    differ, gap = abs(len(ours) - len(theirs)), 0.0
    exact = [field.name for field in fields(Scored) if field.name not in (*_MEASURED, *LUCK)]
    for a, b in zip(ours, theirs, strict=False):
        gaps = [_gap(getattr(a, name), getattr(b, name)) for name in _MEASURED]
        differ += any(getattr(a, name) != getattr(b, name) for name in exact) or max(gaps) > TOLERANCE
        gap = max(gap, *gaps)
    return differ, gap


def num_on_edge(rows: Sequence[Scored], threshold: float) -> int:
    """How many calls have a loss reduction within EDGE of tau_f, or would if L(e(c, epsilon)) did not matter."""
    return sum(abs(bound - threshold) <= EDGE for row in rows if (bound := _largest_reduction(row)) is not None)


def _largest_reduction(row: Scored) -> float | None:
    """L- minus L+, or L(epsilon) - L+ where L(e(c, epsilon)) was not needed."""
    if row.loss_reduction is not None or row.loss_with_result is None:
        return row.loss_reduction
    return row.loss_without - row.loss_with_result


def _gap(a: float | None, b: float | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    return abs(a - b)


if __name__ == "__main__":
    sys.exit(main())
