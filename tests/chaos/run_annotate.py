"""The second half of `make chaos`: `toolformer annotate` itself, with the miniature model, against its undisturbed run.

Workers are killed three times, the driver by SIGKILL and by SIGTERM, each when so many shards have been written; the QA
endpoint answers with errors, garbage, nothing at all, or hangs, in turns. At the end `--retry-failed`, then every row
is compared. Exit code 1 if one differs.
"""

import argparse
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.arena import REPOSITORY, num_outputs, start, wait_until
from tests.chaos.endpoint import serving
from tests.chaos.run_chaos import find_differences

MODEL = "miniature/model"
BLOWS = ("worker", "SIGKILL", "worker", "SIGTERM", "worker")
TEXTS_PER_TOOL = 4
AT_WORK = "ray::ShardActor.work"
"""How Ray names the process of an actor that is in this method."""


@dataclass
class AnnotateRun:
    """One run folder and the command that works on it."""

    folder: Path
    world: Path
    url: str

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Begin, or go on."""
        command = [sys.executable, "-m", "toolformer_ray.jobs.cli.main", "annotate", "--run", str(self.folder / "run")]
        command += ["--corpus", str(self.world / "corpus.jsonl"), "--model", MODEL, "--tools", "calculator,qa"]
        command += ["--shard-size", "2", "--temperature", "0.5", "--retry-delay", "0.1", "--model-workers", "1"]
        command += ["--qa.endpoint-url", self.url, "--qa.model", "oracle", "--qa.timeout", "1", "--qa.max-retries", "1"]
        command += ["--qa.pause-after", "6", "--qa.pause", "0.5"]
        self.folder.mkdir(parents=True, exist_ok=True)
        return start([*command, *more], self.folder / "driver.log")

    def finish(self, driver: subprocess.Popen[bytes]) -> None:
        """Wait for a good end, however often it takes to go on."""
        for _ in range(5):
            if driver.wait(900) == 0:
                return
            driver = self.start()
        raise AssertionError((self.folder / "driver.log").read_text()[-3000:])


def deal_blows(run: AnnotateRun, num_expected: int) -> int:
    """Kill what has to be killed on the way through so many shards; how often a worker was at work when it was."""
    driver, num_felt = run.start(), 0
    try:
        for number, blow in enumerate(BLOWS, start=1):
            due = number * num_expected // (len(BLOWS) + 1)
            wait_until(lambda due=due: num_outputs(run.folder / "run") >= due, f"{blow} at {due}", 600)
            if blow == "worker":
                found = wait_until(functools.partial(_working, driver.pid), "a worker at work", 60)
                os.kill(found[0], signal.SIGKILL)
                num_felt += 1
            else:
                driver.send_signal(signal.Signals[blow])
                driver.wait(60)
                driver = run.start()
        run.finish(driver)
    finally:
        driver.kill()
    return num_felt


def _working(driver: int) -> list[int]:
    """Workers of this driver's own Ray that have a shard in hand; their names say so."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(path.name)] = (path / "cmdline").read_text()
        except OSError:
            continue
    return [
        process for process, name in names.items() if name.startswith(AT_WORK) and _is_below(process, driver, parents)
    ]


def _is_below(process: int, ancestor: int, parents: Mapping[int, int]) -> bool:
    while process not in (0, ancestor):
        process = parents.get(process, 0)
    return process == ancestor


def main() -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run_annotate")
    parser.add_argument("--keep", help="a new folder in which the runs stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = Path(asked.keep or temporary)
        world = folder / "world"
        making = [sys.executable, "-m", "toolformer_ray.miniature.demo_corpus", "--out", str(world)]
        subprocess.run([*making, "--texts-per-tool", str(TEXTS_PER_TOOL)], cwd=REPOSITORY, check=True)
        rows = map(json.loads, (world / "questions.jsonl").read_text().splitlines())
        with serving({row["question"]: row["answer"] for row in rows}) as endpoint:
            alone = AnnotateRun(folder / "undisturbed", world, endpoint.url)
            alone.finish(alone.start())
            # On a busy machine an answer may take longer than the second that a call is given.
            alone.finish(alone.start("--retry-failed"))
            endpoint.is_flaky = True
            run = AnnotateRun(folder / "chaos", world, endpoint.url)
            num_felt = deal_blows(run, num_outputs(alone.folder / "run"))
            endpoint.is_flaky = False
            run.finish(run.start("--retry-failed"))
        differences = find_differences(alone.folder / "run", run.folder / "run")
        print(f"{len(BLOWS)} kills, {num_felt} of workers at work; {endpoint.num_failed} requests met trouble")
        print("\n".join(differences[:20]) or "the same rows as the undisturbed run; everything is accounted for")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
