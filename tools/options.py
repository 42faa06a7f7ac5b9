"""The options of a tool, in three records, and errors that name them.

`Teaching` decides which calls annotation proposes and keeps; decoding does not read it. `Asking` decides no row and is
the same for annotation and decoding. A tool's own options (a table, an index, a model) are in the tool's file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.records.fingerprint import added_later


def _check_at_least(options: object, **lowest: int) -> None:
    for name, least in lowest.items():
        if getattr(options, name) < least:
            raise OptionError(name, getattr(options, name), f"it must be at least {least}")


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """How one tool is taught: the paper's thresholds (appendix A), and whose demonstrations are shown."""

    min_open_probability: float = 0.0
    """tau_s: a call may start only where the model gives its opening more than this probability."""
    max_places: int = 5
    """k: at most this many places per text, the most probable ones."""
    num_samples: int = 5
    """m: how many calls are sampled at each place."""
    min_loss_reduction: float = 1.0
    """tau_f, in nats: a call is kept if its result lowers the weighted loss by at least this much; with the filter
    paper."""
    min_contrast: float = 0.5
    """tau_d, in nats: a call is kept if its result lowers the weighted loss by at least this much more than other
    results do, where the text has so much to lose; with the filter decoys."""
    demonstrations: str | None = field(default=None, metadata=added_later(before=None))
    """Text file with demonstrations of your own: one a line, or between blank lines, with its calls and without their
    results. What comes first and holds no call is the instruction."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_open_probability < 1.0:
            raise OptionError("min_open_probability", self.min_open_probability, "it must be at least 0 and below 1")
        _check_at_least(self, max_places=1, num_samples=1)


IN_PAPER = Teaching(min_open_probability=0.05, max_places=5, num_samples=5, min_loss_reduction=1.0)
"""The paper's column `default`."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a worker asks a tool: its time limit, retries, rate limit and circuit breaker."""

    timeout: float = 10.0
    """Seconds after which a call without an answer times out."""
    max_in_flight: int = 8
    """How many calls one worker makes at a time."""
    max_calls_per_second: float | None = None
    """How many calls a second one worker makes at most; by default as many as the tool answers."""
    max_retries: int = 3
    """How often a call is repeated if the tool cannot be reached: after about 1 second, then 2, 4 and so on."""
    pause_after: int = 10
    """After so many calls in a row without an answer (unavailable or timeout) the tool is not asked for a while."""
    pause: float = 30.0
    """Seconds for which it is not asked: its calls are unavailable at once. Then one call tries whether it is back."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise OptionError("timeout", self.timeout, "it must be more than 0 seconds")
        if self.max_calls_per_second is not None and self.max_calls_per_second <= 0:
            raise OptionError("max_calls_per_second", self.max_calls_per_second, "it must be more than 0")
        _check_at_least(self, max_in_flight=1, max_retries=0, pause_after=1, pause=0)


@dataclass(frozen=True, kw_only=True)
class ToolOptions:
    """The base of records of a tool's own options; as it is, for a tool that has none."""


@contextmanager
def naming_option(option: str, value: str) -> Iterator[None]:
    """Turn an error in opening the file, index or model that an option names into an OptionError.

    `option` is the path of the field, such as `qa.table`.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AssertionError) as error:
        raise OptionError(option, value, one_line(error)) from error


def check_model_folder(model: str) -> None:
    """Raise ValueError for a missing folder, which Hugging Face would take for a name and look for online."""
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().is_dir():
        raise ValueError("there is no such folder")
