"""Fingerprints: equal values, equal names; whatever has no canonical form is refused."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import pytest

from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint, fingerprint_files


@dataclass(frozen=True)
class Options:
    num: int
    day: datetime.date


def test_equal_values_have_equal_fingerprints_and_others_differ() -> None:
    first = fingerprint({"a": 1, "b": Options(2, datetime.date(2020, 1, 2))}, ("x",))
    assert first == fingerprint({"b": Options(2, datetime.date(2020, 1, 2)), "a": 1}, ["x"])
    assert first != fingerprint({"a": 1, "b": Options(3, datetime.date(2020, 1, 2))}, ("x",))
    assert len(first) == 32


def test_values_do_not_run_into_each_other() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(["a"], "b") != fingerprint("a", ["b"])


def test_what_could_differ_from_run_to_run_is_refused() -> None:
    with pytest.raises(TypeError, match="has no fingerprint: it is a object"):
        fingerprint(object())


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer.model", "a.spm"])
def test_every_file_that_decides_a_model_s_answers_counts_and_others_do_not(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint_files(tmp_path, MODEL_FILES)
    (tmp_path / "README.md").write_text("a model")
    assert fingerprint_files(tmp_path, MODEL_FILES) == before
    (tmp_path / name).write_text("x")
    with_file = fingerprint_files(tmp_path, MODEL_FILES)
    (tmp_path / name).write_text("y")
    assert len({before, with_file, fingerprint_files(tmp_path, MODEL_FILES)}) == 3
