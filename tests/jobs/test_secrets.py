"""A whole run against an endpoint that says the API key back: the key is in nothing that the run leaves or says."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.calling_model import save_calling_model
from tests.support.http_endpoint import Request, completion, serve
from toolformer_ray.jobs.cli.main import main

REPOSITORY = Path(__file__).parents[2]
KEY = "sk-do-not-tell-0123456789"
NAME = "QUESTION_KEY"


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray leaves what its workers log; short, as there are sockets in it."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """All that is in the files of a folder, also of those that are compressed, and their names."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path, f"{path} {table.to_pylist()} {table.schema.metadata}".encode()
        elif path.is_file():
            yield path, str(path).encode() + path.read_bytes()


def test_a_key_is_in_no_table_no_log_no_recording_and_nothing_that_is_printed(
    tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def respond(request: Request) -> None:
        asked.append(said := request.headers["Authorization"])
        if len(asked) % 3:
            request.send(completion(f"I am told {said}"))
        else:
            request.send(json.dumps({"error": {"message": f"not with {said}"}}).encode(), status=401)

    def annotate(*arguments: str) -> str:
        command = [sys.executable, "-m", "jobs.annotate_corpus", *arguments]
        told = os.environ | {NAME: KEY, "RAY_TMPDIR": str(ray_folder)}
        done = subprocess.run(command, cwd=REPOSITORY, env=told, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    asked: list[str] = []
    run, model = str(tmp_path / "run"), save_calling_model(tmp_path / "model", tool="QA")
    texts = [json.dumps({"text": f"Mill {number} ground {400 + number} sacks, 12 more."}) for number in range(2)]
    (tmp_path / "texts.jsonl").write_text("\n".join(texts))
    with serve(respond) as port:
        endpoint = ("--qa.endpoint-url", f"http://127.0.0.1:{port}/v1", "--qa.model", "tiny", "--qa.max-retries", "0")
        asking = "--qa.num-samples 40 --qa.max-places 8 --qa.min-open-probability 0 --qa.min-loss-reduction=-1"
        output = annotate(
            *("--corpus", str(tmp_path / "texts.jsonl"), "--run", run, "--model", model, "--tools", "qa"),
            *(*endpoint, "--qa.api-key-variable", NAME, "--record", str(tmp_path / "answers"), "--log-format", "json"),
            *(*asking.split(), "--max-call-tokens", "10", "--as-in-paper"),
        )
    assert f"Bearer {KEY}" in asked and len(asked) > 3, output
    monkeypatch.setenv(NAME, KEY)
    for command in (["status", run], ["verify", run], ["query", run, "select status, result, note from executed"]):
        assert main(command) == 0
    output += "".join(capsys.readouterr())
    # The endpoint's answers are there, without the key.
    assert "I am told Bearer ***" in output
    files = [*written(tmp_path), *written(ray_folder)]
    assert any(path.suffix in (".err", ".log") for path, _ in files)
    assert [path for path, content in files if KEY.encode() in content] == []
    assert KEY not in output
