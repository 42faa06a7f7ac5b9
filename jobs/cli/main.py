"""The `toolformer` command: runs one, and turns what goes wrong into one line and an exit code.

Imports nothing heavy until Ctrl-C is answered for.
"""

import logging
import re
import sys
from collections.abc import Sequence

EXIT_BAD_INPUT = 2
EXIT_CTRL_C = 130

_FIELD_IS = re.compile(r"(?P<field>[a-z]+(_[a-z]+)*) is (?P<value>[^;]*);")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return EXIT_CTRL_C


def _run(arguments: list[str]) -> int:
    from cyclopts.exceptions import CycloptsError

    from toolformer_ray.jobs.cli.commands import app
    from toolformer_ray.records.locations import without_keys
    from toolformer_ray.workflow.log import say, set_format

    set_format("text")
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, ValueError, OSError) as error:
        line = without_keys(describe_error(error, arguments))
        say("refused", f"toolformer: {line}", level=logging.ERROR, error=line)
        return EXIT_BAD_INPUT
    return result if isinstance(result, int) else 0


def describe_error(error: Exception, arguments: Sequence[str]) -> str:
    """One line. Where an options record names its field, the option is named as it was written."""
    line = " ".join(str(error).split())
    match = _FIELD_IS.match(line)
    if match:
        option, value = match["field"].replace("_", "-"), match["value"]
        written = [name for name, given in _pairs(arguments) if _is_named(name, option) and given == value]
        line = f"{written[0] if written else '--' + option} is {line[match.start('value') :]}"
    return line


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(option, value) of every option, whether written with a space or with `=`."""
    pairs = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, has_value, value = argument.partition("=")
        pairs.append((name, value if has_value else following))
    return pairs


def _is_named(written: str, option: str) -> bool:
    return written == f"--{option}" or (written.startswith("--") and written.endswith(f".{option}"))


if __name__ == "__main__":
    sys.exit(main())
