"""Ctrl-C and SIGTERM end every command at once, as a shell expects it and without a trace.

How runs, fine-tunings and servers end is tested beside the rest of them; here are the commands without Ray.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.held_commands import Ending, Order
from tests.support.small_run import write_small_run
from toolformer_ray.jobs.driver.interrupts import Interrupted, Interrupts
from toolformer_ray.jobs.training.beside import run_beside

ROOT = Path(__file__).parents[2]
IN_THE_MODEL = "toolformer_ray.lm.network:Network._run"
MOST_SECONDS = 5.0

HELD = {
    "generate": (["--max-new-tokens", "400", "One and two"], IN_THE_MODEL),
    "evaluate": (["--tasks", "wikitext2", "--path.wikitext2", "text.txt"], IN_THE_MODEL),
    "estimate": (["--run", "estimated", "--corpus", "texts.jsonl"], IN_THE_MODEL),
    "status": (["run", "--watch"], "toolformer_ray.workflow.report.show:read_status"),
    "verify": (["run"], "toolformer_ray.workflow.verify.check:verify_run"),
    "query": (["run", "select 1"], "toolformer_ray.workflow.report.query:query_run"),
    "build-index": (["passages.jsonl", "index"], "toolformer_ray.tools.backends.passage_index:build_index"),
}
WITH_MODEL = ("generate", "evaluate", "estimate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    save_calling_model(folder / "model")
    write_small_run(str(folder / "run"))
    (folder / "text.txt").write_text("One and two are 3.")
    (folder / "texts.jsonl").write_text('{"text": "One and two are 3."}\n')
    (folder / "passages.jsonl").write_text('{"title": "Nile", "text": "A river."}\n')
    return folder


@pytest.fixture(scope="module")
def commands(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.held_commands"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def end(commands: subprocess.Popen[str], name: str, number: signal.Signals) -> Ending:
    arguments, held_at = HELD[name]
    model = ["--model", "model"] if name in WITH_MODEL else []
    assert commands.stdin is not None and commands.stdout is not None
    order = Order(arguments=[name, *model, *arguments], held_at=held_at, signal=number)
    print(json.dumps(order), file=commands.stdin, flush=True)
    ending: Ending = json.loads(commands.stdout.readline())
    return ending


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", HELD)
def test_a_signal_ends_a_command_in_time_and_without_a_trace(
    name: str, number: signal.Signals, exit_code: int, commands: subprocess.Popen[str], folder: Path
) -> None:
    before = sorted(folder.rglob("*"))
    ending = end(commands, name, number)
    assert ending["exit_code"] == exit_code, ending["output"]
    assert "Traceback" not in ending["output"]
    assert ending["seconds"] < MOST_SECONDS
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_whoever_waits_for_a_training(number: signal.Signals) -> None:
    begun, ended = threading.Event(), threading.Event()

    def train() -> None:
        begun.set()
        os.kill(os.getpid(), number)
        ended.wait()

    with Interrupts() as interrupts, pytest.raises(Interrupted):
        run_beside(train)
    ended.set()
    assert begun.is_set()
    assert interrupts.exit_code == 128 + number


def test_what_a_training_raises_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        run_beside(fail)


def test_a_signal_while_ray_starts_waits_for_its_end() -> None:
    done = []
    with Interrupts() as interrupts, pytest.raises(Interrupted), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("started")
    assert done == ["started"]
