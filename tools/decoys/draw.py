"""Draws by hashing names, so that what is drawn depends on them alone and not on the order of drawing."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator

TRIES_PER_DECOY = 20
"""So many decoys are made for each that is asked for, until enough of them are distinct."""


def draw(below: int, *names: object) -> int:
    """A whole number from 0 to `below` - 1, a function of the names."""
    named = "\0".join(map(str, names)).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big") % below


def distinct(result: str, made: Iterable[str], num_decoys: int) -> list[str]:
    """The first decoys that say neither what the result says nor what one before them says, nor a part of it."""
    chosen: dict[str, str] = {}
    own = _plain(result)
    for decoy in itertools.islice(made, TRIES_PER_DECOY * num_decoys):
        said = _plain(decoy)
        if said and said not in own and own not in said:
            chosen.setdefault(said, decoy)
        if len(chosen) == num_decoys:
            break
    return [*chosen.values()]


def numbered(key: str) -> Iterator[str]:
    """A key for each decoy of a call: the key of the call with a number behind it."""
    return (f"{key}\0{number}" for number in itertools.count())


def _plain(answer: str) -> str:
    return " ".join(answer.casefold().split())
