"""The `toolformer` command: runs one, and turns what goes wrong into one line and an exit code.

Nothing heavy is imported before Ctrl-C is answered for, and for `--help` and `--version` nothing heavy at all.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Sequence

from toolformer_ray.records.errors import OptionError, UnusableError, one_line

EXIT_BAD_INPUT = 2
EXIT_CTRL_C = 130

_FIELD = re.compile(r"`([a-z][a-z0-9_.]*)`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return EXIT_CTRL_C


def run_as_job(command: str) -> None:
    """Run a command with the arguments of this process, and end the process at once.

    All is said and written by then, and tearing torch down may take seconds: `ray job stop` kills what has not ended
    within three, and a job that is done should not be stopped any more.
    """
    exit_code = main([command, *sys.argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(exit_code)


def describe_error(error: Exception) -> str:
    """One line in which options are spelled as they are typed: the field `max_steps` is `--max-steps`."""
    if isinstance(error, OptionError):
        return one_line(f"{_flag(error.field)} is {error.value}; {_spell_options(error.remedy)}")
    if record := getattr(error, "argument", None):
        # Of a record that lacks a value, the option is named, and not the record, which nobody types.
        lacking = (one for one in record.children_recursive if one.required and not (one.children or one.tokens))
        error.argument = next(lacking, record)  # type: ignore[attr-defined]
    line = one_line(error)
    return _spell_options(line) if isinstance(error, UnusableError) else line


def _run(arguments: list[str]) -> int:
    from cyclopts.exceptions import CycloptsError

    from toolformer_ray.jobs.cli.commands import app
    from toolformer_ray.records.locations import without_keys
    from toolformer_ray.workflow.log import say, set_format

    set_format("text")
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, ValueError, OSError) as error:
        line = without_keys(describe_error(error))
        say("refused", f"toolformer: {line}", level=logging.ERROR, error=line)
        return EXIT_BAD_INPUT
    return result if isinstance(result, int) else 0


def _spell_options(line: str) -> str:
    """The line with flags for the names of fields that stand in backquotes."""
    return _FIELD.sub(lambda name: _flag(name[1]), line)


def _flag(field: str) -> str:
    # A name in capitals is that of a variable of the environment, such as RAY_ADDRESS.
    return field if field.isupper() else f"--{field.replace('_', '-')}"


if __name__ == "__main__":
    sys.exit(main())
