"""Which tools a command uses, and what its user says about each of them.

What is said of a tool is a mapping that holds only the options that were given, whatever record they belong to: the
tool's own options, how it is asked, and, for annotation, how it is taught. The rest stays as the tool has it.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import docstring_parser
from cyclopts import Group, Parameter

from toolformer_ray.records.errors import OptionError, in_record
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.brought.brought_tool import Brought
from toolformer_ray.tools.brought.from_server import with_file
from toolformer_ray.tools.brought.places import resolve_tools
from toolformer_ray.tools.catalog import find_tools, make_tool
from toolformer_ray.tools.options import Asking, Teaching
from toolformer_ray.tools.tool import Tool

ASKING = Group(
    "Asking tools",
    help="These hold for all tools. With a tool's name before it, such as --qa.timeout 60, an option is that tool's.",
    sort_key=3,
)


def _options_of(record: Any, **more: Any) -> dict[str, Any]:
    """The fields of a record as options that may be left out; its values are what the help shows as defaults."""
    hints = typing.get_type_hints(type(record))
    told = {one.arg_name: one.description for one in docstring_parser.parse_from_object(type(record)).params}
    options = {}
    for name, value in vars(record).items():
        shown = False if value is None else str(value)
        options[name] = Annotated[hints[name], Parameter(help=told[name], show_default=shown, **more)]
    return options


def _settings_by_tool(tools: Mapping[str, type[Tool]], *, with_teaching: bool) -> Any:
    """The type of what is said of tools, so that a new tool's options are on the command line."""
    by_tool = {}
    for key, tool in tools.items():
        taught = _options_of(tool.teaching) if with_teaching else {}
        options = {**taught, **_options_of(tool.Options()), **_options_of(tool.asking, show=False)}
        group = Parameter(group=Group(f"Tool {key}: {tool.name}"))
        by_tool[key] = Annotated[TypedDict(key, options, total=False), group]  # type: ignore[operator]
    return Annotated[TypedDict("Tools", by_tool, total=False), Parameter(name="*")]  # type: ignore[operator]


if TYPE_CHECKING:
    Settings = Mapping[str, Mapping[str, Any]]
    TaughtSettings = Settings
else:
    Settings, TaughtSettings = (_settings_by_tool(find_tools(), with_teaching=each) for each in (False, True))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ToolChoice:
    """The tools that a model may ask."""

    keys: Annotated[tuple[str, ...], Parameter(name="--tools", show_default=",".join)] = ("calculator", "calendar")
    """The tools, separated by commas; `toolformer annotate --help` has what can be set of each."""
    tool_servers: str | None = None
    """File that tells of the servers of tools such as mcp:NAME and http:NAME; by default tool_servers.toml."""
    asking: Annotated[Asking, Parameter(name="*", group=ASKING)] = field(default_factory=Asking)
    answers: Annotated[AnswerOptions, Parameter(name="*", group=ASKING)] = field(default_factory=AnswerOptions)
    settings: Settings = field(default_factory=dict)
    """What is said of single tools: by key of the tool, then by name of the option."""
    brought: Annotated[Mapping[str, Brought], Parameter(parse=False)] = field(default_factory=dict)
    """The user's own tools among them, by key: what a worker needs to have them."""

    def __post_init__(self) -> None:
        # A record that was made of this one, with other settings, has the keys and what they stand for already.
        if not self.brought:
            keys, brought = resolve_tools(with_file(split_names(self.keys), self.tool_servers))
            object.__setattr__(self, "keys", keys)
            object.__setattr__(self, "brought", brought)

    @property
    def written(self) -> tuple[str, ...]:
        """The tools as they are named behind `--tools`."""
        return tuple(self.brought[key].place if key in self.brought else key for key in self.keys)

    @property
    def classes(self) -> Mapping[str, type[Tool]]:
        """The chosen tools by key."""
        return {key: self.brought[key].load() if key in self.brought else find_tools()[key] for key in self.keys}

    def make(self) -> dict[str, Tool]:
        """The chosen tools by key, not yet opened. Raises OptionError, or ValueError if one lacks what it needs."""
        return {key: self._make(key) for key in self.keys}

    def in_force(self) -> dict[str, dict[str, Any]]:
        """Per chosen tool, its own options and how it is taught, and what was said of how it alone is asked."""
        return {
            key: {**dict(self.settings.get(key, {})), **vars(tool.teaching), **vars(tool.options)}
            for key, tool in self.make().items()
        }

    def _usual_teaching(self, tool: type[Tool]) -> Teaching:
        return tool.teaching

    def _make(self, key: str) -> Tool:
        tool, given = self.classes[key], dict(self.settings.get(key, {}))
        # A value that is the general default was not asked for: there a tool may have one of its own.
        for_all = {name: value for name, value in vars(self.asking).items() if value != getattr(Asking(), name)}
        with in_record(key):
            own = tool.Options(**_take(given, tool.Options))
            teaching = dataclasses.replace(self._usual_teaching(tool), **_take(given, Teaching))
            asking = dataclasses.replace(tool.asking, **{**for_all, **_take(given, Asking)})
            if unknown := next(iter(given), None):
                raise OptionError(unknown, given[unknown], f"{tool.name} has no such option; leave it out")
            return make_tool(tool, own, teaching, asking)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TaughtTools(ToolChoice):
    """The tools that a model is taught."""

    keys: Annotated[tuple[str, ...], Parameter(name="--tools", show_default=",".join)] = ("calculator", "calendar")
    """The tools to teach, separated by commas: keys such as search (a misspelt one is answered with all there are) and
    files of your own, such as ./units.py (docs/tools.md)."""
    settings: TaughtSettings = field(default_factory=dict)

    in_paper: Annotated[bool, Parameter(parse=False)] = field(default=False, metadata={"in_paper": True})
    """Whether what is not said of a tool's thresholds is the paper's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.keys:
            raise OptionError("tools", "empty", f"choose among {', '.join(find_tools())}")

    def _usual_teaching(self, tool: type[Tool]) -> Teaching:
        return tool.teaching_in_paper if self.in_paper else tool.teaching


def split_names(written: Sequence[str]) -> list[str]:
    """What is named behind `--tools`, where commas separate as spaces do.

    >>> split_names(["calculator, calendar", "./units.py"])
    ['calculator', 'calendar', './units.py']
    """
    return [name.strip() for names in written for name in names.split(",") if name.strip()]


def offer_options_of(brought: Mapping[str, type[Tool]]) -> None:
    """From now on the command line has the options of these tools beside those of the package's own.

    The command line reads the types of a record's fields each time that it reads a command.
    """
    tools = {**find_tools(), **brought}
    for record, with_teaching in ((ToolChoice, False), (TaughtTools, True)):
        record.__annotations__["settings"] = _settings_by_tool(tools, with_teaching=with_teaching)


def _take(given: dict[str, Any], record: type) -> dict[str, Any]:
    """Take out of what is given the values that are fields of a record."""
    return {f.name: given.pop(f.name) for f in dataclasses.fields(record) if f.name in given}
