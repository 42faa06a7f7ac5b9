"""`python -m jobs.serve_model`: the same as `toolformer serve`, for `ray job submit`."""

import sys

from toolformer_ray.jobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
