"""Rows come from files, folders and the Hub; what is none of theirs is one line."""

import gzip
import json
from pathlib import Path

import pytest

from toolformer_ray.evals.rows import read_rows
from toolformer_ray.evals.tasks import find_tasks

TASKS = find_tasks()


def test_rows_are_read_from_json_lines_csv_and_folders_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n\n{"x": 2}\n')
    (tmp_path / "b.csv").write_text("x\n3\n")
    assert [row["x"] for row in read_rows(str(tmp_path))] == [1, 2, "3"]
    (tmp_path / "c.json").write_text(json.dumps([{"x": 1}])[:-1])
    with pytest.raises(ValueError, match=r"c\.json cannot be read"):
        list(read_rows(str(tmp_path / "c.json")))
    with pytest.raises(ValueError, match=r"nowhere\.json is not there; give a file"):
        list(read_rows(str(tmp_path / "nowhere.json")))
    (tmp_path / "d.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(
        ValueError, match=r"d\.jsonl is no data for this task: a row has no usable 'Body' \(it has other\)"
    ):
        list(TASKS["svamp"].read(str(tmp_path / "d.jsonl")))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('"text"', "neither a list of rows nor one under `data`"),
        ("5", "neither a list of rows nor one under `data`"),
        ('["text"]', "a row is 'text', not an object with named values"),
        ('[{"Body": "\\ud800", "Question": "", "Answer": 1}]', "half a character, '\\\\ud800'"),
        ("[{}]", "a row has no usable 'Body'"),
    ],
)
def test_a_file_with_other_things_than_a_benchmarks_rows_is_one_line_that_names_it(
    content: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"^\S*rows\.json .*" + says):
        list(TASKS["svamp"].read(str(path)))


def test_a_packed_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"x": 1}\n' * 100)[:-12])
    with pytest.raises(ValueError, match=r"rows\.jsonl\.gz cannot be read"):
        list(read_rows(str(path)))


class Hub:
    """Stands for `datasets.load_dataset`: knows one data set, notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, str]] = []

    def load_dataset(self, name: str, configuration: str | None = None, *, split: str) -> list[dict[str, int]]:
        self.asked.append((name, configuration, split))
        if name != "org/x-1.0":
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub")
        if configuration == "none":
            raise ValueError("BuilderConfig 'none' not found.\nAvailable: ['main']")
        return [{"x": 1}, {"x": 2}]


def test_a_data_set_on_the_hub_has_a_name_with_a_dot_perhaps_and_a_configuration_and_a_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    monkeypatch.setattr("datasets.load_dataset", hub.load_dataset)
    for location in ("org/x-1.0", "org/x-1.0:train", "org/x-1.0:rc.small:train", "org/x-1.0:main:"):
        assert [row["x"] for row in read_rows(location)] == [1, 2]
    names = [(None, "test"), (None, "train"), ("rc.small", "train"), ("main", "test")]
    assert hub.asked == [("org/x-1.0", configuration, split) for configuration, split in names]


def test_what_the_hub_does_not_have_is_one_line_that_says_whether_the_data_set_or_its_part_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    monkeypatch.setattr("datasets.load_dataset", hub.load_dataset)
    for location, says in {
        "org/x-1.0:none:test": r"cannot be read from the Hub \(.*Available: \['main'\]\); write NAME:SPLIT or NAME",
        "org/y": r"has no such data set or cannot be reached \(FileNotFoundError: Dataset 'org/y' doesn't exist",
        "org/x:a:b:c": "has too many parts",
    }.items():
        with pytest.raises(ValueError, match=says):
            list(read_rows(location))
    assert len(hub.asked) == 2
    for path in ("data/x.json", "data/eval/x", "/x-1.0", "./x", "x.jsonl.gz"):
        with pytest.raises(ValueError, match="is not there; give a file"):
            list(read_rows(path))
    assert len(hub.asked) == 2


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')
    with pytest.raises(ValueError, match="XML with entities"):
        list(read_rows(str(bomb)))
