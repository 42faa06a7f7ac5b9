"""The settings of a run as options, so that another run can be made with them (`--from-run`).

Reads `run.json`, which holds what decides rows. How the work was distributed (workers, device, how tools are asked) is
not in it and is not repeated. An option at a value that older versions had is left out of `run.json`
(`records.fingerprint.added_later`), so that value is set here, whatever today's default is.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RUN_FILE
from toolformer_ray.tools.brought.declared import place_of_declared, tools_known_to
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.book.settings import open_run, read_tool_names


@dataclass(frozen=True, kw_only=True)
class SettingsToRepeat:
    """What a run was made with, by the names of the command line."""

    options: Mapping[str, Any]
    """Values by name of the option; those of a tool in a mapping of their own. Options that were not given are out."""
    not_held: Mapping[str, str]
    """Options whose value the run does not hold, each with the reason."""


def settings_to_repeat(location: str) -> SettingsToRepeat:
    """The settings of the run in a folder. Raises UnusableError if there is none, or if it has tools that are not here.

    The place of the run itself is no setting.
    """
    run = open_run(location)
    read_tool_names(run)
    made_with = run.read_json(RUN_FILE)
    settings = made_with["settings"]
    if not settings.get("model") or not settings.get("corpus"):
        raise UnusableError(f"{run.shown}/{RUN_FILE} does not say with which model and corpus the run was made")
    flat = {**_before(settings, tools_known_to(made_with)), **settings}
    # What a run holds of demonstrations is the hash of what they say.
    not_held = {
        name: f"the run does not hold the demonstrations of its {name.partition('.')[0]}"
        for name, value in flat.items()
        if name.endswith(".demonstrations") and value
    }
    # A file is never run because a run names it: whoever repeats the run has to name it.
    brought = [place for key in settings["tools"] if (place := place_of_declared(made_with, key))]
    if brought:
        not_held["tools"] = f"the run does not hold the tools of its user's own, {', '.join(brought)}"
    given = {name: value for name, value in flat.items() if value is not None and name not in not_held}
    return SettingsToRepeat(options=_nested(given), not_held=not_held)


def _before(settings: Mapping[str, Any], tools: Mapping[str, type[Tool]]) -> dict[str, Any]:
    """The options that a run leaves out since they stand at the value of older versions."""
    found: dict[str, Any] = {}
    for record in (IngestOptions, ProposeOptions, ProposerOptions, FilterOptions):
        found |= dict(_older_values(record, ""))
    for key in settings["tools"]:
        tool = tools[key]
        for own in (type(tool.teaching), tool.Options):
            found |= dict(_older_values(own, f"{key}."))
    return found


def _older_values(record: type[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for each in dataclasses.fields(record):
        if "before" in each.metadata:
            yield prefix + each.name.replace("_", "-"), each.metadata["before"]


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        key, is_of_tool, option = name.partition(".")
        if is_of_tool:
            nested.setdefault(key, {})[option] = value
        else:
            nested[name] = value
    return nested
