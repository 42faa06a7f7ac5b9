"""Errors of options as objects: they cross processes, and name the path to a nested record's field."""

import pickle

import pytest

from toolformer_ray.records.errors import OptionError, in_record


def test_an_error_that_a_worker_sends_is_the_same_object_in_the_driver() -> None:
    sent = pickle.loads(pickle.dumps(OptionError("shard_size", 0, "it must be at least 1 text")))  # noqa: S301 - ours
    assert (sent.field, sent.value, sent.remedy) == ("shard_size", 0, "it must be at least 1 text")
    assert str(sent) == "shard_size is 0; it must be at least 1 text"


def test_an_error_in_a_nested_record_names_the_path_to_its_field() -> None:
    with pytest.raises(OptionError, match="qa.timeout is 0; it must be more than 0 seconds"), in_record("qa"):
        raise OptionError("timeout", 0, "it must be more than 0 seconds")
