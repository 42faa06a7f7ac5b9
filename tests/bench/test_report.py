"""The page keeps what people wrote; the tables stand between their two comments."""

from pathlib import Path

import pytest

from bench.__main__ import _parser, _settings
from bench.report import write_page


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
