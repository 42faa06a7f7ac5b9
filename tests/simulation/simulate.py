"""One driver with a simulated model and tools: `python -m tests.simulation.simulate RUN`; again to resume.

Everything but the model and the tools is real: the driver, its lease, Ray, the actors, the run folder.
"""

import argparse
import sys
from pathlib import Path

from tests.simulation.journal import Journal
from tests.simulation.recipe import SimulatedRecipe
from tests.simulation.rows import PROFILES
from tests.simulation.tools import Trouble
from tests.support.stand_in import STAND_IN_PIPELINE
from toolformer_ray.jobs.driver.interrupts import Interrupted, Interrupts
from toolformer_ray.jobs.driver.run_job import Job, run_job
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.workflow.book.lease import LEASE_FILE, hold_run
from toolformer_ray.workflow.corpus import CorpusState
from toolformer_ray.workflow.log import ProgressOptions
from toolformer_ray.workflow.shard.reuse import UNANSWERED
from toolformer_ray.workflow.workers import WorkerOptions


def make_job(run: str, recipe: SimulatedRecipe, workers: WorkerOptions, *, retry_failed: bool = False) -> Job:
    """The job of a simulated run; `run.json` is written, for `status` and `verify`."""
    decides_rows = (recipe.seed, recipe.num_texts, recipe.shard_size)
    fingerprints = {stage.name: fingerprint(stage.name, decides_rows) for stage in STAND_IN_PIPELINE}
    per_tool = {
        stage: {name: fingerprint(stage, name) for name in recipe.tools} for stage in ("propose", "execute", "score")
    }
    folder = RunFolder(run)
    folder.create()
    settings = {"settings": {"tools": list(PROFILES)}, "stage_fingerprints": fingerprints}
    folder.write_json(RUN_FILE, settings | {"tool_fingerprints": per_tool})
    return Job(
        run=folder,
        recipe=recipe,
        pipeline=STAND_IN_PIPELINE,
        stage_fingerprints=fingerprints,
        tool_fingerprints=per_tool,
        corpus=CorpusState(fingerprint=fingerprints["ingest"], files=[], shards={}),
        workers=workers,
        progress=ProgressOptions(),
        tool_names=recipe.tools,
        ask_again=UNANSWERED if retry_failed else (),
    )


def simulate(job: Job, interrupts: Interrupts) -> int:
    """Do what is missing in the run folder; the exit code of `toolformer annotate`.

    Raises ValueError for what the user has to change.
    """
    with hold_run(job.run):
        job.run.remove_leftovers(but_of=LEASE_FILE)
        last = run_job(job, interrupts).last
    print(f"{last.state}: {last.finished_texts:,} of {last.texts:,} texts, {last.failed_shards} failed shards")
    return interrupts.exit_code if last.state == "stopped" else 1 if last.failed_shards else 0


def main() -> int:
    """Run one driver."""
    asked = _parse()
    recipe = SimulatedRecipe(
        num_texts=asked.texts,
        shard_size=-(-asked.texts // asked.shards),
        seed=asked.seed,
        speedup=asked.speedup,
        file_seconds=asked.file_seconds,
        journal=Journal(str(Path(asked.journal).absolute())) if asked.journal else None,
        trouble=Trouble(str(Path(asked.trouble).absolute()), 0.05 / asked.speedup) if asked.trouble else None,
        **{"tools": ()} if asked.no_tools else {},
    )
    workers = WorkerOptions(
        address=asked.address,
        model_workers=asked.model_workers,
        tool_workers=asked.tool_workers,
        threads_per_worker=1,
        retry_delay=asked.retry_delay,
    )
    with Interrupts() as interrupts:
        try:
            return simulate(make_job(asked.run, recipe, workers, retry_failed=asked.retry_failed), interrupts)
        except Interrupted:
            return interrupts.exit_code
        except ValueError as error:
            print(f"simulate: {error}", file=sys.stderr)
            return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.simulate")
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--texts", type=int, default=1_000)
    parser.add_argument("--shards", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of rows and service times")
    parser.add_argument("--speedup", type=float, default=100.0, help="how much faster than a GPU the workers are")
    parser.add_argument("--file-seconds", type=float, default=0.0, help="for each text that is read or put together")
    parser.add_argument("--model-workers", type=int, default=4)
    parser.add_argument("--tool-workers", type=int, default=2)
    parser.add_argument("--retry-delay", type=float, default=1.0, help="seconds before a shard is tried again")
    parser.add_argument("--address", help="a Ray cluster; by default a Ray of its own")
    parser.add_argument("--journal", help="a file to which workers write what they do")
    parser.add_argument("--trouble", help="a folder in which it is said what is wrong with the tools")
    parser.add_argument("--no-tools", action="store_true", help="all stages find nothing")
    parser.add_argument("--retry-failed", action="store_true", help="ask calls again that had no answer")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
