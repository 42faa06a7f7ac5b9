"""A table's headers are kept in one file, and no entry of it survives a change of its shard."""

import os
import time
from pathlib import Path

import pytest

from tests.support.small_run import SHARD, write, write_small_run
from toolformer_ray.records import run_folder
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Dropped

TABLE = "dropped/propose"
BOOK = "headers/dropped-propose.book"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of which one table has a shard from a minute ago and one from now, and a book."""
    monkeypatch.setattr(run_folder, "FOOTERS_WORTH_KEEPING", 1)
    run = write_small_run(str(tmp_path))
    write(run, TABLE, Dropped, [], shard="part-00001")
    age(tmp_path / TABLE / f"{SHARD}.parquet")
    run.headers(TABLE, keep=True)
    return run


def age(path: Path, seconds: float = 60.0) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def opened(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards whose footers are read when the headers are asked for."""
    names, read = [], RunFolder._read_header

    def note(folder: RunFolder, path: str) -> object:
        names.append(Path(path).stem)
        return read(folder, path)

    monkeypatch.setattr(RunFolder, "_read_header", note)
    run.headers(TABLE)
    return names


def test_what_is_in_the_book_is_not_read_again_and_is_the_same(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = run.headers(TABLE)
    assert opened(run, monkeypatch) == ["part-00001"]  # too young to be in the book
    run.delete(BOOK)
    assert run.headers(TABLE) == kept
    assert list(kept.by_shard) == [SHARD, "part-00001"]


def test_a_shard_that_was_replaced_is_read_again(run: RunFolder, tmp_path: Path) -> None:
    write(run, TABLE, Dropped, [])
    assert run.headers(TABLE).by_shard[SHARD].num_rows == 0


def test_a_shard_that_was_replaced_by_an_older_file_of_its_size_is_read_again(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(tmp_path / TABLE / f"{SHARD}.parquet", seconds=3600.0)
    assert SHARD in opened(run, monkeypatch)


def test_a_shard_that_was_cut_short_counts_as_damaged_and_one_that_is_gone_as_gone(
    run: RunFolder, tmp_path: Path
) -> None:
    path = tmp_path / TABLE / f"{SHARD}.parquet"
    stamp = path.stat()
    path.write_bytes(path.read_bytes()[:-20])
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert run.headers(TABLE).damaged == [str(path)]
    path.unlink()
    assert list(run.headers(TABLE).by_shard) == ["part-00001"]


@pytest.mark.parametrize("where", [0, 40, -30])
def test_a_damaged_book_counts_as_none(run: RunFolder, tmp_path: Path, where: int) -> None:
    kept, content = run.headers(TABLE), bytearray((tmp_path / BOOK).read_bytes())
    content[where] ^= 0xFF
    (tmp_path / BOOK).write_bytes(content)
    assert run.headers(TABLE) == kept
    (tmp_path / BOOK).write_bytes(content[:100])
    assert run.headers(TABLE) == kept


def test_who_only_looks_writes_no_book_nor_does_a_small_table(tmp_path: Path) -> None:
    run = write_small_run(str(tmp_path))
    run.headers(TABLE)
    run.headers(TABLE, keep=True)
    assert not (tmp_path / "headers").exists()
