"""How often a sample ranks the tools as all texts do: `python -m toolformer_ray.workflow.scout.agreement --run RUN`.

Of a finished run over a corpus the rows are there, and the rows of a text do not depend on the others. So the league of
all texts and those of many samples can be made of them, each sample being the one that `toolformer scout` draws with
another --seed. With --corpus, files of JSON Lines with the run's texts by `id`, each is taken for a corpus of its own.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cyclopts

from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.workflow.calls.opened import open_for_looking
from toolformer_ray.workflow.estimate.sample import draw_sample
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.scout.league import ToolScore, make_league
from toolformer_ray.workflow.scout.show import league_table


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AgreementOptions:
    """What is compared."""

    run: str
    """A run that has ended."""
    corpus: Annotated[tuple[Path, ...], cyclopts.Parameter(consume_multiple=True)] = ()
    """Files with parts of its texts; by default all texts are one corpus."""
    sample: int = 100
    """Texts of a sample."""
    seeds: int = 20
    """How many samples are drawn of each corpus."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """The texts of a run, and the calls of each tool."""

    documents: Sequence[Document]
    scored: Mapping[str, Sequence[Scored]]
    rules: Mapping[str, KeepRule]

    def league(self, texts: Mapping[str, float], seed: int = 0) -> list[ToolScore]:
        """The league of some of its texts, each of which stands for so many."""
        scored = {tool: [row for row in rows if row.text_id in texts] for tool, rows in self.scored.items()}
        return make_league(texts, scored, self.rules, dict.fromkeys(self.rules, 0.0), seed)


def main(options: AgreementOptions) -> None:
    """Print, for each corpus, the league of all its texts and how often samples agree with it."""
    run = read_run(options.run)
    for name, doc_ids in {str(path): _doc_ids(path) for path in options.corpus}.items() or [("all texts", None)]:
        documents = [row for row in run.documents if doc_ids is None or row.doc_id in doc_ids]
        whole = run.league({row.text_id: 1.0 for row in documents})
        ranks = [_rank_of_sample(run, documents, options.sample, seed) for seed in range(options.seeds)]
        print(f"{name}, {len(documents):,} texts\n{league_table(whole)}\n{_describe(whole, ranks, options.sample)}\n")


def read_run(location: str) -> FinishedRun:
    """All of a run that is through. Raises UnusableError if there is no run."""
    opened = open_for_looking(location)
    through = opened.run.shards("augmented")
    rows = [row for shard in through for row in opened.run.read_shard("scored", shard, Scored)]
    return FinishedRun(
        documents=[row for shard in through for row in opened.run.read_shard("documents", shard, Document)],
        scored={tool: [row for row in rows if row.tool == tool] for tool in opened.rules},
        rules=opened.rules,
    )


def _rank_of_sample(run: FinishedRun, documents: Sequence[Document], size: int, seed: int) -> list[str]:
    sample = draw_sample(iter([(documents, [])]), size, seed)
    return [score.tool for score in run.league(sample.weights, seed)]


def _describe(whole: Sequence[ToolScore], ranks: Sequence[Sequence[str]], size: int) -> str:
    rank = [score.tool for score in whole]
    rows = [
        ["the first", sum(found[:1] == rank[:1] for found in ranks)],
        ["the first two, in any order", sum({*found[:2]} == {*rank[:2]} for found in ranks)],
        ["the first two, in order", sum(found[:2] == rank[:2] for found in ranks)],
        ["all", sum(found == rank for found in ranks)],
    ]
    return text_table([f"as in {len(ranks):,} samples of {size:,} texts", "the same"], rows)


def _doc_ids(path: Path) -> Collection[str]:
    return {json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()}


if __name__ == "__main__":
    app = cyclopts.App(name="python -m toolformer_ray.workflow.scout.agreement", help_format="plaintext")
    app.default(main)
    app()
