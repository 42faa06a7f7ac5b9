"""The first calls that a run keeps, one line each, as they are found."""

from collections.abc import Collection, Iterator, Mapping

from toolformer_ray.records.calls import render_call
from toolformer_ray.records.run_folder import DamagedError, RunFolder
from toolformer_ray.records.stages import Augmented, KeptCall
from toolformer_ray.records.storage import NOT_A_FILE
from toolformer_ray.workflow.shard.stage import Stage

CHARS_AROUND = 60


class KeptCalls:
    """Looks at what a stage writes, if that is C*, until so many calls were shown, at most one of a text."""

    def __init__(self, run: RunFolder, stage: Stage, num_shown: int) -> None:
        self._run, self._stage = run, stage
        self._num_left = num_shown if stage.writes is Augmented else 0
        self._seen: set[str] | None = None

    def found(self, done: Mapping[str, Collection[str]]) -> list[str]:
        """Calls in shards that were done since this was last asked; those of the first time were there before."""
        shards = set(done[self._stage.name]) if self._num_left else set()
        new = sorted(shards - self._seen) if self._seen is not None else []
        self._seen = shards
        lines: list[str] = []
        for shard in new:
            try:
                rows = self._run.read_shard(self._stage.table, shard, Augmented)
            except (DamagedError, *NOT_A_FILE):
                continue  # Whoever reads it for its work says so.
            lines += [line for row in rows for line in first_call(row)]
        lines = lines[: self._num_left]
        self._num_left -= len(lines)
        return lines


def first_call(row: Augmented) -> Iterator[str]:
    """The call of a text that lowers the loss most, in its text, on one line; none if the text has none."""
    if not row.calls:
        return
    best = max(range(len(row.calls)), key=lambda number: row.calls[number].loss_reduction)
    call = row.calls[best]
    shown = render_call(call.tool, call.call_input, call.result)
    # Calls before it have made the text longer.
    start = call.char_offset + sum(len(_rendered(earlier)) for earlier in row.calls[:best])
    before, after = row.text[max(0, start - CHARS_AROUND) : start], row.text[start + len(shown) :][:CHARS_AROUND]
    yield " ".join(f"kept: … {before}{shown}{after} …".split())


def _rendered(call: KeptCall) -> str:
    return render_call(call.tool, call.call_input, call.result)
