"""The settings that a run was made with (`run.json`), and whether they have changed.

Settings are all options that decide rows. How the work is distributed (workers, threads, batches, addresses, the
device) is not among them, so a run may be resumed on another machine.
"""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolformer_ray.annotate.proposer_options import CHANGES_NO_ROW
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.brought.declared import DECLARED, declare, tools_known_to
from toolformer_ray.tools.tool import Tool, full_data_version
from toolformer_ray.workflow.book.fingerprints import (
    RunInputs,
    filter_options,
    fingerprint_stages,
    fingerprint_tools,
    plain_options,
    plain_own_options,
    plain_teaching,
)
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.shard.stage import Stage

MODELS = ("model", "proposer")
"""Options that name a model."""
PACKAGES = ("toolformer-ray", "ray", "torch", "transformers", "pyarrow")


class OtherSettingsError(UnusableError):
    """The run folder was made with other settings. The message is one line that names them and the remedies."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of a run, and what was computed of them."""

    settings: Mapping[str, Any]
    """The options by their names on the command line without the dashes, without secrets."""
    model_fingerprint: str
    """Hash of the model's configuration, weights and tokenizer."""
    tool_data: Mapping[str, str]
    """Per tool, an identifier of the data behind its answers, such as an index; empty if there is none."""
    stage_fingerprints: Mapping[str, str]
    """Per stage, the hash of everything but its inputs that decides its rows."""
    tool_fingerprints: Mapping[str, Mapping[str, str]]
    """Per stage and name of a tool, the hash of what decides the tool's proposals, answers or losses."""
    declared_tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per tool that the user brought, what readers of the run need of it: `tools.brought.declared`."""
    proposer_fingerprint: str = ""
    """The same as `model_fingerprint` of another model that proposes; empty if there is none. Older runs lack it."""

    def write(self, run: RunFolder) -> None:
        """Write `run.json`."""
        told = {name: value for name, value in dataclasses.asdict(self).items() if value or name != DECLARED}
        run.write_json(RUN_FILE, {**told, "versions": package_versions()}, is_lasting=True)


def resolve_settings(
    pipeline: Sequence[Stage],
    options: AnnotateOptions,
    tools: Mapping[str, Tool],
    model_fingerprint: str,
    max_text_tokens: int,
    proposer_fingerprint: str = "",
) -> RunSettings:
    """The settings of a run and the fingerprints of its stages. Longer texts than `max_text_tokens` are cut."""
    per_tool = {key: _teaching(tool, options) | plain_own_options(tool) for key, tool in tools.items()}
    settings = {
        **plain_options(options.ingest),
        "model": options.model.model,
        "dtype": options.model.dtype,
        "tools": list(options.tools.keys),
        **plain_options(options.propose),
        **plain_options(options.proposer, leaving_out=CHANGES_NO_ROW),
        **filter_options(options),
        **{f"{key}.{name}": value for key, named in per_tool.items() for name, value in named.items()},
    }
    inputs = RunInputs(
        options=options,
        tools=tools,
        tool_data={key: full_data_version(tool) for key, tool in tools.items()},
        model_fingerprint=model_fingerprint,
        max_text_tokens=max_text_tokens,
        proposer_fingerprint=proposer_fingerprint,
    )
    by_tool = fingerprint_tools(pipeline, inputs)
    return RunSettings(
        settings=settings,
        model_fingerprint=model_fingerprint,
        tool_data=inputs.tool_data,
        stage_fingerprints=fingerprint_stages(pipeline, inputs, by_tool),
        tool_fingerprints=by_tool,
        declared_tools={key: declare(tools[key], one.place) for key, one in options.tools.brought.items()},
        proposer_fingerprint=proposer_fingerprint,
    )


def open_run(location: str) -> RunFolder:
    """The run folder of a run that was begun. Raises UnusableError if there is none."""
    run = RunFolder(location)
    if not isinstance(run.read_json(RUN_FILE), dict):
        raise UnusableError(
            f"no run folder in {without_keys(location)}: it has no {RUN_FILE}; `toolformer annotate` makes one"
        )
    return run


def check_settings(run: RunFolder, now: RunSettings, *, may_change: bool) -> Sequence[str]:
    """Compare the settings with those that the folder's shards were made with; returns the differences in words.

    Raises OtherSettingsError if they do and may not.
    """
    before = run.read_json(RUN_FILE)
    if before is None or not run.shards(Document.table):
        return []
    later = {DECLARED, "proposer_fingerprint"}
    if not isinstance(before, dict) or not before.keys() >= vars(now).keys() - later:
        raise OtherSettingsError(f"{run.shown}/{RUN_FILE} is not of a run of this program; use another `run`")
    differences = list(_differences(before, now))
    if differences and not may_change:
        raise OtherSettingsError(
            f"{run.shown} was made with other settings: {'; '.join(differences)}. Use another `run`, the old values, "
            "or `change_settings` to have all that depends on them made again"
        )
    return differences


def read_tool_names(run: RunFolder) -> list[str]:
    """The tools of a run by their names in calls. Raises UnusableError if `run.json` does not have them."""
    made_with = run.read_json(RUN_FILE)
    settings = made_with.get("settings") if isinstance(made_with, dict) else None
    keys = settings.get("tools") if isinstance(settings, dict) else None
    if not isinstance(keys, list):
        raise UnusableError(f"{run.shown}/{RUN_FILE} does not say with which tools the run was made")
    known = tools_known_to(made_with)
    if gone := [str(key) for key in keys if key not in known]:
        raise UnusableError(f"{run.shown} was made with tools that are not here: {', '.join(gone)}")
    return [known[key].name for key in keys]


def _teaching(tool: Tool, options: AnnotateOptions) -> dict[str, Any]:
    """How a tool is taught; of demonstrations that are the user's own not where they are, but what they say."""
    own = {"demonstrations": fingerprint(tool.instruction, tool.demonstrations)} if tool.teaching.demonstrations else {}
    return plain_teaching(tool, options) | own


def _differences(before: Mapping[str, Any], now: RunSettings) -> Iterator[str]:
    old, new = before["settings"], now.settings
    for name in dict.fromkeys([*new, *old]):
        # The files of the corpus count, not the locations: see workflow.corpus. A server may move; its model counts.
        if name in ("corpus", "proposer-url"):
            continue
        # The files of a model count, not their location: the folder may have been moved.
        if name in MODELS and before.get(f"{name}_fingerprint", "") == getattr(now, f"{name}_fingerprint"):
            continue
        if _is_only_moved(name, before["tool_data"], now):
            continue
        if old.get(name) != new.get(name):
            yield f"`{name.replace('-', '_')}` was {_shown(old.get(name))} and is {_shown(new.get(name))}"
        elif name in MODELS:
            yield f"the files of `{name}` {new[name]} have changed"
    for key, data in now.tool_data.items():
        if before["tool_data"].get(key, data) != data:
            yield f"the {'file or the ' if key in now.declared_tools else ''}data behind the tool {key} has changed"


def _is_only_moved(name: str, old_data: Mapping[str, str], now: RunSettings) -> bool:
    """Whether an option is the location of a tool's data, and the data are the same as before."""
    key, _, option = name.partition(".")
    data = now.tool_data
    if not data.get(key) or old_data.get(key) != data[key]:
        return False
    # After `+` comes the hash of the files of a model folder: see tools.tool.full_data_version.
    tool = tools_known_to({DECLARED: now.declared_tools})[key]
    return option in tool.locates_data or (option == "model" and "+" in data[key])


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def package_versions() -> dict[str, str]:
    """The versions of Python and of what decides a run's numbers."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
