"""`python -m bench.screen`: what does the screen before the filter cost, spare and lose?

A corpus goes through propose and execute with five tools. Its texts are then joined into long ones, with the calls at
their places, since the screen is for long texts and the miniature proposes in short ones. Every call is scored exactly,
which is what the screen is measured by, and once more for each estimate and margin. Needs the whole installation, and
a small world made by `python -m miniature.demo_corpus` with an index of its passages.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from annotate.execute import execute
from annotate.ingest import IngestOptions, ingest
from annotate.propose import ProposeOptions, propose
from bench.meter import Meter
from bench.models import MINIATURE
from filter.score import ScoreOptions, score
from filter.screen import ScreenOptions
from lm.loading import load_network
from lm.model import LanguageModel
from lm.tokenizer import Places, TextTokenizer
from lm.weighted_loss import LossQuestion, weighted_losses
from records.stages import Document, Executed, Scored
from tools.catalog import find_tools
from tools.pool import ToolPool
from tools.tool import Tool

MARGINS = (0.0, 0.25, 0.5)
DISTANCES = (0, 16, 24, 32, 48)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """One pass of the score stage over all calls."""

    rows: Sequence[Scored]
    tokens: int
    seconds: float

    @property
    def kept(self) -> set[tuple[str, str, int, str]]:
        """The calls kept."""
        return {(row.text_id, row.tool, row.token_index, row.call_input) for row in self.rows if row.is_kept}


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

    def score(self, screen: ScreenOptions, repeats: int) -> Scoring:
        """Score all calls; the seconds are the least of some repetitions."""
        meter, seconds = Meter(self._network.device), []
        with meter.count(self._network, finds_padding=False), meter.stage("score"):
            rows = self._score(screen)
        for _ in range(repeats):
            start = time.perf_counter()
            self._score(screen)
            seconds.append(time.perf_counter() - start)
        return Scoring(rows=rows, tokens=meter.tokens["score"], seconds=min(seconds))

    def _score(self, screen: ScreenOptions) -> list[Scored]:
        return score(self.calls, self.documents, self._model, self._tools, ScoreOptions(screen=screen))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each estimate and margin."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    bench = Bench(options)
    exact = bench.score(ScreenOptions(), options.repeats)
    answered = sum(row.loss_with_result is not None for row in exact.rows)
    print(
        f"{len(bench.documents)} texts of {bench.mean_tokens:.0f} tokens, {answered:,} calls to score, "
        f"{len(exact.kept)} kept by the exact filter"
    )
    print("estimate  margin   recall  scored exactly     tokens  seconds  speed-up")
    print(f"          off     {1:7.1%}  {1:14.1%}  {exact.tokens:>9,}  {exact.seconds:7.2f}  {1:7.1f}x", flush=True)
    for screen in _screens(options):
        found = bench.score(screen, options.repeats)
        recall = len(found.kept & exact.kept) / max(1, len(exact.kept))
        share = sum(row.screening == "passed" for row in found.rows) / max(1, answered)
        name = f"near {screen.screen_distance}" if screen.screen_by == "near" else screen.screen_by
        print(
            f"{name:8}  {screen.screen_margin:6.2f}  {recall:7.1%}  {share:14.1%}  {found.tokens:>9,}  "
            f"{found.seconds:7.2f}  {exact.seconds / found.seconds:7.1f}x",
            flush=True,
        )
    return 0


def _screens(options: argparse.Namespace) -> Iterator[ScreenOptions]:
    """Without control slices, which would hide what is lost."""
    for margin in options.margins:
        yield ScreenOptions(screen_by="overlap", screen_margin=margin, screen_control=0.0)
    for distance, margin in itertools.product(options.distances, options.margins):
        yield ScreenOptions(screen_by="near", screen_margin=margin, screen_distance=distance, screen_control=0.0)


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
    parser = argparse.ArgumentParser(prog="python -m bench.screen", description=main.__doc__)
    parser.add_argument("--world", default="runs/demo-world", help="folder with a corpus and what the tools know")
    parser.add_argument("--texts", type=int, help="so many texts of the corpus; by default all")
    parser.add_argument("--join", type=int, default=8, help="so many texts become one before scoring")
    parser.add_argument("--model", default=str(MINIATURE), help="model folder")
    parser.add_argument("--margins", type=float, nargs="+", default=MARGINS, help="nats")
    parser.add_argument("--distances", type=int, nargs="*", default=DISTANCES, help="tokens")
    parser.add_argument("--repeats", type=int, default=1, help="the least of so many times is shown")
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
    tools = {key: find_tools()[key](find_tools()[key].Options(**known)) for key, known in data.items()}
    for tool in tools.values():
        tool.open()
    return tools


if __name__ == "__main__":
    sys.exit(main())
