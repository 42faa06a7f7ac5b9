"""`toolformer card` and `toolformer push`: what a stranger is told of C*, and that a hub gets it to the letter."""

# ruff: noqa: F811  fixtures are imported by their names

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import constants

from tests.support.http_endpoint import Request, serve
from tests.support.refusals import Refuse, refuse  # noqa: F401 - a fixture
from tests.support.small_run import write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented
from toolformer_ray.workflow.publish import card
from toolformer_ray.workflow.report.judgements import Judgement, write_judgements

SETTINGS = {"corpus": ["/home/someone/books.jsonl"], "model": "/models/tiny", "tools": ["calculator", "translation"]}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = write_small_run(str(tmp_path / "run"))
    folder.write_json("run.json", {"settings": SETTINGS | {"filter": "decoys"}, "versions": {"ray": "2.60.0"}})
    return folder


def written(run: RunFolder) -> str:
    return Path(run.root, "README.md").read_text()


def head(content: str) -> dict[str, object]:
    read: dict[str, object] = yaml.safe_load(content.split("---\n")[1])
    return read


def test_a_run_with_its_card_is_a_data_set_whose_default_is_c_star(run: RunFolder, tmp_path: Path) -> None:
    assert main(["card", run.location, "--license", "cc-by-sa-4.0"]) == 0
    assert head(written(run))["license"] == "cc-by-sa-4.0"
    rows = load_dataset(run.root, split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["text"] == [
        row.text for shard in run.shards("augmented") for row in run.read_shard("augmented", shard, Augmented)
    ]
    scored = load_dataset(run.root, "scored", split="train", cache_dir=str(tmp_path / "cache"))
    assert "loss_without" in scored.column_names


def test_the_card_says_what_was_kept_how_and_how_far_to_trust_it(run: RunFolder) -> None:
    assert main(["card", run.location]) == 0
    content = written(run)
    assert "in which `tiny` wrote calls of Calculator, MT" in content
    assert "The licence of the corpus was not given" in content and "license" not in head(content)
    assert "likelier with this answer than with other answers of its kind" in content
    assert re.search(r"^Calculator +\d", content, re.MULTILINE)
    assert "[Calculator(400 / 1400) -> 0.29]" in content.split("## Examples")[1]
    assert "Nobody has measured how many of the kept calls are right." in content
    assert '"ray": "2.60.0"' in content


def test_of_folders_on_the_machine_that_made_it_the_card_tells_the_last_part(run: RunFolder) -> None:
    assert main(["card", run.location]) == 0
    assert "`books.jsonl`" in written(run)
    assert "/home/someone" not in written(run) and "/models" not in written(run)


def test_what_people_judged_is_in_the_card(run: RunFolder) -> None:
    call = {"text_id": "a", "char_offset": 0, "tool": "Calculator", "call_input": "1", "result": "1"}
    write_judgements(run, [Judgement(**call, verdict="right")])
    assert main(["card", run.location]) == 0
    assert "Judged by people, with 95 % intervals" in written(run)
    assert "Nobody has measured" not in written(run)


def test_a_text_cannot_leave_its_code_block() -> None:
    block = card._block("a ```` b\n```\nc")
    assert (block[0], block[-1]) == ("`````text", "`````")


def test_a_card_is_written_anew_and_the_readme_of_somebody_else_is_left_alone(
    refuse: Refuse, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", run.location]) == main(["card", run.location, "--license", "mit"]) == 0
    assert head(written(run))["license"] == "mit"
    Path(run.root, "README.md").write_text("mine")
    capsys.readouterr()
    assert "was not written by `toolformer card` and is left as it is" in refuse("card", run.location)
    assert written(run) == "mine"


def test_what_cannot_be_a_licence_or_a_repository_is_one_line(refuse: Refuse, run: RunFolder) -> None:
    assert refuse("card", run.location, "--license", "my own").startswith("--license is my own; give the name")
    assert refuse("push", run.location, "name-alone") == "--repo is name-alone; give it as OWNER/NAME"
    empty = RunFolder(f"{run.location}-empty")
    empty.write_json("run.json", {"settings": SETTINGS})
    assert "has no C* yet" in refuse("push", empty.location, "me/c-star")


@dataclass
class Hub:
    """A hub that keeps what it is sent."""

    tokens: set[str | None] = field(default_factory=set)
    created: list[dict[str, object]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    refuses: bool = False

    def respond(self, request: Request) -> None:
        # The library asks for this once a day, whoever asks, and keeps the answer between processes.
        if request.path != "/api/agent-harnesses":
            self.tokens.add(request.headers["Authorization"])
        url = f"http://127.0.0.1:{request.server.server_port}/datasets/me/c-star"  # type: ignore[attr-defined]
        if self.refuses:
            request.send(b'{"error": "not yours"}', status=403)
        elif request.path == "/api/repos/create":
            self.created.append(json.loads(request.body))
            request.send(json.dumps({"url": url}).encode())
        elif request.path.endswith("/preupload/main"):
            asked = [file["path"] for file in json.loads(request.body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked]
            request.send(json.dumps({"files": modes}).encode())
        elif request.path.startswith("/api/datasets/me/c-star/commit/main"):
            for line in map(json.loads, request.body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            request.send(json.dumps({"commitUrl": f"{url}/commit/1", "commitOid": "1", "success": True}).encode())
        else:
            request.send(b"{}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    with serve(hub.respond) as port:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield hub


def test_the_hub_has_c_star_to_the_letter_and_a_card_of_that_alone(
    hub: Hub, run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", run.location, "me/c-star", "--license", "mit", "--private"]) == 0
    (created,) = hub.created
    assert (created["name"], created["organization"], created["type"]) == ("c-star", "me", "dataset")
    assert hub.tokens == {"Bearer hf_secret"}
    shards = {str(path.relative_to(run.root)): path.read_bytes() for path in Path(run.root).glob("augmented/*.parquet")}
    assert {name: content for name, content in hub.files.items() if name != "README.md"} == shards
    (config,) = head(hub.files["README.md"].decode())["configs"]  # type: ignore[misc, attr-defined]
    assert config == {"config_name": "augmented", "data_files": "augmented/*.parquet", "default": True}
    assert not Path(run.root, "README.md").exists()
    assert "/datasets/me/c-star" in capsys.readouterr().out


def test_a_hub_that_refuses_is_one_line_without_the_token(hub: Hub, refuse: Refuse, run: RunFolder) -> None:
    hub.refuses = True
    line = refuse("push", run.location, "me/c-star")
    assert line.startswith("me/c-star cannot be sent to http://127.0.0.1") and "HF_TOKEN" in line
    assert "hf_secret" not in line and hub.files == {}
