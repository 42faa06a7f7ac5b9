"""`python -m jobs.annotate_corpus`: what one gives to `ray job submit`. The same as `toolformer annotate`."""

import contextlib
import os
import sys

from toolformer_ray.jobs.cli.main import main


def leave(exit_code: int) -> None:
    """End the process at once: all is said and written, and tearing torch down may take seconds.

    `ray job stop` kills what has not ended within three; and a job that is done should not be stopped any more.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    leave(main(["annotate", *sys.argv[1:]]))
