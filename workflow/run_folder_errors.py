"""Errors of the operating system in the run folder, as errors that tell the user what to do."""

import contextlib
import errno
from collections.abc import Iterator

from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RunFolder

# A full or read-only disk fails every shard, so no retry helps: the user has to act.
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make it writable"),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "move away what is there"),
}


@contextlib.contextmanager
def blaming_run_folder(run: RunFolder) -> Iterator[None]:
    """Turns an OSError into an OptionError of `run`, in a block that uses no files but those of the run folder."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "see to it")
        refusal = f"it cannot be used ({without_keys(one_line(error))})"
        raise OptionError("run", run.shown, f"{refusal}; {remedy} or give another folder") from error
