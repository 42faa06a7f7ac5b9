"""The commands that look at a run or ahead of one; options and help as in `jobs.cli.commands`."""

from typing import Annotated, Any

from cyclopts import Parameter

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose import ProposeOptions
from toolformer_ray.filter.screening.screen import ScreenOptions
from toolformer_ray.jobs.cli.tool_options import read_tool_options
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.options import Asking
from toolformer_ray.workflow.estimate.estimate import EstimateOptions
from toolformer_ray.workflow.options import DEFAULT_TOOLS, AnnotateOptions, ModelOptions, parse_tools
from toolformer_ray.workflow.workers import WorkerOptions


def estimate(
    *,
    ingest: IngestOptions,
    model: ModelOptions,
    tools: str = DEFAULT_TOOLS,
    how: EstimateOptions = EstimateOptions(),  # noqa: B008
    propose: ProposeOptions = ProposeOptions(),  # noqa: B008
    screen: ScreenOptions = ScreenOptions(),  # noqa: B008
    asking: Asking = Asking(),  # noqa: B008
    answers: AnswerOptions = AnswerOptions(),  # noqa: B008
    workers: WorkerOptions = WorkerOptions(),  # noqa: B008
    run: str | None = None,
    **tool_options: Any,
) -> int:
    """What annotating a corpus will yield and cost, from a sample of its texts: kept calls per tool, tokens, hours.

    The chosen tools are asked for the sample's calls, also those that cost money.

    Parameters
    ----------
    tools
        The tools to teach, separated by commas.
    run
        Not used: so that the options of annotate can be given as they are.
    """
    from toolformer_ray.workflow.estimate.show import estimate as estimate_corpus

    return estimate_corpus(
        AnnotateOptions(
            run=run or "",
            tools=parse_tools(tools),
            ingest=ingest,
            model=model,
            propose=propose,
            screen=screen,
            **read_tool_options(tool_options, asking, is_taught=True),
            answers=answers,
            workers=workers,
        ),
        how,
    )


def status(
    run: str,
    *,
    watch: Annotated[float | bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """How far a run is: shards per stage, speed, time left, failures, yield per tool and how fast it answers, drops.

    Parameters
    ----------
    run
        The run folder.
    watch
        Show it again until the run ends: `--watch` every 5 seconds, `--watch 60` every 60; Ctrl-C ends only the watch.
    json
        Print one JSON object, for scripts; with --watch one a line.
    """
    from toolformer_ray.workflow.report.show import StatusOptions, show_status

    return show_status(run, StatusOptions(watch=watch, json=json))
