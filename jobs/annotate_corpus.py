"""`python -m jobs.annotate_corpus`: what one gives to `ray job submit`. The same as `toolformer annotate`."""

import sys

from jobs.command_line import main

if __name__ == "__main__":
    sys.exit(main(["annotate", *sys.argv[1:]]))
