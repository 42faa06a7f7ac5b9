"""A corpus may grow: what is there is read as before, and what was added comes after it."""

from dataclasses import replace
from pathlib import Path

import pytest

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.corpus import CorpusState, look_at_corpus, settle_corpus

FIRST = CorpusState(fingerprint="f", files=[["a", 10, 1], ["b", 20, 1]], shards={})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose corpus was read to its end."""
    folder = RunFolder(str(tmp_path))
    replace(settle_corpus(folder, FIRST, may_change=False, may_forget=False), shards={"part-00000": "x"}).write(folder)
    return folder


def found(*files: list[object]) -> CorpusState:
    return replace(FIRST, files=files)


def test_a_corpus_that_is_the_same_is_not_read_again(run: RunFolder) -> None:
    settled = settle_corpus(run, FIRST, may_change=False, may_forget=False)
    assert (settled.shards, settled.readings) == ({"part-00000": "x"}, [["a", "b"]])


def test_one_that_was_only_touched_is_read_again_in_the_same_order(run: RunFolder) -> None:
    settled = settle_corpus(run, found(["a", 10, 7], ["b", 20, 1]), may_change=False, may_forget=False)
    assert (settled.shards, settled.readings) == ({}, [["a", "b"]])


def test_files_that_were_added_are_read_after_all_others(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    grown = settle_corpus(run, found(["a", 10, 1], ["aa", 5, 1], ["b", 20, 1]), may_change=False, may_forget=False)
    assert (grown.shards, grown.readings) == ({}, [["a", "b"], ["aa"]])
    assert capsys.readouterr().err == f"the corpus has 1 files more than before; they are added to {run.root}\n"
    # Also if the reading was cut short and more came in the meantime.
    again = settle_corpus(
        run, found(["0", 1, 1], ["a", 10, 1], ["aa", 5, 1], ["b", 20, 1]), may_change=False, may_forget=False
    )
    assert again.readings == [["a", "b"], ["aa"], ["0"]]


SMALLER = [["a", 10, 1]]
RESIZED = [["a", 10, 1], ["b", 1000, 1]]


def test_files_of_another_size_are_refused_unless_that_is_wanted(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="b had 20 bytes and now has 1,000; .* or give `change_settings`"):
        settle_corpus(run, found(*RESIZED), may_change=False, may_forget=True)
    assert settle_corpus(run, FIRST, may_change=False, may_forget=False).shards == {"part-00000": "x"}
    anew = settle_corpus(run, found(*RESIZED), may_change=True, may_forget=False)
    assert (anew.shards, anew.readings) == ({}, [["a", "b"]])
    assert "is read anew, what came of old files is removed: b had 20 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("fingerprint", ["f", "other options of reading"])
def test_files_that_are_gone_are_refused_whatever_else_may_change(
    fingerprint: str, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    now = replace(found(*SMALLER), fingerprint=fingerprint)
    with pytest.raises(ValueError, match=r"lost 1 files since .*: b; .* or give `forget_missing_files`"):
        settle_corpus(run, now, may_change=True, may_forget=False)
    assert settle_corpus(run, FIRST, may_change=False, may_forget=False).shards == {"part-00000": "x"}
    anew = settle_corpus(run, now, may_change=False, may_forget=True)
    assert (anew.shards, anew.readings) == ({}, [["a"]])
    assert "what came of old files is removed: b is gone" in capsys.readouterr().err


def test_a_file_whose_path_is_spelled_in_another_way_is_the_same_file(run: RunFolder) -> None:
    settled = settle_corpus(run, found(["./a", 10, 1], ["b", 20, 1]), may_change=False, may_forget=False)
    assert (settled.shards, settled.readings) == ({"part-00000": "x"}, [["a", "b"]])
    assert settled.groups() == [{str(Path("a").resolve()): "a", str(Path("b").resolve()): "b"}]


def test_a_corpus_may_be_spelled_from_another_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, corpus, elsewhere = RunFolder(str(tmp_path / "run")), tmp_path / "corpus", tmp_path / "elsewhere"
    elsewhere.mkdir()
    corpus.mkdir()
    (corpus / "a.jsonl").write_text('{"text": "a"}')
    monkeypatch.chdir(tmp_path)
    first = settle_corpus(folder, look_at_corpus(["corpus"], "f"), may_change=False, may_forget=False)
    replace(first, shards={"part-00000": "x"}).write(folder)
    monkeypatch.chdir(elsewhere)
    for spelled in (str(corpus), "../corpus", f"{corpus}/*.jsonl", f"file://{corpus}", f"{corpus}/../corpus/a.jsonl"):
        again = settle_corpus(folder, look_at_corpus([spelled], "f"), may_change=False, may_forget=False)
        assert (again.shards, again.readings) == ({"part-00000": "x"}, [["corpus/a.jsonl"]]), spelled
        assert again.groups() == [{str(corpus / "a.jsonl"): "corpus/a.jsonl"}]


def test_files_of_no_known_kind_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.jsonl", "b.csv", "LICENSE", "_SUCCESS"):
        (tmp_path / name).write_text('{"text": "a"}' if name == "a.jsonl" else "words")
    look_at_corpus([str(tmp_path)], "f")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("2 files of the corpus are not read, as their kind is not known: ")
    assert "LICENSE" in line and "b.csv" in line and "_SUCCESS" not in line


def test_other_options_of_reading_make_it_be_read_anew(run: RunFolder) -> None:
    settled = settle_corpus(run, replace(FIRST, fingerprint="g"), may_change=False, may_forget=False)
    assert (settled.shards, settled.readings) == ({}, [["a", "b"]])
