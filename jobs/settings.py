"""Which settings a run was made with, and whether they are still the same (`run.json`).

Settings are what decides the rows. How the work is spread (workers, threads, batches, addresses, the device) is not
among them, so a run may be resumed on another machine.
"""

import dataclasses
import importlib.metadata
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.options import AnnotateOptions
from jobs.pipeline import PIPELINE
from records.fingerprint import fingerprint
from records.locations import without_keys
from records.run_folder import RunFolder
from tools.catalog import find_tools
from tools.tool import CHANGE_NO_ANSWER, Tool, full_data_version

RUN_FILE = "run.json"
PACKAGES = ("toolformer-ray", "ray", "torch", "transformers", "pyarrow")
_SECRET = re.compile(r"(^|_)(key|token|secret|password)$")


class OtherSettingsError(ValueError):
    """The run folder was made with other settings; the message is one line that names them and what to do."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What decides the rows of a run."""

    settings: Mapping[str, Any]
    """Options by the name that they have on the command line, without the dashes; no secrets."""
    model_fingerprint: str
    """Of the model's configuration, weights and tokenizer."""
    tool_data: Mapping[str, str]
    """Per tool, what identifies the data behind its answers, such as an index; empty if there is none."""
    stage_fingerprints: Mapping[str, str]
    """Per stage, of the settings and the code that decide its rows."""

    def write(self, run: RunFolder) -> None:
        """Write `run.json`."""
        run.write_json(RUN_FILE, {**dataclasses.asdict(self), "versions": _versions()})


def resolve_settings(options: AnnotateOptions, tools: Mapping[str, Tool], model_fingerprint: str) -> RunSettings:
    """The settings of a run and the fingerprints of its stages."""
    per_tool = {key: _plain_options(tool.options) for key, tool in tools.items()}
    settings = {
        **_plain_options(options.ingest),
        "model": options.model.model,
        "dtype": options.model.dtype,
        "tools": list(options.tools),
        **_plain_options(options.propose),
        **_screen(options),
        **{f"{key}.{name}": value for key, named in per_tool.items() for name, value in named.items()},
    }
    tool_data = {key: full_data_version(tool) for key, tool in tools.items()}
    return RunSettings(
        settings=settings,
        model_fingerprint=model_fingerprint,
        tool_data=tool_data,
        stage_fingerprints=_stage_fingerprints(options, tools, tool_data, (model_fingerprint, options.model.dtype)),
    )


def check_settings(run: RunFolder, now: RunSettings) -> None:
    """Raises OtherSettingsError if the folder holds shards that were made with other settings."""
    before = run.read_json(RUN_FILE)
    if before is None or not run.shards("documents"):
        return
    if not isinstance(before, dict) or not before.keys() >= vars(now).keys():
        raise OtherSettingsError(f"{run.shown}/{RUN_FILE} is not of a run of this program; use another --run")
    if differences := list(_differences(before, now)):
        raise OtherSettingsError(
            f"{run.shown} was made with other settings: {'; '.join(differences)}. "
            "Use another --run, or the old values to go on with this one"
        )


def read_tool_names(run: RunFolder) -> list[str]:
    """The tools of a run by the names that they have in calls. Raises ValueError if `run.json` does not tell."""
    made_with = run.read_json(RUN_FILE)
    settings = made_with.get("settings") if isinstance(made_with, dict) else None
    keys = settings.get("tools") if isinstance(settings, dict) else None
    if not isinstance(keys, list):
        raise ValueError(f"{run.shown}/{RUN_FILE} does not say with which tools the run was made")
    if gone := [str(key) for key in keys if key not in find_tools()]:
        raise ValueError(f"{run.shown} was made with tools that are not here: {', '.join(gone)}")
    return [find_tools()[key].name for key in keys]


def _differences(before: Mapping[str, Any], now: RunSettings) -> Iterator[str]:
    old, new = before["settings"], now.settings
    for name in dict.fromkeys([*new, *old]):
        # A model is what it answers, not where it lies: a folder may have been moved.
        if name == "model" and before["model_fingerprint"] == now.model_fingerprint:
            continue
        if old.get(name) != new.get(name):
            yield f"--{name} was {_shown(old.get(name))} and is {_shown(new.get(name))}"
        elif name == "model":
            yield f"the files of --model {new[name]} have changed"
    for key, data in now.tool_data.items():
        if before["tool_data"].get(key, data) != data:
            yield f"the data behind the tool {key} has changed"


def _stage_fingerprints(
    options: AnnotateOptions, tools: Mapping[str, Tool], tool_data: Mapping[str, str], model: tuple[str, str]
) -> Mapping[str, str]:
    taught = {key: (tool.name, tool.instruction, tuple(tool.demonstrations)) for key, tool in tools.items()}
    thresholds = {key: _plain_options(tool.options) for key, tool in tools.items()}
    answering = {key: (tool.name, tool.version, thresholds[key], tool_data[key]) for key, tool in tools.items()}
    made_from = {
        "ingest": (_plain_options(options.ingest), model[0], taught, options.propose.max_call_tokens),
        "propose": (_plain_options(options.propose), model, taught, thresholds),
        "execute": (answering,),
        "score": (options.propose.prune_below, _screen(options), model, thresholds),
        "interleave": (),
    }
    return {stage.name: fingerprint(stage.name, stage.version, *made_from[stage.name]) for stage in PIPELINE}


def _screen(options: AnnotateOptions) -> dict[str, Any]:
    """The options of the screen, where there is one: without it, they decide nothing."""
    return {} if options.screen.screen_margin is None else _plain_options(options.screen)


def _plain_options(options: Any) -> dict[str, Any]:
    """An options record by the names of the command line, without secrets and without what changes no row."""
    return {
        name.replace("_", "-"): _written(value)
        for name, value in vars(options).items()
        if name not in CHANGE_NO_ANSWER and not _SECRET.search(name)
    }


def _written(value: Any) -> Any:
    if isinstance(value, str):
        return without_keys(value)
    return [_written(entry) for entry in value] if isinstance(value, tuple | list) else value


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
