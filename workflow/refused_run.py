"""What a run that is refused leaves behind: nothing, if it had not begun."""

import contextlib
from collections.abc import Iterator

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.workflow.corpus import INGEST_FILE
from toolformer_ray.workflow.report.progress import PROGRESS_FILE


@contextlib.contextmanager
def leaving_nothing_if_refused(run: RunFolder) -> Iterator[None]:
    """If the block is refused, a run folder that it has made goes again, unless there is a shard in it by then."""
    is_new = not run.is_there()
    try:
        yield
    except UnusableError:
        # Of a folder that cannot be made or written to, the refusal tells already.
        with contextlib.suppress(OSError):
            if is_new and not run.shards(Document.table):
                run.remove((RUN_FILE, INGEST_FILE, PROGRESS_FILE))
        raise
