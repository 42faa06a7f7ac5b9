"""Whether the corpus was read to its end, and is still what it was: `ingest.json`.

A run that is resumed does not read its corpus again if it was read to the end and every file has its size and time of
change (a data set by name: always). If only times differ it is read again, and equal shards stay as they are. If a
size differs the run is refused, since rows of texts that are gone would be lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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


def shards_already_read(run: RunFolder, now: CorpusState) -> Mapping[str, str]:
    """The shards that the corpus gave, if it was read to its end and is the same; else none, and it has to be read.

    Raises ValueError if the corpus has changed since.
    """
    read = run.read_json(INGEST_FILE)
    if not isinstance(read, dict) or read["fingerprint"] != now.fingerprint:
        return {}
    before = {name: (size, changed) for name, size, changed in read["files"]}
    after = {name: (size, changed) for name, size, changed in now.files}
    for name in dict.fromkeys([*before, *after]):
        old_size, size = before.get(name, (0, 0))[0], after.get(name, (0, 0))[0]
        if old_size != size or (name in before) != (name in after):
            raise ValueError(
                f"the corpus has changed since {run.shown} was made: {name} had {old_size:,} bytes and now has "
                f"{size:,}; use another --run, or put the old file back"
            )
    return read["shards"] if before == after else {}
