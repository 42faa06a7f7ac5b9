"""`python -m toolformer_ray.bench.screen`: what does the screen before the filter cost, spare and lose?

A corpus goes through propose and execute with five tools. Its texts are then joined into long ones, with the calls at
their places, since the screen is for long texts and the miniature proposes in short ones. Every call is scored exactly,
which is what the screen is measured by, and once more for each distance and margin. Needs the whole installation, and
a small world made by `python -m toolformer_ray.miniature.demo_corpus` with an index of its passages.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.ingest import IngestOptions, ingest
from toolformer_ray.annotate.propose import ProposeOptions, propose
from toolformer_ray.bench.meter import Meter
from toolformer_ray.bench.models import MINIATURE
from toolformer_ray.filter.score import ScoreOptions, score
from toolformer_ray.filter.screening.screen import ScreenOptions
from toolformer_ray.lm.loading import load_network
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import Places, TextTokenizer
from toolformer_ray.losses.question import LossQuestion, weighted_losses
from toolformer_ray.records.stages import Document, Executed, Scored
from toolformer_ray.tools.asking.pool import ToolPool
from toolformer_ray.tools.catalog import find_tools, make_tool
from toolformer_ray.tools.tool import Tool

MARGINS = (0.0, 0.25)
DISTANCES = (16, 24, 32)

Key = tuple[str, str, int, str]
"""Of a call: text, tool, place, input."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """One pass of the score stage over all calls."""

    rows: Sequence[Scored]
    tokens: int
    """That went through the model."""

    @property
    def kept(self) -> set[Key]:
        """The calls kept."""
        return {_key(row) for row in self.rows if row.is_kept}

    @property
    def passed(self) -> set[Key]:
        """The calls that passed the screen."""
        return {_key(row) for row in self.rows if row.screening == "passed"}


class Bench:
    """A model, tools, and calls that wait for their verdict."""

    def __init__(self, options: argparse.Namespace) -> None:
        world = Path(options.world)
        tokenizer = TextTokenizer.load(options.model)
        self._network = load_network(options.model, device=options.device, dtype=options.dtype)
        self._model = LanguageModel(self._network, tokenizer, token_budget=options.token_budget)
        self._tools = _open_tools(world)
        documents = list(_documents(world, tokenizer, self._model.window, options.texts))
        candidates, _ = propose(documents, self._model, self._tools, ProposeOptions())
        pool = ToolPool({tool.name: tool for tool in self._tools.values()})
        calls = execute(candidates, documents, pool)
        self.documents, self.calls = join_texts(documents, calls, options.join, self._model)

    @property
    def mean_tokens(self) -> float:
        """Of a text."""
        lengths = [len(self._model.tokenizer.encode(document.text)) for document in self.documents]
        return sum(lengths) / max(1, len(lengths))

    def count(self, screen: ScreenOptions) -> Counted:
        """Score all calls, and count the tokens that it takes."""
        meter = Meter(self._network.device)
        with meter.count(self._network, finds_padding=False), meter.stage("score"):
            rows = self._score(screen)
        return Counted(rows=rows, tokens=meter.tokens["score"])

    def time(self, screen: ScreenOptions) -> float:
        """Score all calls; seconds."""
        start = time.perf_counter()
        self._score(screen)
        return time.perf_counter() - start

    def _score(self, screen: ScreenOptions) -> list[Scored]:
        return score(self.calls, self.documents, self._model, self._tools, ScoreOptions(screen=screen))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each distance and margin. The control slice is part of what is timed, not of what is found."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    bench = Bench(options)
    every = bench.count(ScreenOptions())
    answered = sum(row.loss_with_result is not None for row in every.rows)
    print(
        f"{len(bench.documents)} texts of {bench.mean_tokens:.0f} tokens, {answered:,} calls to score, "
        f"{len(every.kept)} kept by the exact filter, in {every.tokens:,} tokens"
    )
    print("distance  margin          recall  passed     tokens  speed-up", flush=True)
    for distance, margin in itertools.product(options.distances, options.margins):
        screen = ScreenOptions(screen_margin=margin, screen_distance=distance)
        found = bench.count(screen)
        recall = f"{len(found.passed & every.kept)} of {len(every.kept)}"
        share = sum(row.screening == "passed" for row in found.rows) / max(1, answered)
        # In turns, since the machine's speed drifts.
        ratios = [bench.time(ScreenOptions()) / bench.time(screen) for _ in range(options.repeats)]
        speed = f"{statistics.median(ratios):.1f}x"
        print(f"{distance:8}  {margin:6.2f}  {recall:>14}  {share:6.1%}  {found.tokens:>9,}  {speed:>8}", flush=True)
    return 0


def _key(row: Scored) -> Key:
    return row.text_id, row.tool, row.token_index, row.call_input


def join_texts(
    documents: Sequence[Document], calls: Sequence[Executed], number: int, model: LanguageModel
) -> tuple[list[Document], list[Executed]]:
    """So many texts at a time joined into one, and the calls at their places there, with the loss without them."""
    joined: list[Document] = []
    moved: list[Executed] = []
    questions: list[LossQuestion] = []
    for first in range(0, len(documents), number):
        parts = documents[first : first + number]
        whole = replace(parts[0], text=" ".join(part.text for part in parts))
        places = model.tokenizer.places(whole.text)
        found = list(_move_calls(parts, calls, whole.text_id, places))
        joined.append(whole)
        moved += found
        about: dict[str, Any] = {
            "text_id": whole.text_id,
            "text_ids": places.ids,
            "prefix_ids": model.tokenizer.bos_ids,
        }
        questions += [LossQuestion(**about, token_index=call.token_index) for call in found]
    losses = weighted_losses(model, questions)
    return joined, [replace(call, loss_without=loss) for call, loss in zip(moved, losses, strict=True)]


def _move_calls(
    parts: Sequence[Document], calls: Sequence[Executed], text_id: str, places: Places
) -> Iterator[Executed]:
    """The calls of some texts at their places in all of them, but for those that then stand inside a token."""
    token_at = {offset: token for token, offset in enumerate(places.char_offsets) if places.is_place[token]}
    shifts = itertools.accumulate((len(part.text) + 1 for part in parts), initial=0)
    shift_of = {part.text_id: shift for part, shift in zip(parts, shifts, strict=False)}
    for call in calls:
        offset = call.char_offset + shift_of.get(call.text_id, 0)
        if call.text_id in shift_of and offset in token_at:
            yield replace(call, text_id=text_id, char_offset=offset, token_index=token_at[offset])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolformer_ray.bench.screen", description=main.__doc__)
    parser.add_argument("--world", default="runs/demo-world", help="folder with a corpus and what the tools know")
    parser.add_argument("--texts", type=int, help="so many texts of the corpus; by default all")
    parser.add_argument("--join", type=int, default=8, help="so many texts become one before scoring")
    parser.add_argument("--model", default=str(MINIATURE), help="model folder")
    parser.add_argument("--margins", type=float, nargs="+", default=MARGINS, help="nats")
    parser.add_argument("--distances", type=int, nargs="+", default=DISTANCES, help="tokens")
    parser.add_argument("--repeats", type=int, default=1, help="the median of so many turns is shown")
    parser.add_argument("--token-budget", type=int, help="by default what suits the device")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    return parser


def _documents(world: Path, tokenizer: TextTokenizer, window: int, most: int | None) -> Iterator[Document]:
    options = IngestOptions(corpus=(str(world / "corpus.jsonl"),), max_documents=most)
    for documents, _ in ingest(options, tokenizer, window):
        yield from documents


def _open_tools(world: Path) -> dict[str, Tool]:
    """The five tools, knowing what the world knows."""
    data: dict[str, dict[str, Any]] = {
        "calculator": {},
        "calendar": {},
        "search": {"index": str(world / "index")},
        "qa": {"table": str(world / "questions.jsonl")},
        "translation": {"glossary": str(world / "glossary.jsonl")},
    }
    tools = {key: make_tool(key, find_tools()[key].Options(**known)) for key, known in data.items()}
    for tool in tools.values():
        tool.open()
    return tools


if __name__ == "__main__":
    sys.exit(main())
