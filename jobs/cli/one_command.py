"""Runs one command: with settings from elsewhere, or only to write them down, or to show its help page."""

from collections.abc import Sequence

from toolformer_ray.jobs.cli.brought_tools import named_servers, named_tools, offer_tools
from toolformer_ray.jobs.cli.commands import app
from toolformer_ray.jobs.cli.settings_file import sources_of, take_shared
from toolformer_ray.records.errors import UnusableError

HELP_FLAGS = ("--help", "-h", "--help-all")
WITH_SETTINGS_OF_A_RUN = ("promote",)
"""Commands that name a run first and go by its settings, as if these were given by `--from-run`."""


def run_command(arguments: Sequence[str]) -> int:
    """Run the command that is typed; its exit code. Raises ValueError and cyclopts' errors for what is wrong."""
    typed = list(arguments)
    options = typed[: typed.index("--")] if "--" in typed else typed
    if any(word in HELP_FLAGS for word in options):
        from toolformer_ray.jobs.cli.help_page import print_help

        print_help(app, options)
        return 0
    left, shared = take_shared(typed)
    if len(left) > 1 and left[0] in WITH_SETTINGS_OF_A_RUN and not left[1].startswith("-"):
        shared.from_run = shared.from_run or left[1]
    sources = sources_of(shared)
    offer_tools(named_tools(options), [source.values for source in sources], named_servers(options))
    app.config = tuple(sources)
    if shared.write_config:
        return _write(left, shared.write_config)
    result = app(left, exit_on_error=False, print_error=False, result_action="return_value")
    return result if isinstance(result, int) else 0


def _write(arguments: Sequence[str], place: str) -> int:
    from toolformer_ray.jobs.cli.write_settings import write_settings

    names, apps, _ = app.parse_commands(arguments)
    if not names:
        raise UnusableError("`write_config` needs a command before it, such as annotate")
    _, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    write_settings(place, names[0], apps[-1].assemble_argument_collection(), bound)
    return 0
