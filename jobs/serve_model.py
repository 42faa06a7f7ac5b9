"""`python -m jobs.serve_model`: the same as `toolformer serve`, for `ray job submit`."""

from toolformer_ray.jobs.cli.main import run_as_job

if __name__ == "__main__":
    run_as_job("serve")
