"""Answers on disk: a cache that many runs share, or a recording of one run from which it can be replayed.

    DIR/answers.json                                   marks the folder as a store of answers
    DIR/<tool>/<answer fingerprint>/<ab>/<cd...>.json  one call and its outcome, under the hash of the call

Each file is written under a temporary name and renamed, so any number of workers share a folder without a lock, on a
local disk, a network disk or `s3://`; a worker that is killed leaves at most a temporary file, which is never read. A
file that cannot be read, does not match its name or holds a result that is not clean counts as missing. Only JSON is
read. Nothing is ever deleted; another version of a tool has a folder of its own.

A cache holds only facts (`tools.asking.call.FACTS`), a recording failures too, so that a replay gives the same rows.
"""

import logging
import threading
from dataclasses import dataclass, fields
from typing import Any, Literal

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.errors import OptionError, UnusableError, one_line
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import STATUSES, is_note
from toolformer_ray.tools.asking.call import FACTS, Call, Outcome
from toolformer_ray.tools.tool import Tool, answer_fingerprint

Mode = Literal["cache", "record", "replay"]
MARKER = "answers.json"
FORMAT = 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """Where the answers of tools are kept between runs. Changes no row. At most one of the three can be given."""

    cache: str | None = None
    """Folder of answers that workers and runs share: known calls are not made again. Local, or s3://... or gs://..."""
    record: str | None = None
    """The same, but the outcome of every call is written down, failures too, so that the run can be replayed."""
    replay: str | None = None
    """Folder of a recording that answers all calls; no tool is asked. Calls that it lacks are unavailable."""

    def __post_init__(self) -> None:
        given = [f"`{field.name}`" for field in fields(self) if getattr(self, field.name) is not None]
        if len(given) > 1:
            raise UnusableError(f"{' and '.join(given)} were given; choose one of them")


class AnswerStore:
    """One folder of answers, used in one mode. Safe for threads, and for many processes on one folder."""

    def __init__(self, folder: RunFolder, mode: Mode) -> None:
        self._folder, self._mode = folder, mode
        self._prefixes: dict[str, str] = {}
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._error: OSError | ValueError | None = None

    @property
    def is_replayed(self) -> bool:
        """Whether no tool is asked at all."""
        return self._mode == "replay"

    def look_up(self, call: Call, tool: Tool) -> Outcome | None:
        """The known outcome of a call; None, except in a replay, if the tool has to be asked.

        Raises OSError if a recording cannot be read.
        """
        known = self._read(self._name(call, tool))
        if self.is_replayed:
            return known or self._not_recorded(call)
        return known if known and known.status in FACTS else None

    def keep(self, call: Call, tool: Tool, outcome: Outcome) -> None:
        """Write down the outcome of a call. Never raises; `check` tells whether it failed."""
        is_kept = outcome.status in FACTS or self._mode == "record"
        if not is_kept or not self.is_used_for(tool) or self._error is not None:
            return
        name = self._name(call, tool)
        entry = {
            "name": name,
            "call_input": call.call_input.encode("utf-8", "replace").decode(),
            "today": str(call.today) if call.today else None,
            "earlier": list(call.earlier),
            "status": outcome.status,
            "result": outcome.result,
            "note": outcome.note,
        }
        try:
            self._folder.write_json(name, entry)
        except (OSError, ValueError) as error:
            self._error = error
            self._say_once("full", f"answers cannot be kept: {error}")

    def check(self) -> None:
        """Raise OSError or ValueError if a call since the last check is missing in a recording; a cache may lack some.

        After an error nothing more is written until this is called.
        """
        error, self._error = self._error, None
        if error is not None and self._mode == "record":
            raise error

    def is_used_for(self, tool: Tool) -> bool:
        """Whether answers of this tool are kept. A cache leaves out tools that answer as fast as the cache would."""
        return self._mode != "cache" or not tool.answers_at_once

    def _name(self, call: Call, tool: Tool) -> str:
        with self._lock:  # the fingerprint of a large model or index takes seconds and is computed once
            if call.tool not in self._prefixes:
                self._prefixes[call.tool] = f"{tool.name}/{answer_fingerprint(tool)}"
        key = fingerprint(call.call_input, call.today, *([call.earlier] if call.earlier else []))
        return f"{self._prefixes[call.tool]}/{key[:2]}/{key[2:]}.json"

    def _read(self, name: str) -> Outcome | None:
        try:
            entry = self._folder.read_json(name)
        except ValueError:
            entry = {}
        except OSError as error:
            if self.is_replayed:
                raise
            self._say_once("unreadable", f"answers cannot be read, tools are asked instead: {error}")
            return None
        if entry is None:
            return None
        outcome = _parse(entry, name)
        if outcome is None:
            self._say_once("damaged", f"{name} is damaged and counts as missing")
        return outcome

    def _not_recorded(self, call: Call) -> Outcome:
        self._say_once(call.tool, f"the recording lacks calls of {call.tool}, such as {call.call_input[:80]!r}")
        return Outcome(status="unavailable", note="not_recorded", from_cache=False)

    def _say_once(self, topic: str, line: str) -> None:
        with self._lock:
            if topic in self._said:
                return
            self._said.add(topic)
        logger.warning("%s: %s", self._folder.shown, line)


def open_store(options: AnswerOptions) -> AnswerStore | None:
    """The store that the options ask for, if any. Raises OptionError if it cannot be used."""
    modes: tuple[Mode, ...] = ("cache", "record", "replay")
    mode = next((mode for mode in modes if getattr(options, mode) is not None), None)
    if mode is None:
        return None
    folder = RunFolder(str(getattr(options, mode)))
    try:
        if mode == "replay" and folder.read_json(MARKER) is None:
            raise UnusableError("it holds no recording; make one with `record`")
        if mode != "replay" and folder.read_json(MARKER) is None:
            folder.write_json(MARKER, {"format": FORMAT})
    except (OSError, ValueError) as error:
        raise OptionError(mode, folder.shown, one_line(error)) from error
    return AnswerStore(folder, mode)


def _parse(entry: Any, name: str) -> Outcome | None:
    """The outcome that a file holds; None if no store would have written the file like this."""
    if not isinstance(entry, dict) or entry.get("name") != name:
        return None
    status, result, note = (entry.get(column) for column in ("status", "result", "note"))
    if status not in STATUSES or not is_note(note) or not _is_result_of(status, result):
        return None
    return Outcome(status=status, result=result, note=note, from_cache=True)


def _is_result_of(status: str, result: object) -> bool:
    if status != "ok":
        return result is None
    return isinstance(result, str) and result != "" and clean_result(result) == result
