"""Fingerprints: equal values, equal names; whatever has no canonical form is refused."""

import datetime
from dataclasses import dataclass

import pytest

from records.fingerprint import fingerprint


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
