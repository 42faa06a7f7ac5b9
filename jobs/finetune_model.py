"""`python -m jobs.finetune_model`: the same as `toolformer finetune`, for `ray job submit`."""

import sys

from toolformer_ray.jobs.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["finetune", *sys.argv[1:]]))
