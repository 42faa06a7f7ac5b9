"""The page keeps what people wrote; the tables stand between their two comments."""

import weakref
from pathlib import Path

import pytest
import torch

from toolformer_ray.bench.__main__ import _parser, _settings, main
from toolformer_ray.bench.report import write_page


def test_the_tables_replace_what_stood_between_the_comments_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nBy hand.\n")
    write_page(page, "cpu", "first")
    write_page(page, "cuda", "card")
    page.write_text(page.read_text() + "\nMore by hand.\n")
    write_page(page, "cpu", "second")
    text = page.read_text()
    assert text.startswith("# Results\n\nBy hand.\n\n<!-- bench cpu")
    assert text.endswith("\nMore by hand.\n")
    assert "first" not in text
    assert text.index("second") < text.index("card")


def test_a_page_is_made_where_there_is_none(tmp_path: Path) -> None:
    write_page(tmp_path / "new/results.md", "cpu", "table")
    assert "table" in (tmp_path / "new/results.md").read_text()


def test_a_page_whose_end_comment_was_lost_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    write_page(page, "cpu", "table")
    damaged = page.read_text().replace("end of bench cpu", "")
    page.write_text(damaged)
    with pytest.raises(ValueError, match="without"):
        write_page(page, "cpu", "other")
    assert page.read_text() == damaged


def test_options_narrow_the_plan() -> None:
    def rows(*arguments: str) -> list[tuple[str, int, int]]:
        settings = _settings(_parser().parse_args(arguments), "cpu")
        return [(setting.model, setting.num_tokens, setting.num_texts) for setting in settings]

    assert rows("--model", "miniature") == [("miniature", 150, 8), ("miniature", 1000, 1)]
    assert rows("--model", "miniature", "--tokens", "1000", "--texts", "3") == [("miniature", 1000, 3)]
    assert rows("--tokens", "40", "--texts", "1") == [("miniature", 40, 1), ("gpt2-124m", 40, 1)]
    assert rows("--model", "llama-1b") == [("llama-1b", 150, 1)]


class Weights:
    """Of a model."""


def test_a_model_that_does_not_fit_is_out_of_memory_before_the_next_one_comes(monkeypatch, tmp_path, capsys) -> None:
    held: list[weakref.ref[Weights]] = []

    def fail(setting) -> None:
        assert [weights() for weights in held] == [None] * len(held)
        weights = Weights()
        held.append(weakref.ref(weights))
        # As models are, it is part of a cycle.
        weights.itself = weights
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("toolformer_ray.bench.__main__.compare", fail)
    arguments = ["--model", "miniature", "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "results.md")]
    assert main(arguments) == 1
    assert len(held) == 2
    assert capsys.readouterr().err.count("miniature does not fit this card and is left out") == 2
