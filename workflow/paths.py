"""Refuses relative paths in a driver that `ray job submit` has started.

Such a driver works in a temporary folder that Ray unpacked on some node and will delete. Whatever a run writes there is
lost, and the only files there are those that `--working-dir` sent. The user, who typed the paths on another machine,
cannot have meant that folder.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from toolformer_ray.records.errors import OptionError
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.options import AnnotateOptions

# Ray's own record of the job, for `ray.init`: all that tells a driver before it connects that it was submitted.
_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_NOT_SENT = (
    "it is not among what `ray job submit` sent to the cluster from its working directory; give a path or URI that all "
    "machines share"
)


def is_submitted() -> bool:
    """Whether this process is the driver of a job that was submitted."""
    try:
        job = json.loads(os.environ.get(_JOB_VARIABLE, ""))
    except ValueError:
        return False
    return isinstance(job, dict) and "job_submission_id" in (job.get("metadata") or {})


def refuse_lost_paths(options: AnnotateOptions, tools: Mapping[str, Tool]) -> None:
    """Raise OptionError if a submitted job would write to the temporary folder, or read what was not sent there."""
    if not is_submitted():
        return
    for field, path in _written(options):
        if _is_relative(path):
            raise OptionError(
                field,
                path,
                "it is a relative path, and a submitted job works in a temporary folder that Ray deletes; give a path "
                "or URI that all machines share, such as s3://bucket/runs/one",
            )
    for field, path in _read(options, tools):
        # Patterns are left alone: the code that looks for files refuses a pattern without a match.
        if _is_relative(path) and not (set("*?") & set(path) or Path(path).exists()):
            raise OptionError(field, path, _NOT_SENT)


def refuse_lost_output(out: str, runs: Sequence[str]) -> None:
    """Raise OptionError if what is written to `out` would be lost, or if one of the runs was not sent."""
    if "://" in out:
        raise OptionError("out", out, "it can only be on a disk: give a path there, and copy the result from it")
    if not is_submitted():
        return
    if not Path(out).is_absolute():
        raise OptionError(
            "out",
            out,
            "it is a relative path, and a submitted job works in a temporary folder that Ray deletes: give an absolute "
            "path that all machines share",
        )
    for run in runs:
        if not ("://" in run or Path(run).exists()):
            raise OptionError("run", run, _NOT_SENT)


def _written(options: AnnotateOptions) -> Iterator[tuple[str, str]]:
    """(field, path) of everything that the run writes."""
    yield "run", options.run
    for name in ("cache", "record"):
        if folder := getattr(options.tools.answers, name):
            yield name, folder


def _read(options: AnnotateOptions, tools: Mapping[str, Tool]) -> Iterator[tuple[str, str]]:
    """(field, path) of everything that the run reads."""
    yield from (("corpus", location) for location in options.ingest.corpus)
    if options.tools.answers.replay:
        yield "replay", options.tools.answers.replay
    for key, tool in tools.items():
        for option in sorted(tool.locates_data):
            if path := getattr(tool.options, option):
                yield f"{key}.{option}", path


def _is_relative(path: str) -> bool:
    return not (path.startswith(("/", "hf:")) or "://" in path)
