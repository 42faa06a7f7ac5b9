"""`python -m jobs.evaluate_model`: the same as `toolformer evaluate`, for `ray job submit`."""

import sys

from toolformer_ray.jobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
