"""Annotation from Python: `annotate(...)` makes a run, `Run(path)` reads one. docs/python.md shows both.

from toolformer_ray.jobs.python_api import Run, annotate
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cyclopts.exceptions import CycloptsError

from toolformer_ray.jobs.cli.brought_tools import offer_tools
from toolformer_ray.jobs.cli.commands import app
from toolformer_ray.jobs.cli.main import describe_error
from toolformer_ray.jobs.cli.settings_file import SharedOptions, Source, sources_of
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.brought.places import place_of
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.run import Run

__all__ = ["Run", "annotate", "read_options"]


def annotate(
    *,
    run: str | Path,
    corpus: str | Path | Sequence[str | Path] | None = None,
    model: str | Path | None = None,
    config: str | Path | None = None,
    from_run: str | Path | None = None,
    **options: Any,
) -> Run:
    """Annotate a corpus, or go on with the run that is in the folder, and return the run once it has ended.

    `options` are those of `toolformer annotate`, with underscores, such as `max_documents=100`; those of one tool are a
    mapping, such as `calculator={"max_places": 4}`. What is said here counts before `config`, a TOML file, and that
    before `from_run`, a run whose settings are repeated. On Ray's side it is as on the command line: a Ray that this
    process is connected to is used, else one is started and ended.

    Raises ValueError, one line, for what has to be changed; RuntimeError if shards failed, which another call tries
    again; KeyboardInterrupt if Ctrl-C or SIGTERM ended it, after which another call goes on.
    """
    read = read_options(run=run, corpus=corpus, model=model, config=config, from_run=from_run, **options)
    from toolformer_ray.jobs.driver.annotate import annotate as work

    exit_code = _beside_a_loop(lambda: work(read))
    if exit_code == 1:
        raise RuntimeError(f"shards failed, see {run}/failed; the same call tries them once more")
    if exit_code:
        raise KeyboardInterrupt
    return Run(read.run)


def read_options(
    *, config: str | Path | None = None, from_run: str | Path | None = None, **options: Any
) -> AnnotateOptions:
    """The record of options that `annotate` is given with these arguments, read and checked as the command line does.

    Raises ValueError, one line.
    """
    shared = SharedOptions(
        config=None if config is None else str(config), from_run=None if from_run is None else str(from_run)
    )
    sources = [Source(name="annotate()", values=_written(options)), *sources_of(shared)]
    offer_tools([], [source.values for source in sources])
    app.config = tuple(sources)
    try:
        _, bound, _ = app.parse_args(["annotate"], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UnusableError(describe_error(error)) from error
    finally:
        app.config = ()
    read: AnnotateOptions = bound.arguments["options"]
    return read


def _written(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given, with what a settings file could hold."""
    return {name: _plain(value) for name, value in options.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _written(value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if callable(value):
        # A tool itself, which the workers load from the module or file that it comes from.
        return place_of(value)
    return str(value) if isinstance(value, Path) else value


def _beside_a_loop(work: Callable[[], int]) -> int:
    """Do the work in this thread or, in a notebook, whose thread runs a loop already, in another."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
