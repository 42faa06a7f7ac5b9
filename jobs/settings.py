"""Which settings a run was made with, and whether they are still the same (`run.json`).

Settings are what decides the rows. How the work is spread (workers, threads, batches, addresses, the device) is not
among them, so a run may be resumed on another machine.
"""

import dataclasses
import importlib.metadata
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobs.options import AnnotateOptions
from jobs.pipeline import PIPELINE
from records.fingerprint import fingerprint
from records.run_folder import RunFolder
from tools.tool import Tool

RUN_FILE = "run.json"
PACKAGES = ("toolformer-ray", "ray", "torch", "transformers", "pyarrow")
NO_SETTINGS = {"max_in_flight"}
"""Options of tools that change no row."""
_SECRET = re.compile(r"(^|_)(key|token|secret|password)$")
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


class OtherSettingsError(ValueError):
    """The run folder was made with other settings; the message is one line that names them and what to do."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What decides the rows of a run."""

    settings: Mapping[str, Any]
    """Options by the name that they have on the command line, without the dashes; no secrets."""
    model_fingerprint: str
    """Of the model's configuration, weights and tokenizer."""
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
        **{f"{key}.{name}": value for key, named in per_tool.items() for name, value in named.items()},
    }
    return RunSettings(
        settings=settings,
        model_fingerprint=model_fingerprint,
        stage_fingerprints=_stage_fingerprints(options, tools, (model_fingerprint, options.model.dtype)),
    )


def check_settings(run: RunFolder, now: RunSettings) -> bool:
    """Whether the folder holds a run already. Raises OtherSettingsError if that one was made with other settings."""
    before = run.read_json(RUN_FILE)
    if before is None:
        return False
    if not isinstance(before, dict) or "settings" not in before:
        raise OtherSettingsError(f"{run.location}/{RUN_FILE} is not of a run of this program; use another --run")
    differences = [
        _difference(name, before["settings"].get(name), now.settings.get(name))
        for name in sorted(before["settings"].keys() | now.settings.keys(), key=_order_of(now.settings))
        if before["settings"].get(name) != now.settings.get(name) and name != "model"
    ]
    if before["model_fingerprint"] != now.model_fingerprint:
        old_model, model = before["settings"]["model"], now.settings["model"]
        differences.insert(
            0, _difference("model", old_model, model) if old_model != model else f"the files of --model {model} changed"
        )
    if differences:
        raise OtherSettingsError(
            f"{run.location} was made with other settings: {'; '.join(differences)}. "
            "Use another --run, or the old values to go on with this one"
        )
    return True


def _stage_fingerprints(
    options: AnnotateOptions, tools: Mapping[str, Tool], model: tuple[str, str]
) -> Mapping[str, str]:
    taught = {key: (tool.name, tool.instruction, tuple(tool.demonstrations)) for key, tool in tools.items()}
    thresholds = {key: _plain_options(tool.options) for key, tool in tools.items()}
    answering = {key: (tool.name, tool.version, thresholds[key]) for key, tool in tools.items()}
    made_from = {
        "ingest": (_plain_options(options.ingest), model[0], taught, options.propose.max_call_tokens),
        "propose": (_plain_options(options.propose), model, taught, thresholds),
        "execute": (answering,),
        "score": (_plain_options(options.score), model, thresholds),
        "interleave": (),
    }
    return {stage.name: fingerprint(stage.name, stage.version, *made_from[stage.name]) for stage in PIPELINE}


def _plain_options(options: Any) -> dict[str, Any]:
    """An options record by the names of the command line, without secrets and without what changes no row."""
    return {
        name.replace("_", "-"): _plain_value(value)
        for name, value in vars(options).items()
        if name not in NO_SETTINGS and not _SECRET.search(name)
    }


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):
        return _CREDENTIALS.sub("//", value)
    return [_plain_value(entry) for entry in value] if isinstance(value, tuple | list) else value


def _difference(name: str, before: Any, now: Any) -> str:
    return f"--{name} was {_shown(before)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _order_of(settings: Mapping[str, Any]) -> Any:
    places = {name: place for place, name in enumerate(settings)}
    return lambda name: (places.get(name, len(places)), name)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
