"""The state of the corpus, `ingest.json`: which files it has, the order in which they are read, and the shards made of
it.

A run that is resumed does not read its corpus again if it was read to the end and all files have their sizes and times;
a data set is known by its name alone. If only times differ, the corpus is read again, and equal shards stay as they
are. Added files are read after all others and begin a shard of their own, so earlier shards stay too. Files with other
sizes, or missing files, would cost rows, so the run is refused: the first unless settings may change, the second unless
`forget_missing_files` is given, since a folder that is not mounted looks just like files that are gone.

A file is the same however its path is spelled, relative or absolute. Its name, which ids of texts contain, stays the
one under which the run met it first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from toolformer_ray.annotate.corpus import find_corpus, place_of
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.log import say, warn

INGEST_FILE = "ingest.json"
MAX_NAMED = 10
"""Files named in one message."""


@dataclass(frozen=True, kw_only=True)
class CorpusState:
    """The corpus as it was found."""

    fingerprint: str
    """The fingerprint of the ingest stage."""
    files: Sequence[Sequence[Any]]
    """[name, bytes, time of the last change in nanoseconds since 1970] of each; None for both numbers of a data set."""
    shards: Mapping[str, str]
    """The fingerprint of each shard of documents; empty until the corpus has been read to its end."""
    readings: Sequence[Sequence[str]] = field(default_factory=list)
    """Groups of names of files that were found together, in reading order; each group begins a shard."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where each file is, by its name; empty if an older version wrote this."""

    def groups(self) -> list[dict[str, str]]:
        """The readings as names by places, which is how they are read."""
        return [{self.place(name): name for name in names} for names in self.readings]

    def place(self, name: str) -> str:
        """Where the file of this name is."""
        return self.places.get(name) or place_of(name)

    def write(self, run: RunFolder) -> None:
        """Write `ingest.json`."""
        run.write_json(INGEST_FILE, asdict(self), is_lasting=True)


def look_at_corpus(locations: Sequence[str], fingerprint: str) -> CorpusState:
    """The state of a corpus that has not been read yet. Raises ValueError if a location is missing."""
    files, places = [], {}
    corpus = find_corpus(locations)
    for source in corpus.sources:
        if filesystem := getattr(source, "filesystem", None):
            info = filesystem.get_file_info(source.path)  # type: ignore[attr-defined]
            files.append([source.name, info.size, info.mtime_ns])
        else:
            files.append([source.name, None, None])
        places[source.name] = source.place
    if corpus.left_out:
        told = f"{len(corpus.left_out):,} files of the corpus are not read, as their kind is not known"
        say("files_left_out", f"{told}: {_listed(corpus.left_out)}", files=len(corpus.left_out))
    return CorpusState(fingerprint=fingerprint, files=files, shards={}, places=places)


def read_state(run: RunFolder, fingerprint: str) -> CorpusState | None:
    """The state in `ingest.json`; None if there is none, or one of an ingest stage with other settings."""
    state = _read_any_state(run)
    return state if state and state.fingerprint == fingerprint else None


def settle_corpus(run: RunFolder, now: CorpusState, *, may_change: bool, may_forget: bool) -> CorpusState:
    """Compare the corpus `now` with the one of `ingest.json`, and write the new state there and return it.

    It has the reading order, and shards if nothing has to be read. Raises UnusableError if files are missing and may
    not be forgotten, or have other sizes and may not change.
    """
    before = _read_any_state(run)
    if before:
        settled = _settle(run, _named_as(before, now), before, may_change=may_change, may_forget=may_forget)
    else:
        settled = _afresh(now)
    settled.write(run)
    return settled


def _settle(
    run: RunFolder, now: CorpusState, before: CorpusState, *, may_change: bool, may_forget: bool
) -> CorpusState:
    old, new = ({name: (size, changed) for name, size, changed in state.files} for state in (before, now))
    gone = [name for name in old if name not in new]
    others = [name for name in old if name in new and new[name][0] != old[name][0]]
    if gone and not may_forget:
        raise UnusableError(
            f"the corpus has lost {len(gone):,} files since {run.shown} was made: {_listed(gone)}; put them back, "
            f"use another `run`, or give `forget_missing_files` to remove all that came of them"
        )
    resized = [f"{name} had {old[name][0] or 0:,} bytes and now has {new[name][0] or 0:,}" for name in others]
    is_read_alike = before.fingerprint == now.fingerprint
    if resized and is_read_alike and not may_change:
        raise UnusableError(
            f"the corpus has changed since {run.shown} was made: {_listed(resized)}; use another `run`, put the old "
            "files back, or give `change_settings` to read the corpus anew"
        )
    if gone or resized:
        told = [f"{name} is gone" for name in gone] + resized
        warn("corpus_read_anew", f"the corpus is read anew, what came of old files is removed: {_listed(told)}")
    if gone or resized or not is_read_alike:
        return _afresh(now)
    names = list(new)
    if added := [name for name in names if name not in old]:
        more = f"the corpus has {len(added):,} files more than before; they are added to {run.shown}"
        say("corpus_has_grown", more, files=len(added))
        return replace(now, readings=[*before.readings, added], shards={})
    return replace(now, readings=before.readings, shards=before.shards if old == new else {})


def _afresh(now: CorpusState) -> CorpusState:
    return replace(now, readings=[[name for name, _, _ in now.files]], shards={})


def _read_any_state(run: RunFolder) -> CorpusState | None:
    read = run.read_json(INGEST_FILE)
    if not isinstance(read, dict) or "readings" not in read:
        return None
    try:
        return CorpusState(**read)
    except TypeError as error:
        raise UnusableError(
            f"{run.shown}/{INGEST_FILE} was written by another version; delete it: the corpus is then read again, and "
            "equal shards stay"
        ) from error


def _named_as(before: CorpusState, now: CorpusState) -> CorpusState:
    """The corpus now, with each file that was there before under the name that it had."""
    here = {name for name, *_ in now.files}
    known = {name for name, *_ in before.files}
    old_names = {before.place(name): name for name in known - here}
    names = {name: name if name in known else old_names.get(now.place(name), name) for name in here}
    files = [[names[name], *rest] for name, *rest in now.files]
    return replace(now, files=files, places={names[name]: now.place(name) for name in names})


def _listed(entries: Sequence[str]) -> str:
    more = f" and {len(entries) - MAX_NAMED:,} more" if len(entries) > MAX_NAMED else ""
    return ", ".join(entries[:MAX_NAMED]) + more
