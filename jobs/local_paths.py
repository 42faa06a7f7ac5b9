"""What `finetune` and `export` refuse of their paths: they write to disks, which have to outlive them."""

from collections.abc import Sequence
from pathlib import Path

from jobs.submitted import is_submitted


def refuse_lost_output(out: str, runs: Sequence[str]) -> None:
    """Raise ValueError if `out` would not stay, or if a run of a submitted job is not where it works."""
    if "://" in out:
        raise ValueError(f"out is {out}; it can only be on a disk: give a path there, and copy the result from it")
    if not is_submitted():
        return
    if not Path(out).is_absolute():
        raise ValueError(
            f"out is {out}; it is a relative path, and a submitted job works in a temporary folder that Ray deletes: "
            "give an absolute path that all machines share"
        )
    for run in runs:
        if not ("://" in run or Path(run).exists()):
            raise ValueError(
                f"run is {run}; it is not among what --working-dir sent to the cluster: give a path or URI that all "
                "machines share"
            )
