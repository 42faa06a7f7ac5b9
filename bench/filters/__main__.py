"""`python -m toolformer_ray.bench.filters`: the filters on texts whose due calls are known; `--help` has the options.

`score` scores labelled calls through the product's own stage and adds them to a file of JSON Lines, text by text, for
as long as it is given; begun again, it goes on. `show` prints what each rule keeps of them. `cost` compares what the
filters read. What is printed is in docs/results.md.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from toolformer_ray.annotate.execute import with_decoys
from toolformer_ray.bench.filters.labelled import (
    Label,
    at_token,
    label_calls,
    read_questions,
    read_sums,
    write_table,
)
from toolformer_ray.bench.filters.rules import RULES, Row, best, chance_at, keeps
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.losses.options import FilterName, FilterOptions
from toolformer_ray.losses.question import question_without_call, weighted_losses
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.qa import QuestionAnswering, QuestionAnsweringOptions
from toolformer_ray.tools.tool import Tool

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the first word says; the exit code."""
    options = _parser().parse_args(arguments)
    options.run(options)
    return 0


def _score(options: argparse.Namespace) -> None:
    model, out, deadline = LanguageModel.load(options.model), Path(options.out), time.monotonic() + options.seconds
    done = {row["text_id"] for row in _read(out)} if out.exists() else set()
    with tempfile.TemporaryDirectory() as scratch, out.open("a", encoding="utf-8") as file:
        tool, labelled = _labelled(options, Path(scratch))
        for text_id, group in groupby(labelled, key=lambda one: one[1].text_id):
            if time.monotonic() > deadline:
                return
            if text_id not in done:
                file.writelines(json.dumps(row) + "\n" for row in _score_text(model, tool, list(group), options))
                file.flush()


def _score_text(
    model: LanguageModel, tool: Tool, group: Sequence[tuple[Label, Document, Executed]], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The calls of one text, with all losses: nothing is pruned."""
    document = group[0][1]
    calls = _prepare(model, tool, document, [call for _, _, call in group], options.num_decoys)
    rows = score(
        calls, [document], model, {tool.name: tool}, options=_filter(options, options.filter), prune_below=-math.inf
    )
    for (label, _, _), row in zip(group, rows, strict=True):
        yield {"label": label, **vars(row)}


def _prepare(
    model: LanguageModel, tool: Tool, document: Document, calls: Sequence[Executed], num_decoys: int
) -> list[Executed]:
    """The calls at their tokens, with L_i(epsilon) and decoys, as the stages before hand them on."""
    places = model.tokenizer.places(document.text)
    placed = [at_token(call, document.text, places.char_offsets) for call in calls]
    questions = [
        question_without_call(model.tokenizer, document.text_id, places.ids, call.token_index) for call in placed
    ]
    losses = weighted_losses(model, questions)
    with_losses = [replace(call, loss_without=loss) for call, loss in zip(placed, losses, strict=True)]
    return [with_decoys(call, {tool.name: tool}, num_decoys) for call in with_losses]


def _labelled(options: argparse.Namespace, scratch: Path) -> tuple[Tool, Iterator[tuple[Label, Document, Executed]]]:
    if not options.relation:
        texts = read_sums(Path(options.data), options.first, options.rows)
        return Calculator(), label_calls(texts, Calculator.name)
    table = scratch / "questions.jsonl"
    write_table(Path(options.data), options.relation, table)
    tool = QuestionAnswering(QuestionAnsweringOptions(table=str(table)))
    tool.open()
    texts = read_questions(Path(options.data), options.relation, options.first, options.rows)
    return tool, label_calls(texts, tool.name)


def _show(options: argparse.Namespace) -> None:
    rows = [row for path in options.files for row in _read(Path(path)) if row["losses_of_decoys"]]
    labels = [row["label"] for row in rows]
    print(
        {label: labels.count(label) for label in ("right", "wrong", "stray")},
        len({r["text_id"] for r in rows}),
        "texts",
    )
    for name, value in RULES.items():
        if all(row["loss_reduction"] is not None for row in rows) or "paper" not in name:
            told = [keeps(value, rows, threshold) for threshold in THRESHOLDS]
            kept = "  ".join(f"{one.threshold:g}: {one.right},{one.wrong},{one.stray}" for one in told)
            most = best(value, rows)
            print(f"{name}\n  {kept}\n  best: {most.right},{most.wrong},{most.stray} at {most.threshold:.3f}")
    for threshold in THRESHOLDS:
        truth = keeps(RULES["mean decoy, in place, where L(eps) reaches it"], rows, threshold)
        kept_all = truth.right + truth.wrong + truth.stray
        estimated = chance_at(rows, threshold).false_share
        shown = "unknown" if estimated is None else f"{estimated:.1%}"
        true_share = (truth.wrong + truth.stray) / max(1, kept_all)
        print(f"false share at {threshold:g}: estimated {shown}, true {true_share:.1%} of {kept_all}")


def _cost(options: argparse.Namespace) -> None:
    """Tokens and seconds of the stage for the right and wrong calls of texts of about so many tokens."""
    model, tool = LanguageModel.load(options.model), Calculator()
    labelled = label_calls(read_sums(Path(options.data), options.first, options.rows), tool.name)
    group = [one for one in labelled if one[0] != "stray"]
    text, calls = "", []
    for _, of_text in groupby(group, key=lambda one: one[1].text_id):
        members = list(of_text)
        calls += [replace(call, text_id="joined", char_offset=len(text) + call.char_offset) for _, _, call in members]
        text += members[0][1].text + "\n\n"
        if len(model.tokenizer.encode(text)) >= options.tokens:
            break
    document = replace(group[0][1], text_id="joined", text=text)
    placed = _prepare(model, tool, document, calls, options.num_decoys)
    names: tuple[FilterName, ...] = ("paper", "decoys")
    for name in names:
        before, started = model.num_tokens_read, time.monotonic()
        score(placed, [document], model, {tool.name: tool}, options=_filter(options, name))
        tokens, seconds = model.num_tokens_read - before, time.monotonic() - started
        print(
            f"{name}: {len(placed)} calls in {len(model.tokenizer.encode(text))} tokens: "
            f"{tokens:,} tokens, {seconds:.1f} s"
        )


def _filter(options: argparse.Namespace, name: FilterName) -> FilterOptions:
    return FilterOptions(filter=name, num_decoys=options.num_decoys, call_distance=options.call_distance)


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolformer_ray.bench.filters", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    for name, run in (("score", _score), ("cost", _cost)):
        verb = verbs.add_parser(name)
        verb.set_defaults(run=run)
        verb.add_argument("--model", required=True, help="a model's folder")
        verb.add_argument("--data", required=True, help="the folder of gsm8k_train or, with --relation, of T-REx")
        verb.add_argument("--first", type=int, default=0, help="the first row that is read")
        verb.add_argument("--rows", type=int, default=20, help="how many rows are read")
        verb.add_argument("--num-decoys", type=int, default=3)
        verb.add_argument("--call-distance", type=int, default=0)
    verbs.choices["score"].add_argument("--relation", choices=("P19", "P20", "P27", "P127", "P176", "P178", "P495"))
    verbs.choices["score"].add_argument("--filter", choices=("decoys", "both"), default="both")
    verbs.choices["score"].add_argument("--out", required=True, help="the file of JSON Lines that is added to")
    verbs.choices["score"].add_argument("--seconds", type=float, default=math.inf, help="no text begins after so long")
    verbs.choices["cost"].add_argument("--tokens", type=int, default=150, help="of the text, at least")
    show = verbs.add_parser("show")
    show.set_defaults(run=_show)
    show.add_argument("files", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main())
