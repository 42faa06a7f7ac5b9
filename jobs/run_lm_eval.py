"""`python -m jobs.run_lm_eval`: lm-evaluation-harness with a model that calls tools."""

import sys

from toolformer_ray.jobs.cli.lm_eval import main

if __name__ == "__main__":
    sys.exit(main())
