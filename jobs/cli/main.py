"""The `toolformer` command: runs one, and turns what goes wrong into one line and an exit code.

Nothing heavy is imported before Ctrl-C is answered for, and for `--help` and `--version` nothing heavy at all.
"""

import contextlib
import difflib
import logging
import os
import re
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

from toolformer_ray.jobs.cli.settings_file import LEAST_LIKENESS
from toolformer_ray.jobs.driver.interrupts import SECONDS_TO_END, Interrupts
from toolformer_ray.records.errors import OptionError, UnusableError, one_line

EXIT_BAD_INPUT = 2
EXIT_CTRL_C = 130
EXIT_BROKEN_PIPE = 141
"""What a shell shows of a program whose reader, such as `head`, has ended: 128 and the number of SIGPIPE."""

_SUGGESTION = re.compile(r"(?P<said>Unknown option: (?P<given>\S+?)(=\S*)?\.) Did you mean (?P<suggested>\S+)\?")
_FIELD = re.compile(r"`([a-z][a-z0-9_.]*)`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of this process, and return its exit code."""
    with Interrupts(seconds_to_end=SECONDS_TO_END) as interrupts:
        exit_code = _answer(sys.argv[1:] if arguments is None else list(arguments))
        if interrupts.has_received:
            exit_code = interrupts.exit_code
            if arguments is None:
                _end_process(exit_code)
    return exit_code


def run_as_job(command: str) -> None:
    """Run a command with the arguments of this process, and end the process at once.

    `ray job stop` kills what has not ended within three seconds, and a job that is done should not be stopped any more.
    """
    _end_process(main([command, *sys.argv[1:]]))


def _answer(arguments: list[str]) -> int:
    """Run one command; its exit code, also if a signal or the end of its reader has ended it."""
    try:
        exit_code = _run(arguments)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    except BrokenPipeError:
        if not _drop_what_nobody_reads():
            raise
        return EXIT_BROKEN_PIPE
    return exit_code


def _end_process(exit_code: int) -> NoReturn:
    """End the process at once: all is said and written by then, and tearing torch down may take seconds."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(exit_code)


def describe_error(error: Exception) -> str:
    """One line in which options are spelled as they are typed: the field `max_steps` is `--max-steps`."""
    if isinstance(error, OptionError):
        given = "not given" if error.value is None else error.value
        return one_line(f"{_flag(error.field)} is {given}; {_spell_options(error.remedy)}")
    if isinstance(error, UnusableError):
        return _spell_options(one_line(error))
    return _without_far_suggestion(one_line(_missing_options(error) or error))


def _missing_options(error: Exception) -> str | None:
    """All options that have to be given and were not, where the error names the first of them, or their record."""
    from toolformer_ray.jobs.cli.commands import app

    record, command = getattr(error, "argument", None), getattr(error, "app", None)
    if type(error).__name__ != "MissingArgumentError" or record is None or command is None:
        return None
    given = {token.partition("=")[0] for token in error.root_input_tokens}  # type: ignore[attr-defined]
    given.update(*(source.names() for source in app.config or ()))
    needed = [one for one in command.assemble_argument_collection() if one.required and not one.children]
    # What may be given without its name is counted by its place, which cyclopts does.
    lacking = [one.name for one in needed if one.index is None and not given.intersection(one.names)]
    if not lacking:
        return None
    options = lacking[0] if len(lacking) == 1 else f"{', '.join(lacking[:-1])} and {lacking[-1]}"
    return f'Command "{" ".join(error.command_chain)}" needs {options}.'  # type: ignore[attr-defined]


def _without_far_suggestion(line: str) -> str:
    """The line without an option that cyclopts suggests for a mistyped one that is hardly like it."""
    if not (found := _SUGGESTION.fullmatch(line)):
        return line
    likeness = difflib.SequenceMatcher(None, found["given"], found["suggested"]).ratio()
    return line if likeness >= LEAST_LIKENESS else f"{found['said']} `--help` lists all options."


def _drop_what_nobody_reads() -> bool:
    """Whether the reader of what this process prints has gone; the rest is then written nowhere, also at the exit."""
    is_broken = False
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & select.POLLERR for _, event in poll.poll(0)):
                is_broken = True
                with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                    os.dup2(nowhere.fileno(), stream.fileno())
    return is_broken


def _run(arguments: list[str]) -> int:
    from cyclopts.exceptions import CycloptsError

    from toolformer_ray.jobs.cli.one_command import run_command
    from toolformer_ray.records.locations import without_keys
    from toolformer_ray.workflow.log import say, set_format

    set_format("text")
    try:
        return run_command(arguments)
    except BrokenPipeError:
        raise
    except (CycloptsError, ValueError, OSError) as error:
        line = without_keys(describe_error(error))
        say("refused", f"toolformer: {line}", level=logging.ERROR, error=line)
        return EXIT_BAD_INPUT


def _spell_options(line: str) -> str:
    """The line with flags for the names of fields that stand in backquotes."""
    return _FIELD.sub(lambda name: _flag(name[1]), line)


def _flag(field: str) -> str:
    # A name in capitals is that of a variable of the environment, such as RAY_ADDRESS.
    return field if field.isupper() else f"--{field.replace('_', '-')}"


if __name__ == "__main__":
    sys.exit(main())
