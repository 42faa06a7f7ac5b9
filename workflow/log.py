"""The log of a run on stderr: lines for people or, with `log_format` json, one JSON object a line for machines.

An object has `time` (UTC, ISO 8601), `level`, `event`, the fields of the event such as `stage`, `shard`, `attempt` and
`error`, and `message` if the event is also shown to people. In this form every line of the driver's process is an
object, including warnings of libraries. Failed attempts and shards that were given up are logged as they happen, and
progress every `log_every` seconds. Workers log to files on their own machines, which Ray keeps.
"""

import datetime
import json
import logging
import sys
import traceback
from dataclasses import dataclass

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.locations import without_keys

FORMATS = ("text", "json")
LOGGER = logging.getLogger("toolformer")


@dataclass(frozen=True, kw_only=True)
class ProgressOptions:
    """How and how often a run reports its progress."""

    log_every: float = 30.0
    """Seconds between two lines where the output is not a terminal, such as the log of a job."""
    quiet: bool = False
    """Whether the first kept calls are left unsaid."""
    log_format: str = "text"
    """What a run writes to stderr: text for people, json for one JSON object a line."""

    def __post_init__(self) -> None:
        if self.log_format not in FORMATS:
            raise OptionError("log_format", self.log_format, f"it must be {' or '.join(FORMATS)}")
        if self.log_every <= 0:
            raise OptionError("log_every", self.log_every, "it must be more than 0 seconds")


def set_format(name: str) -> None:
    """Write everything that this process logs from now on as text or as JSON."""
    is_json = name == "json"
    _HANDLER.setFormatter(JsonFormatter() if is_json else logging.Formatter("%(message)s"))
    _HANDLER.is_for_people = not is_json
    LOGGER.handlers, LOGGER.propagate = [_HANDLER], False
    LOGGER.setLevel(logging.INFO)
    root = logging.getLogger()
    root.removeHandler(_HANDLER)
    if is_json:
        root.addHandler(_HANDLER)
    logging.captureWarnings(is_json)


def is_for_people() -> bool:
    """Whether the log is for people."""
    return _HANDLER.is_for_people


def say(event: str, message: str = "", /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event. An event without a message is only for machines."""
    LOGGER.log(level, message, extra={"event": event, "fields": fields})


def warn(event: str, message: str = "", /, **fields: object) -> None:
    """Log an event that somebody should look at."""
    say(event, message, level=logging.WARNING, **fields)


class JsonFormatter(logging.Formatter):
    """Formats any record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON. The event of a record that is not from `say` is the name of its logger."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        told: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
        }
        if message := record.getMessage():
            told["message"] = message
        told |= getattr(record, "fields", {})
        if record.exc_info:
            told["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return without_keys(json.dumps(told, ensure_ascii=False, default=str))


class _StderrHandler(logging.Handler):
    """Writes to the current sys.stderr, which tests replace."""

    is_for_people = True

    def emit(self, record: logging.LogRecord) -> None:
        if self.is_for_people and not record.getMessage():
            return
        print(self.format(record), file=sys.stderr, flush=True)


_HANDLER = _StderrHandler()
set_format("text")
