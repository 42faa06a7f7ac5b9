"""Options that every command has beside its own: settings from a file or of a run, written to a file, and help.

    --config FILE        options as TOML: `max-documents = 100`, and those of a tool under `[calculator]`
    --from-run RUN       the settings of a run, for the commands that take those of `annotate`
    --write-config FILE  write all options as they would be used, and do nothing else; `-` is the standard output
    --help-all           all options; `--help` shows what a first user needs

What is typed counts before what the file says, and the file before the run.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolformer_ray.records.errors import OptionError, UnusableError, one_line

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument, ArgumentCollection

WITH_VALUE = ("config", "from_run", "write_config")
LEAST_LIKENESS = 0.8
"""How much an option has to be like a key that was mistyped to be suggested."""


@dataclass(kw_only=True)
class SharedOptions:
    """What is typed of the options that every command has."""

    config: str | None = None
    from_run: str | None = None
    write_config: str | None = None


def take_shared(arguments: Sequence[str]) -> tuple[list[str], SharedOptions]:
    """The arguments that are left for the command, and what was said of the options that all commands share.

    >>> take_shared(["annotate", "--config", "run.toml", "--seed", "1"])[0]
    ['annotate', '--seed', '1']
    """
    left: list[str] = []
    shared = SharedOptions()
    given = iter(arguments)
    for argument in given:
        if argument == "--":
            return [*left, argument, *given], shared
        flag, is_joined, value = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in WITH_VALUE:
            left.append(argument)
            continue
        said = value if is_joined else next(given, "")
        if not said or said.startswith("--"):
            raise OptionError(name, said or "empty", "give a name behind it")
        setattr(shared, name, said)
    return left, shared


@dataclass(frozen=True, kw_only=True)
class Source:
    """Settings from somewhere else than the command line; called by cyclopts while it reads a command."""

    name: str
    """The file or the run, for messages."""
    values: Mapping[str, Any]
    """By name of the option; those of a tool in a mapping of their own."""
    not_held: Mapping[str, str] = field(default_factory=dict)
    """Options that have to be typed because their values are not there, each with the reason."""

    def names(self) -> set[str]:
        """The options that are set here, as they are typed."""
        return {f"--{name.replace('_', '-')}" for name in _flat(self.values)}

    def __call__(self, app: "App", commands: tuple[str, ...], arguments: "ArgumentCollection") -> None:
        """Set what was not typed. Raises UnusableError, one line, for a key that is no option of the command."""
        from cyclopts.config import Dict

        known = {name: argument for argument in arguments for name in argument.names}
        # First what the file cannot hold: without the tools of one's own their options are none.
        for option, reason in self.not_held.items():
            if not (found := known.get(f"--{option.replace('_', '-')}")) or not found.tokens:
                raise UnusableError(f"{self.name}: {reason}; give `{option}`")
        for key in self.names():
            if not _is_known(key, arguments):
                raise UnusableError(self._refusal(key, known, " ".join(commands)))
        Dict(data=dict(self.values), source=self.name, use_commands_as_keys=False)(app, commands, arguments)

    def _refusal(self, key: str, known: "Mapping[str, Argument]", command: str) -> str:
        near = difflib.get_close_matches(key, known, n=1, cutoff=LEAST_LIKENESS)
        hint = f"did you mean {near[0].removeprefix('--')}?" if near else f"{command} --help-all lists all options"
        return f"{self.name}: {key.removeprefix('--')} is no option of {command}; {hint}"


def read_config(location: str) -> Source:
    """The settings in a TOML file. Raises OptionError if it cannot be read."""
    try:
        return Source(name=location, values=tomllib.loads(Path(location).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise OptionError("config", location, "there is no such file; correct the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(
            "config", location, f"it cannot be read as TOML ({one_line(error)}); correct it or give another file"
        ) from error


def read_run(location: str) -> Source:
    """The settings of a run. Raises UnusableError if there is no run."""
    from toolformer_ray.workflow.book.repeat import settings_to_repeat

    found = settings_to_repeat(location)
    return Source(name=location, values=found.options, not_held=found.not_held)


def sources_of(shared: SharedOptions) -> list[Source]:
    """Where settings come from, those that count first in front."""
    found = [read_config(shared.config)] if shared.config else []
    return [*found, read_run(shared.from_run)] if shared.from_run else found


def _is_known(key: str, arguments: "ArgumentCollection") -> bool:
    try:
        arguments.match(key)
    except ValueError:
        return False
    return True


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name
