"""Progress of a run: a line that is redrawn on a terminal, or a line now and then in a log.

The driver writes the same numbers to `progress.json` in the run folder every few seconds, for `toolformer status`.
"""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TextIO

from toolformer_ray.records.counts import Count, write_counts
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.log import ProgressOptions, is_for_people, say

PROGRESS_FILE = "progress.json"
SECONDS_BETWEEN_REDRAWS = 0.5
SECONDS_BETWEEN_SAVES = 5.0
MAX_FAILURES_NAMED = 20
PROPOSING = 0.7
"""About the share of a text's time in the model that goes to proposing calls, the rest to the losses of the filter."""
NOT_LOGGED = ("updated", "counts", "failures")
"""Fields of a snapshot that a line of the log leaves out: it has a time of its own, and the rest is in
progress.json."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The progress of a run at one moment."""

    state: str
    """`starting` (there is no worker yet), `running`, `finished`, `stopped` or `failed`."""
    updated: float
    """The time of the snapshot, in seconds since 1970."""
    texts: int
    """Texts that were read from the corpus so far."""
    finished_texts: int
    """Texts that have passed all stages."""
    is_ingesting: bool
    """Whether the corpus has not been read to its end."""
    texts_per_second: float
    """Since this run began; 0 until the first text has passed all stages."""
    seconds_left: float | None
    """None while this cannot be estimated."""
    in_flight: Mapping[str, int]
    """Shards that workers are doing, per stage."""
    opening: Sequence[str]
    """The kinds of workers that are needed and of which none has started yet."""
    failed_shards: int
    calls: Mapping[str, int]
    """Distinct calls so far, per tool."""
    kept: Mapping[str, int]
    """Calls kept so far, per tool."""
    seconds_worked: float = 0.0
    """For how long drivers have worked at the run, this one and those before it."""
    shards: int = 0
    """Shards that were made of the corpus so far."""
    done: Mapping[str, int] = field(default_factory=dict)
    """Shards done, per stage."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """Shards that failed in this run, per stage."""
    failures: Sequence[str] = ()
    """The first MAX_FAILURES_NAMED of them, as `<stage>/<shard>`."""
    tried_again: Mapping[str, int] = field(default_factory=dict)
    """Failed attempts of this run that were repeated, per stage."""
    in_hand: Mapping[str, int] = field(default_factory=dict)
    """What the model has answered of the shards that it is at, such as `samples`."""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The counts of all done shards, per stage (`records.counts.write_counts`)."""


def take_snapshot(
    ledger: Ledger,
    *,
    state: str,
    seconds: float,
    tools: Sequence[str],
    is_ingesting: bool,
    seconds_worked: float = 0.0,
    in_flight: Mapping[str, int] = MappingProxyType({}),
    opening: Sequence[str] = (),
    in_hand: Mapping[str, int] = MappingProxyType({}),
) -> Snapshot:
    """The progress of a run after so many seconds.

    Until the first text has passed all stages, the time left is a first guess: by the prompts that were read, of which
    a text has one for each tool, as if proposing were PROPOSING of the work.
    """
    rate = ledger.num_new_texts / seconds if seconds > 0 else 0.0
    guessed = rate or PROPOSING * in_hand.get("prompts", 0) / max(1, len(tools)) / max(seconds, 1e-9)
    open_texts = ledger.num_texts - ledger.num_finished_texts
    return Snapshot(
        state=state,
        updated=time.time(),
        texts=ledger.num_texts,
        finished_texts=ledger.num_finished_texts,
        is_ingesting=is_ingesting,
        texts_per_second=rate,
        seconds_left=open_texts / guessed if guessed and not is_ingesting else None,
        in_flight=dict(in_flight),
        in_hand=dict(in_hand),
        opening=list(opening),
        failed_shards=ledger.num_failed,
        seconds_worked=seconds_worked,
        calls={tool: ledger.total(Count("calls", tool=tool)) for tool in tools},
        kept={tool: ledger.total(Count("kept", tool=tool)) for tool in tools},
        shards=len(ledger.documents),
        done={stage: len(shards) for stage, shards in ledger.done.items()},
        failed={stage: len(shards) for stage, shards in ledger.failed.items()},
        failures=[f"{stage}/{shard}" for stage, shards in ledger.failed.items() for shard in sorted(shards)][
            :MAX_FAILURES_NAMED
        ],
        tried_again=dict(ledger.tried_again),
        counts={stage: write_counts(counts) for stage, counts in ledger.counts.items()},
    )


def seconds_worked_before(run: RunFolder) -> float:
    """For how long drivers have worked at a run, by the last report of them; 0 if none is there."""
    try:
        progress = run.read_json(PROGRESS_FILE)
    except (OSError, ValueError):
        return 0.0
    seconds = progress.get("seconds_worked") if isinstance(progress, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def describe(snapshot: Snapshot) -> str:
    """One line: texts done, speed, time left, yield so far."""
    parts = ["no text yet"]
    if snapshot.texts:
        lower_bound = "at least " if snapshot.is_ingesting else ""
        parts = [f"{snapshot.finished_texts:,} of {lower_bound}{snapshot.texts:,} texts"]
    if snapshot.texts_per_second:
        parts.append(f"{snapshot.texts_per_second:.1f} texts/s")
    if snapshot.seconds_left is not None:
        parts.append(f"{describe_seconds(snapshot.seconds_left)} left")
    if kept := [f"{tool} {snapshot.kept[tool]:,}/{number:,}" for tool, number in snapshot.calls.items() if number]:
        parts.append(f"kept of calls: {', '.join(kept)}")
    if snapshot.failed_shards:
        parts.append(f"failed shards: {snapshot.failed_shards:,}")
    if snapshot.in_hand and not snapshot.finished_texts:
        parts.append(", ".join(f"{number:,} {what}" for what, number in snapshot.in_hand.items()))
    if busy := [f"{stage} {number}" for stage, number in snapshot.in_flight.items() if number]:
        parts.append(f"now: {', '.join(busy)}")
    if snapshot.opening:
        parts.append(f"opening: {', '.join(snapshot.opening)}")
    return "; ".join(parts)


def describe_seconds(seconds: float) -> str:
    """`3 s`, `4 min 5 s`, `2 h 3 min`, `5 d 6 h`."""
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left = round(seconds)
    parts: list[str] = []
    for unit, size in units:
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


class ProgressLine:
    """Shows snapshots on a stream: redrawn in place on a terminal, else a line of its own when one is due."""

    def __init__(self, options: ProgressOptions, stream: TextIO = sys.stderr) -> None:
        self._options, self._stream = options, stream
        self._is_live = stream.isatty() and is_for_people()
        self._next_line = time.monotonic() + options.log_every

    def show(self, snapshot: Snapshot) -> None:
        """Show where the run stands, if it is time."""
        if self._is_live:
            self._stream.write(f"\r\x1b[K{describe(snapshot)[: shutil.get_terminal_size().columns - 1]}")
            self._stream.flush()
        elif time.monotonic() >= self._next_line:
            self._next_line += self._options.log_every
            if is_for_people():
                print(describe(snapshot), file=self._stream, flush=True)
            else:
                say("progress", **{name: value for name, value in asdict(snapshot).items() if name not in NOT_LOGGED})

    def tell(self, message: str) -> None:
        """Print a line for people above the one that is redrawn."""
        if is_for_people():
            cleared = "\r\x1b[K" if self._is_live else ""
            width = shutil.get_terminal_size().columns if self._is_live else None
            print(f"{cleared}{message[:width]}", file=self._stream, flush=True)

    def close(self) -> None:
        """Clear the line of a terminal for what is printed next."""
        if self._is_live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
