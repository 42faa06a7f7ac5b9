"""The commands of `toolformer`. Their options are the fields of the options records, their help the docstrings there.

A command returns the exit code and raises ValueError, one line, for what the user has to change.
"""

import dataclasses
import functools
import importlib.metadata
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from cyclopts import App, Parameter

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose import ProposeOptions
from toolformer_ray.filter.screening.screen import ScreenOptions
from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.options import ExportOptions, TrainOptions
from toolformer_ray.jobs.cli.decode_commands import evaluate, generate, serve, tasks
from toolformer_ray.jobs.cli.tool_options import read_tool_options, tool_parameters
from toolformer_ray.jobs.cli.watch_commands import estimate, status
from toolformer_ray.jobs.training.finetune import TrainWorkerOptions
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.options import Asking
from toolformer_ray.workflow.options import DEFAULT_TOOLS, AnnotateOptions, ModelOptions, parse_tools
from toolformer_ray.workflow.report.progress import ProgressOptions
from toolformer_ray.workflow.workers import WorkerOptions

app = App(
    name="toolformer",
    help="A language model teaches itself to use tools: annotate a corpus, look at the result.",
    version=lambda: importlib.metadata.version("toolformer-ray"),
)


def annotate(
    *,
    run: str,
    ingest: IngestOptions,
    model: ModelOptions,
    tools: str = DEFAULT_TOOLS,
    propose: ProposeOptions = ProposeOptions(),  # noqa: B008 - frozen
    screen: ScreenOptions = ScreenOptions(),  # noqa: B008
    asking: Asking = Asking(),  # noqa: B008
    answers: AnswerOptions = AnswerOptions(),  # noqa: B008
    workers: WorkerOptions = WorkerOptions(),  # noqa: B008
    progress: ProgressOptions = ProgressOptions(),  # noqa: B008
    change_settings: Annotated[bool, Parameter(negative=())] = False,
    forget_missing_files: Annotated[bool, Parameter(negative=())] = False,
    retry_failed: Annotated[bool, Parameter(negative=())] = False,
    **tool_options: Any,
) -> int:
    """Annotate a corpus with the tool calls that its own model finds useful. Run it again to resume.

    Parameters
    ----------
    run
        The run folder: a local path, or a URI such as s3://bucket/runs/one.
    tools
        The tools to teach, separated by commas.
    change_settings
        Go on with a run folder that was made with other settings: what depends on them is made again, nothing else.
    forget_missing_files
        Go on with a run folder whose corpus has lost files: all that came of them is removed.
    retry_failed
        Ask calls again that had no answer in time or whose tool crashed or could not be reached. Shards that failed
        are always tried again.
    """
    from toolformer_ray.jobs.driver.annotate import annotate as annotate_corpus

    return annotate_corpus(
        AnnotateOptions(
            run=run,
            tools=parse_tools(tools),
            ingest=ingest,
            model=model,
            propose=propose,
            screen=screen,
            **read_tool_options(tool_options, asking, is_taught=True),
            answers=answers,
            workers=workers,
            progress=progress,
            change_settings=change_settings,
            forget_missing_files=forget_missing_files,
            retry_failed=retry_failed,
        )
    )


def finetune(
    *,
    choice: ChooseOptions,
    training: TrainOptions,
    workers: TrainWorkerOptions = TrainWorkerOptions(),  # noqa: B008 - frozen
) -> int:
    """Fine-tune a model on C*, with DeepSpeed on Ray Train. Run it again on the same folder to resume."""
    from toolformer_ray.jobs.training.finetune import finetune as finetune_model

    return finetune_model(choice, training, workers)


def export(*, choice: ChooseOptions, exported: ExportOptions) -> int:
    """Write C* as one file for another trainer: text, token ids, chat messages, ShareGPT turns, preference pairs."""
    from toolformer_ray.finetune.export import export as write
    from toolformer_ray.workflow.paths import refuse_lost_output

    refuse_lost_output(exported.out, choice.run)
    print(f"{write(choice, exported):,} rows in {exported.out}")
    return 0


def query(run: str, sql: str | None = None) -> int:
    """Ask a run's tables in SQL: documents, candidates, executed, scored, augmented, dropped.

    Parameters
    ----------
    run
        The run folder.
    sql
        The question; without one, a prompt.
    """
    from toolformer_ray.workflow.report.query import query_run

    return query_run(run, sql)


def verify(run: str) -> int:
    """Check every file of a run that has ended: its columns, its rows, that every text and call is accounted for.

    Parameters
    ----------
    run
        The run folder.
    """
    from toolformer_ray.workflow.verify.check import verify_run

    return verify_run(run)


def build_index(passages: str, index: str, *, title_column: str = "title", text_column: str = "text") -> int:
    """Make the index that WikiSearch and QA look things up in, from a file of passages.

    Parameters
    ----------
    passages
        File with a title and a text column: .jsonl, .tsv, .csv (plain, .gz or .zst) or .parquet.
    index
        The folder to make; an index that is there is replaced.
    title_column
        The column that holds the titles.
    text_column
        The column that holds the texts.
    """
    from toolformer_ray.tools.backends.passage_index import build_index as build

    num_passages = build(passages, index, title_column=title_column, text_column=text_column)
    print(f"{num_passages:,} passages in {index}")
    return 0


def _flat(command: Callable[..., int], more: Iterable[inspect.Parameter] = ()) -> Callable[..., int]:
    """The command with the fields of its options records as options of their own, and more parameters."""
    plain = {name: p for name, p in inspect.signature(command).parameters.items() if p.kind is not p.VAR_KEYWORD}
    hints = typing.get_type_hints(command, include_extras=True)
    flat = Parameter(name="*", consume_multiple=True, negative=())
    parameters = [
        parameter.replace(
            annotation=Annotated[hints[name], flat] if dataclasses.is_dataclass(hints[name]) else hints[name]
        )
        for name, parameter in plain.items()
    ] + list(more)

    @functools.wraps(command)
    def flattened(*texts: str, **arguments: Any) -> int:
        return command(*texts, **arguments)

    del flattened.__wrapped__
    flattened.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flattened


app.command(_flat(annotate, tool_parameters(is_taught=True)))
app.command(_flat(finetune))
app.command(_flat(export))
app.command(_flat(generate, tool_parameters(is_taught=False)))
app.command(_flat(serve, tool_parameters(is_taught=False)))
app.command(_flat(evaluate, tool_parameters(is_taught=False)))
app.command(tasks)
app.command(_flat(estimate, tool_parameters(is_taught=True)))
app.command(status)
app.command(query)
app.command(verify)
app.command(build_index)
