"""Which files the corpus is read from, in which order, and what came of it: `ingest.json`.

A run that is resumed does not read its corpus again if it was read to the end and every file has its size and time of
change (a data set by name: always). If only times differ it is read again, and equal shards stay as they are. Files
that were added are read after all others and begin a shard of their own, so that earlier shards stay too. If a file is
gone or has another size the run is refused, since rows of texts that are gone would be lost.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from annotate.corpus import find_sources
from records.run_folder import RunFolder

INGEST_FILE = "ingest.json"


@dataclass(frozen=True, kw_only=True)
class CorpusState:
    """The corpus as it was found."""

    fingerprint: str
    """Of the ingest stage."""
    files: Sequence[Sequence[Any]]
    """[name, bytes, nanoseconds since 1970 of its last change]; a data set has None for both numbers."""
    shards: Mapping[str, str]
    """The fingerprint of each shard of documents; empty until the corpus was read to its end."""
    readings: Sequence[Sequence[str]] = field(default_factory=list)
    """Names of files that were found together, in the order in which they are read; each group begins a shard."""

    def write(self, run: RunFolder) -> None:
        """Write `ingest.json`."""
        run.write_json(INGEST_FILE, asdict(self))


def look_at_corpus(locations: Sequence[str], fingerprint: str) -> CorpusState:
    """The state of a corpus that is not read yet. Raises ValueError if a location is missing."""
    files = []
    for source in find_sources(locations):
        if filesystem := getattr(source, "filesystem", None):
            info = filesystem.get_file_info(source.path)  # type: ignore[attr-defined]
            files.append([source.name, info.size, info.mtime_ns])
        else:
            files.append([source.name, None, None])
    return CorpusState(fingerprint=fingerprint, files=files, shards={})


def read_state(run: RunFolder, fingerprint: str) -> CorpusState | None:
    """What `ingest.json` tells; None if it is not there or of an ingest stage with other settings."""
    read = run.read_json(INGEST_FILE)
    if not isinstance(read, dict) or read.get("fingerprint") != fingerprint or "readings" not in read:
        return None
    return CorpusState(**read)


def settle_corpus(run: RunFolder, now: CorpusState, *, may_change: bool) -> CorpusState:
    """The corpus with the order in which it is read, and its shards if they need not be read; written down.

    Raises ValueError if files are gone or have other sizes, and that may not be.
    """
    settled = _settle(run, now, read_state(run, now.fingerprint), may_change=may_change)
    settled.write(run)
    return settled


def _settle(run: RunFolder, now: CorpusState, before: CorpusState | None, *, may_change: bool) -> CorpusState:
    names = [name for name, _, _ in now.files]
    afresh = replace(now, readings=[names], shards={})
    if before is None:
        return afresh
    old, new = ({name: (size, changed) for name, size, changed in state.files} for state in (before, now))
    for name, (old_size, _) in old.items():
        size = new[name][0] if name in new else None
        if name in new and size == old_size:
            continue
        if may_change:
            return afresh
        told = f"now has {size:,}" if size is not None else "is gone"
        raise ValueError(
            f"the corpus has changed since {run.shown} was made: {name} had {old_size or 0:,} bytes and {told}; use "
            "another --run, put the old file back, or give --change-settings to read the corpus anew"
        )
    if added := [name for name in names if name not in old]:
        print(f"the corpus has {len(added):,} files more than before; they are added to {run.shown}", file=sys.stderr)
        return replace(now, readings=[*before.readings, added], shards={})
    return replace(now, readings=before.readings, shards=before.shards if old == new else {})
