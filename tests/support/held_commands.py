"""Runs commands in forks of one process that has torch imported, each held at some function until a signal ends it.

One line of JSON in per command (`Order`), one line out (`Ending`).
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any, TypedDict

from toolformer_ray.jobs.cli.main import main

PATIENCE = 120.0


class Order(TypedDict):
    """What is to be run and ended."""

    arguments: list[str]
    held_at: str
    """`module:name` or `module:Class.name` of the function that does not return."""
    signal: int


class Ending(TypedDict):
    """How a command ended."""

    exit_code: int
    seconds: float
    """From the signal to the end."""
    output: str
    """What it printed, on both streams."""


def run_held(order: Order) -> Ending:
    """Run a command until it is held, send it the signal, and wait for its end."""
    is_held, told = os.pipe()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE))
            os.close(is_held)
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            hold(order["held_at"], told)
            # As the command's own process ends.
            sys.argv[1:] = order["arguments"]
            sys.exit(main())
        os.close(told)
        os.read(is_held, 1)
        os.close(is_held)
        os.kill(child, order["signal"])
        started = time.monotonic()
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - started
        output.seek(0)
        return Ending(exit_code=os.waitstatus_to_exitcode(status), seconds=seconds, output=output.read().decode())


def hold(where: str, told: int) -> None:
    """Put in the function's place one that says that it was called, and waits for ever."""

    def wait(*_: Any, **__: Any) -> None:
        os.write(told, b".")
        threading.Event().wait()

    module, _, name = where.partition(":")
    *owners, function = name.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, function, wait)


if __name__ == "__main__":
    import toolformer_ray.lm.model  # noqa: F401  imported once, for all that is forked

    signal.alarm(int(PATIENCE))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run_held(json.loads(line))) + "\n")
        sys.stdout.flush()
