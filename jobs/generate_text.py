"""`python -m jobs.generate_text`: the same as `toolformer generate`, for `ray job submit`."""

from toolformer_ray.jobs.cli.main import run_as_job

if __name__ == "__main__":
    run_as_job("generate")
