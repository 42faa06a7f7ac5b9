"""`python -m jobs.finetune_model`: the same as `toolformer finetune`, for `ray job submit`."""

from toolformer_ray.jobs.cli.main import run_as_job

if __name__ == "__main__":
    run_as_job("finetune")
