"""`python -m jobs.annotate_corpus`: what one gives to `ray job submit`. The same as `toolformer annotate`."""

import os
import sys

from jobs.command_line import main


def leave(exit_code: int) -> None:
    """End the process; at once if it was told to stop.

    `ray job stop` kills what has not ended within three seconds, and tearing torch down may take longer on its own.
    """
    if exit_code > 128:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    leave(main(["annotate", *sys.argv[1:]]))
