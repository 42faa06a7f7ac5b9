"""A command that is refused: one line on stderr, nothing on stdout, exit code 2."""

from collections.abc import Callable

import pytest

from toolformer_ray.jobs.cli.main import main

Refuse = Callable[..., str]
"""Runs a command that is to be refused, and returns its line without the program's name."""


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    def run(*arguments: str) -> str:
        code = main(arguments)
        output, errors = capsys.readouterr()
        assert (code, output) == (2, ""), errors
        (line,) = errors.splitlines()
        assert line.startswith("toolformer: ")
        return line.removeprefix("toolformer: ")

    return run
