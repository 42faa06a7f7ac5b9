"""`python -m jobs.generate_text`: the same as `toolformer generate`, for `ray job submit`."""

import sys

from toolformer_ray.jobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["generate", *sys.argv[1:]]))
