"""The help pages in two levels: what a first user needs, and with `--help-all` everything.

Panels of tools are shown on the full page, or on either page for the tools that `--tools` names beside it.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cyclopts.help import DefaultFormatter

from toolformer_ray.jobs.cli.brought_tools import named_servers, named_tools, offer_tools

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

HELP_ALL = "--help-all"
FIRST_TITLES = ("Commands", "Parameters", "Writing")
"""Panels of the first page."""
_TOOL = re.compile(r"Tool (?P<key>\w+): ")

SHARED = """`--config FILE` takes options from a TOML file, `--from-run RUN` those of `annotate` from a run,
`--write-config FILE` writes what would be used (`-`: prints it). What is typed counts first."""


@dataclass(kw_only=True)
class ChosenPanels:
    """Shows the panels of a page that are wanted, as cyclopts shows any; `left_out` names the others."""

    shows_all: bool
    tools: Collection[str]
    """Keys of the tools that are named; none if nothing was said."""
    left_out: list[str] = field(default_factory=list)

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print a panel, or remember its title."""
        title = str(panel.title)
        if self._is_wanted(title):
            DefaultFormatter()(console, options, panel)
        elif panel.entries and not _TOOL.match(title):
            self.left_out.append(title)

    def _is_wanted(self, title: str) -> bool:
        if tool := _TOOL.match(title):
            return tool["key"] in self.tools if self.tools else self.shows_all
        return self.shows_all or title in FIRST_TITLES


def print_help(app: Any, arguments: Sequence[str]) -> None:
    """Print the help page that is asked for."""
    panels = ChosenPanels(shows_all=HELP_ALL in arguments, tools=_chosen_tools(arguments))
    app.help_formatter = panels
    app.help_epilogue = SHARED
    app.help_print([word for word in arguments if not word.startswith("-")][:1])
    if panels.left_out:
        print(f"{HELP_ALL} shows more: {', '.join(panels.left_out)}, tools.")


def _chosen_tools(arguments: Sequence[str]) -> set[str]:
    """The keys of the tools that are named."""
    named = named_tools(arguments)
    return {*named, *offer_tools(named, [], named_servers(arguments))}
