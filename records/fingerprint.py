"""Hashes of values: equal values have equal fingerprints, on every machine and in every process."""

import dataclasses
import datetime
import hashlib
import json
import pathlib
from collections.abc import Iterable
from types import MappingProxyType

FINGERPRINT_DIGITS = 32
MODEL_FILES = (
    *("config.json", "generation_config.json", "adapter_config.json", "*.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "*.spm", "vocab.json", "vocab.txt", "merges.txt"),
)
"""The files of a Hugging Face model's folder that decide its answers: configuration, adapter, weights, tokenizer."""


def added_later(*, before: object, **more: object) -> MappingProxyType[str, object]:
    """`field(default=..., metadata=added_later(before=...))`: an option that older runs do not have.

    At the value `before` everything has to be as it was without the option, which is then left out of settings and
    fingerprints, so that older runs go on. `in_paper=VALUE` names the paper's value (`records.in_paper`).
    """
    return MappingProxyType({"before": before, **more})


def fingerprint(*values: object) -> str:
    """32 hex digits of the SHA-256 of the values as canonical JSON.

    Accepts what JSON does, and dataclasses, tuples, sets, dates and paths. Raises TypeError for anything else, since a
    general conversion such as `repr` may contain an address, which changes from run to run.

    >>> fingerprint({"k": 5, "m": 2}) == fingerprint({"m": 2, "k": 5})
    True
    """
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def fingerprint_files(folder: pathlib.Path, patterns: Iterable[str]) -> str:
    """The SHA-256, in hex, of the names and the content of those files of a folder that match a pattern."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def as_before(options: object) -> set[str]:
    """The fields of an options record that were added later and stand at the value that older runs had."""
    if not dataclasses.is_dataclass(options):
        return set()
    marked = [field for field in dataclasses.fields(options) if "before" in field.metadata]
    return {field.name for field in marked if getattr(options, field.name) == field.metadata["before"]}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, datetime.date | pathlib.PurePath):
        return str(value)
    raise TypeError(f"{value!r} has no fingerprint: it is a {type(value).__name__}")
