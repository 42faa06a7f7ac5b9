"""`toolformer status`: what the folder tells, however little that is."""

from pathlib import Path

import pytest

from jobs.command_line import main
from records.run_folder import RunFolder
from records.stages import Candidate
from tests.small_run import SHARD, write_small_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_small_run(str(tmp_path / "run"))


@pytest.mark.parametrize("told", [{}, {"settings": {"tools": ["abacus"]}}])
def test_the_tools_are_those_that_were_counted_if_nobody_knows_those_of_the_run(
    told: object, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_json("run.json", told)
    counts = {"calls.Abacus": 3, "dropped.not_offered.MT": 1, "rows": 4}
    run.write_shard("candidates", SHARD, Candidate, [], fingerprint="0", counts=counts)
    assert main(["status", run.location]) == 0
    output, errors = capsys.readouterr()
    assert [line.split()[0] for line in output.splitlines() if line.startswith(("Abacus", "MT"))] == ["Abacus", "MT"]
    (line,) = errors.splitlines()
    assert line.endswith("; the tools shown are those that were counted")
    assert main(["query", run.location, "select 1 as one"]) == 0
