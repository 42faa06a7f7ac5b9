"""`toolformer evaluate`, or `python -m jobs.evaluate_model`: the paper's benchmarks, with tools and without."""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.evals.tasks import find_tasks, load_task
from toolformer_ray.jobs.decoding.compare import describe_difference
from toolformer_ray.jobs.decoding.decoder import (
    WRITING,
    DecoderOptions,
    check_recording,
    open_decoder,
    refuse_missing_tools,
)
from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.workflow.report.text_table import text_table

if TYPE_CHECKING:
    from toolformer_ray.decode.decoder import Decoder
    from toolformer_ray.evals.evaluate import Result, Summary
    from toolformer_ray.evals.task import Question, Task

RowT = TypeVar("RowT")
WIKITEXT = "wikitext2"
WIKITEXT_FILE = "wikitext2/test.txt"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Which benchmarks, on which data, and where the results go."""

    tasks: str
    """Keys of the benchmarks, separated by commas, or `all`; `toolformer tasks` lists them. One of your own is named by
    its file, such as ./my_task.py."""
    decoder: DecoderOptions
    data: str = "data/eval"
    """The folder of evaluation data, in which each benchmark looks for its file."""
    path: dict[str, str] = field(default_factory=dict)
    """Other data for a benchmark, such as `--path.svamp FILE`: a file, a folder, or a data set on the Hub, as NAME,
    NAME:SPLIT or NAME:CONFIG:SPLIT; the split is `test` by default."""
    most: int | None = None
    """Questions of each benchmark at most, of WikiText articles, drawn by `--sample-seed`; all by default."""
    sample_seed: int = 0
    """Another seed, other questions."""
    out: str | None = None
    """A Parquet file for every question with its prompt and what was generated; the figures go into a .json beside it,
    with model, versions, settings and hashes of the questions. Both are written anew after each benchmark."""
    decode: Annotated[DecodeOptions, Parameter(name="*", group=WRITING)] = field(default_factory=DecodeOptions)

    def __post_init__(self) -> None:
        if self.most is not None and self.most < 1:
            raise OptionError("most", self.most, "it must be at least 1 question")
        if self.out is not None and not self.out.endswith(".parquet"):
            raise OptionError("out", self.out, "its name must end in .parquet")
        if self.out is not None and "://" in self.out:
            raise OptionError("out", self.out, "it must be a path on this machine, copy the file afterwards")

    @property
    def keys(self) -> list[str]:
        """The keys of the benchmarks that are asked for. Raises OptionError for one that there is not."""
        known = [*self.known_tasks, WIKITEXT]
        # Of all are left out those that have no data of their own and are given none.
        ready = [key for key in known if key == WIKITEXT or key in self.path or self.known_tasks[key].has_data]
        keys = ready if self.tasks == "all" else [self._own_tasks.get(name, (name,))[0] for name in self._named]
        for field_name, key in [*(("tasks", key) for key in keys), *(("path", key) for key in self.path)]:
            if key not in known:
                raise OptionError(
                    field_name, key, f"there is no such benchmark: choose among {', '.join(known)}, or all"
                )
        if not keys:
            raise OptionError("tasks", repr(self.tasks), f"name at least one of {', '.join(known)}")
        return list(dict.fromkeys(keys))

    @property
    def known_tasks(self) -> Mapping[str, "Task"]:
        """By key all benchmarks, the user's own among them. Raises UnusableError for a file without one."""
        return {**find_tasks(), **dict(self._own_tasks.values())}

    @property
    def _named(self) -> list[str]:
        return [name.strip() for name in self.tasks.split(",") if name.strip()]

    @property
    def _own_tasks(self) -> Mapping[str, "tuple[str, Task]"]:
        """Key and task by the place that was given."""
        return {name: load_task(name) for name in self._named if name.endswith(".py")}

    def location(self, key: str, default: str) -> str:
        """Where a benchmark's data lie."""
        return self.path.get(key, default)


def evaluate(options: EvaluateOptions) -> int:
    """Evaluate and print the table; the exit code. Raises ValueError, one line, for what the user has to change."""
    from toolformer_ray.evals.evaluate import summarise
    from toolformer_ray.evals.perplexity import measure_perplexity
    from toolformer_ray.evals.result_files import ResultFiles

    decoder, decode = options.decoder, options.decode
    chosen = {key: options.known_tasks[key] for key in options.keys if key != WIKITEXT}
    questions = {key: _read_questions(options, key, task) for key, task in chosen.items()}
    plain_texts = _read_plain_texts(options) if WIKITEXT in options.keys else []
    if chosen:
        barred_by_all = set.intersection(*(set(task.barred_tools) for task in chosen.values()))
        refuse_missing_tools(decoder, replace(decode, barred=(*decode.barred, *sorted(barred_by_all))))
    files = ResultFiles(Path(options.out)) if options.out else None
    opened = open_decoder(decoder)
    results: list[Result] = []
    figures: dict[str, Any] = {"tasks": []}
    if files:
        figures["made_with"] = _made_with(options, questions, plain_texts)
    for key, task in chosen.items():
        results += _ask(opened, key, task, questions[key], decode)
        figures["tasks"] = [asdict(summary) for summary in summarise(results)]
        if files:
            files.write(results, figures)
    _print(summarise(results), results)
    if plain_texts:
        print(f"{WIKITEXT}, {len(plain_texts):,} texts", file=sys.stderr)
        found = measure_perplexity(opened.model, plain_texts)
        figures[WIKITEXT] = {"per_token": found.per_token, "per_word": found.per_word, "num_tokens": found.num_tokens}
        print(f"{WIKITEXT}: perplexity {found.per_token:.2f} a token, {found.per_word:.2f} a word, calls disabled")
    if files:
        files.write(results, figures)
    check_recording(opened, decoder)
    return 0


def _ask(
    opened: "Decoder", key: str, task: "Task", questions: "list[Question]", decode: DecodeOptions
) -> "Iterator[Result]":
    """The results of one benchmark, with tools and then without; each way's figures are told as soon as it is done."""
    from toolformer_ray.evals.evaluate import evaluate as ask
    from toolformer_ray.evals.evaluate import summarise

    for with_tools in (True, False):
        asked = f"{key}, {len(questions):,} questions, {'with' if with_tools else 'without'} tools"
        print(asked, file=sys.stderr)
        results = list(ask(opened, key, task, questions, decode, with_tools=with_tools))
        [line] = summarise(results)
        told = f"{asked}: {line.share_right:.1%} right, a tool was called on {line.share_with_call:.1%}"
        num_cut = sum(result.is_cut for result in results)
        print(f"{told}; prompts that lost their beginning: {num_cut:,}" if num_cut else told, file=sys.stderr)
        yield from results


def list_tasks() -> int:
    """Print the benchmarks, one a line."""
    rows = [[key, task.describes, ", ".join(task.barred_tools)] for key, task in find_tasks().items()]
    rows.append([WIKITEXT, "WikiText-2: perplexity, calls disabled", ""])
    print(text_table(["task", "what", "barred tools"], rows))
    return 0


def _read_questions(options: EvaluateOptions, key: str, task: "Task") -> "list[Question]":
    """A benchmark's questions, or as many as asked for. Raises ValueError if there is none."""
    location = options.location(key, task.default_location(options.data))
    questions = list(task.read(location))
    if not questions:
        raise OptionError(f"path.{key}", location, f"it holds no question that {key} can ask; give other data")
    return _draw(options, questions)


def _draw(options: EvaluateOptions, rows: Sequence[RowT]) -> list[RowT]:
    """As many of these as asked for, in their order."""
    if options.most is None or len(rows) <= options.most:
        return list(rows)
    drawn = random.Random(options.sample_seed).sample(range(len(rows)), options.most)  # noqa: S311
    return [rows[number] for number in sorted(drawn)]


def _made_with(
    options: EvaluateOptions, questions: "Mapping[str, Sequence[Question]]", plain_texts: Sequence[str]
) -> dict[str, Any]:
    from toolformer_ray.jobs.decoding.made_with import describe_data, made_with

    tasks = options.known_tasks
    locations = {key: options.location(key, tasks[key].default_location(options.data)) for key in questions}
    data = {key: describe_data(locations[key], asked) for key, asked in questions.items()}
    if plain_texts:
        data[WIKITEXT] = {"location": _wikitext(options), "hash": fingerprint(plain_texts)}
    asked = {"most": options.most, "sample-seed": options.sample_seed, "batch-size": options.decoder.batch_size}
    return made_with(options.decoder, asked, [options.decode], data)


def _print(summaries: "Sequence[Summary]", results: "Sequence[Result]") -> None:
    from toolformer_ray.evals.compare import compare_ways

    with_tools, without = ({s.task: s for s in summaries if s.with_tools is way} for way in (True, False))
    added = {each.task: each.paired for each in compare_ways(asdict(result) for result in results)}
    rows = [
        [
            task,
            asked.num_questions,
            *(f"{way.share_right:.1%} ±{100 * way.standard_error:.1f}" for way in (asked, without[task])),
            " in ".join(describe_difference(added[task])),
            f"{asked.share_with_call:.1%}",
        ]
        for task, asked in with_tools.items()
    ]
    if rows:
        header = ["task", "questions", "right with tools", "calls disabled", "tools add, in 95 %", "a tool was called"]
        print(text_table(header, rows))
        print("±: standard error")


def _wikitext(options: EvaluateOptions) -> str:
    return options.location(WIKITEXT, str(Path(options.data) / WIKITEXT_FILE))


def _read_plain_texts(options: EvaluateOptions) -> list[str]:
    """What the perplexity is to be measured on: articles of WikiText, or of JSON Lines the column `text`."""
    from toolformer_ray.evals.perplexity import split_articles
    from toolformer_ray.evals.rows import read_rows
    from toolformer_ray.evals.task import refuse_half_characters

    option = f"path.{WIKITEXT}"
    location = _wikitext(options)
    try:
        if location.endswith(".jsonl"):
            texts = [row["text"] for row in read_rows(location)]
        else:
            texts = list(split_articles(Path(location).read_text(encoding="utf-8")))
        for text in texts:
            refuse_half_characters(text, location)
    except (OSError, UnicodeDecodeError, KeyError, AttributeError) as error:
        raise OptionError(option, location, f"it cannot be read as text ({one_line(error)}); give a file") from error
    if not any(texts):
        raise OptionError(option, location, "it holds no text; give other data")
    return _draw(options, texts)
