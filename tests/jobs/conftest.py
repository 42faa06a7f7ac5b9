"""A model that writes calls, and texts for it, as the tests of whole runs need them."""

from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.calling_run import write_corpus


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts.jsonl")
