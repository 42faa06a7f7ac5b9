"""Which files of a folder are read: the same rule for a folder, a glob and a bucket."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.corpora import TOKENIZER, lines, texts, write
from tests.support.s3_server import S3Server
from toolformer_ray.annotate.corpus import find_corpus, find_sources, place_of
from toolformer_ray.annotate.ingest import IngestOptions, ingest

HIDDEN = ("._a.jsonl", "_temporary/b.jsonl", ".cache/c.jsonl", "b/_SUCCESS", "b/._d.jsonl")


def names(*locations: object) -> list[str]:
    return [source.name for source in find_sources([str(location) for location in locations])]


def below(folder: Path, *locations: object) -> list[str]:
    return [str(Path(name).relative_to(folder)) for name in names(*locations)]


def test_links_in_circles_are_entered_once(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    write(tmp_path / "b/c.jsonl", lines({"text": "c"}))
    for link in ("one", "two", "b/three"):
        (tmp_path / link).symlink_to(tmp_path)
    (tmp_path / "0-beside").symlink_to(tmp_path / "b")
    for location in (tmp_path, tmp_path / "**/*.jsonl"):
        assert below(tmp_path, location) == ["a.jsonl", "b/c.jsonl"]


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/a.jsonl", lines({"text": "a"}))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/link").symlink_to(tmp_path / "elsewhere")
    assert below(tmp_path / "corpus", tmp_path / "corpus") == ["link/a.jsonl"]


@pytest.mark.parametrize("target", ["nowhere", "b.jsonl"])
def test_a_link_to_nothing_or_to_itself_is_refused_by_name(tmp_path: Path, target: str) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    (tmp_path / "b.jsonl").symlink_to(target)
    with pytest.raises(ValueError, match=r"b.jsonl is a link to nothing: remove it, or bring back what it leads to$"):
        names(tmp_path)
    (tmp_path / "b.jsonl").rename(tmp_path / "b.md")
    assert below(tmp_path, tmp_path) == ["a.jsonl"]


def test_a_name_that_is_no_utf8_is_refused_only_if_the_file_would_be_read(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    stray = os.fsencode(tmp_path) + b"/\xff.tmp"
    Path(os.fsdecode(stray)).write_bytes(b"x")
    corpus = find_corpus([str(tmp_path)])
    assert (len(corpus.sources), corpus.left_out) == (1, [f"{tmp_path}/\\xff.tmp"])
    Path(os.fsdecode(stray)).rename(os.fsdecode(stray.replace(b".tmp", b".txt")))
    for location in (tmp_path, tmp_path / "*.txt"):
        with pytest.raises(ValueError, match=r"/\\xff.txt has a name that is no UTF-8: rename it$"):
            names(location)
    with pytest.raises(ValueError, match=r"^corpus .*/\\xff.txt has a name that is no UTF-8: rename it$"):
        find_sources([os.fsdecode(stray.replace(b".tmp", b".txt"))])


def test_a_wildcard_leaves_out_what_a_folder_does(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b/c.jsonl", *HIDDEN):
        write(tmp_path / name, lines({"text": name}))
    for location in (tmp_path, tmp_path / "**/*.jsonl", tmp_path / "**", tmp_path / "*"):
        assert below(tmp_path, location) == ["a.jsonl", "b/c.jsonl"]
    assert below(tmp_path, tmp_path / "?*.jsonl") == ["a.jsonl"]


def test_what_is_hidden_is_read_where_its_name_is_spelled_out(tmp_path: Path) -> None:
    for name in HIDDEN:
        write(tmp_path / name, lines({"text": name}))
    assert below(tmp_path, tmp_path / "_temporary") == ["_temporary/b.jsonl"]
    assert below(tmp_path, tmp_path / "_*/*.jsonl", tmp_path / "b/._d.jsonl") == ["_temporary/b.jsonl", "b/._d.jsonl"]
    assert below(tmp_path, tmp_path / "._*") == ["._a.jsonl"]


def test_a_glob_may_match_folders_of_parts(tmp_path: Path) -> None:
    for day in ("monday.parquet", "tuesday.parquet"):
        for part in ("part-0.parquet", "._part-0.parquet", "_SUCCESS", "deep/part-1.parquet"):
            (tmp_path / day / part).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"text": [f"{day} {part}"]}), tmp_path / day / part)
    expected = [f"{day}.parquet/{part}.parquet" for day in ("monday", "tuesday") for part in ("deep/part-1", "part-0")]
    for location in (tmp_path, tmp_path / "*.parquet", f"file://{tmp_path}/*day.parquet"):
        found = [name.removeprefix("file://").removeprefix(f"{tmp_path}/") for name in names(location)]
        assert found == expected


def test_one_file_has_one_place_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "corpus/a.jsonl", lines({"text": "a"}))
    (tmp_path / "link").symlink_to("corpus")
    monkeypatch.chdir(tmp_path)
    spelled = ("corpus", "./corpus/", f"{tmp_path}/corpus", "link/a.jsonl", f"file://{tmp_path}/corpus", "corpus/*")
    places = {find_sources([location])[0].place for location in spelled}
    assert places == {str(tmp_path / "corpus/a.jsonl")}
    assert {place_of(name) for location in spelled for name in names(location)} == places
    assert names(*spelled) == ["corpus/a.jsonl"]


def test_a_bucket_is_listed_by_the_same_rule(tmp_path: Path, s3: S3Server) -> None:
    pq.write_table(pa.table({"text": ["p"]}), tmp_path / "p.parquet")
    content = {"docs/A.JSONL": lines({"text": "a"}), "docs/part-0": lines({"text": "b"}), "docs/notes.md": b"x"}
    content |= {f"docs/{name}": lines({"text": name}) for name in HIDDEN}
    content["docs/day.parquet/part-1.parquet"] = (tmp_path / "p.parquet").read_bytes()
    bucket = s3.make_bucket("listed-corpus", content)
    for location, expected in {"docs": "apb", "docs/**": "apb", "docs/*.parquet": "p", "docs/*": "apb"}.items():
        assert "".join(texts(s3.uri(bucket, location))) == expected, location
    for source in find_sources([s3.uri(bucket, "docs")]):
        assert source.place == source.name == place_of(source.name)


def test_a_source_goes_by_the_name_of_its_group_and_groups_begin_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write(tmp_path / f"corpus/{name}.jsonl", lines({"text": name}))
    monkeypatch.chdir(tmp_path / "corpus")
    groups = [{str(tmp_path / "corpus/b.jsonl"): "corpus/b.jsonl", "/another/machine/c": "./c.jsonl"}]
    options = IngestOptions(corpus=(".",))
    read = [[document.doc_id for document in shard.documents] for shard in ingest(options, TOKENIZER, 100, groups)]
    assert read == [["corpus/b.jsonl#1", "./c.jsonl#1"], ["./a.jsonl#1"]]
