"""`python -m jobs.annotate_corpus`: the same as `toolformer annotate`, for `ray job submit`."""

from toolformer_ray.jobs.cli.main import run_as_job

if __name__ == "__main__":
    run_as_job("annotate")
