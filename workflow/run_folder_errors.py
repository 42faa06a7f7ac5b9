"""What an operating system's refusal of the run folder means for the user."""

import contextlib
import errno
from collections.abc import Iterator

from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RunFolder

# A full or read-only disk fails every shard alike: no retry helps, and the user has to act.
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make it writable"),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "move away what stands there"),
}


@contextlib.contextmanager
def blaming_run_folder(run: RunFolder) -> Iterator[None]:
    """For a block that touches nothing but the run folder: an OSError there becomes an OptionError of `run`."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "see to it")
        refusal = f"it cannot be used ({without_keys(one_line(error))})"
        raise OptionError("run", run.shown, f"{refusal}; {remedy} or give another folder") from error
