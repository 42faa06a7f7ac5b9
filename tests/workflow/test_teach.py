"""`toolformer teach` with the real stages, on models with random weights that write calls; without Ray."""

import json
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.demonstrations import read_demonstrations

# A model that knows nothing keeps calls only where any call is kept.
ALL_KEPT = ("--calculator.min-contrast", "-9", "--calculator.num-samples", "20", "--max-call-tokens", "10")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    texts = [
        f"The old mill {n} of the town ground {400 + n} sacks of rye, a total of {90 + n} more." for n in range(24)
    ]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def given(corpus: str, model: str, out: Path, *more: str) -> list[str]:
    return ["teach", "calculator", "--corpus", corpus, "--model", model, "--out", str(out), *more]


def test_demonstrations_come_from_the_corpus_and_the_best_set_is_what_annotate_reads(
    corpus: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "taught" / "calculator.txt"
    assert (
        main(given(corpus, model, out, "--anyway", "--sample", "16", "--sets", "2", "--per-set", "3", *ALL_KEPT)) == 0
    )
    instruction, demonstrations = read_demonstrations(str(out), "Calculator")
    assert instruction is not None and Calculator.description in instruction
    assert len(demonstrations) == 3
    assert all("The old mill" in text for text in demonstrations)
    assert not {*demonstrations} & {*Calculator.demonstrations}
    shown, told_meanwhile = capsys.readouterr()
    assert "each set tried on 8 texts" in shown and shown.count("taken") == 1
    assert f"--calculator.demonstrations {out}" in shown
    assert "set 2 of 2, 3 drafts of " in told_meanwhile
    estimate = ["estimate", "--corpus", corpus, "--model", model, "--tools", "calculator", "--sample", "2", *ALL_KEPT]
    assert main([*estimate, "--calculator.demonstrations", str(out)]) == 0


UNITS = """from toolformer_ray import tool

@tool
def convert(amount: float) -> str:
    "Converts miles into kilometres."
    return f"{amount * 1.609:.1f}"
"""


def test_a_function_that_has_a_schema_alone_is_taught_without_more_ado(
    corpus: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("units.py").write_text(UNITS)
    asked = ["--sample", "6", "--sets", "1", "--units.min-contrast=-9", "--units.num-samples", "40"]
    options = ["--corpus", corpus, "--model", model, "--max-call-tokens", "10", *asked]
    assert main(["teach", "./units.py", *options, "--out", "units.txt"]) == 0
    instruction, demonstrations = read_demonstrations("units.txt", "Convert")
    assert instruction == "Add calls to Convert to the text. Converts miles into kilometres."
    assert all("[Convert(" in text for text in demonstrations)
    assert main(["teach", "./units.py", *options, "--out", "b.txt", "--units.demonstrations", "units.txt"]) == 2


def test_the_teacher_makes_the_drafts(corpus: str, model: str, tmp_path: Path) -> None:
    # By itself this model writes too few calls.
    other = save_calling_model(tmp_path / "other", seed=1)
    asked = given(corpus, other, tmp_path / "out.txt", "--anyway", "--sample", "6", "--sets", "1", *ALL_KEPT)
    assert main(asked) == 2
    assert main([*asked, "--teacher", model]) == 0
    assert read_demonstrations(str(tmp_path / "out.txt"), "Calculator")[1]


def test_too_few_drafts_are_one_line_and_nothing_is_written(
    corpus: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none_kept = ("--calculator.min-contrast", "90", "--max-call-tokens", "4")
    assert main(given(corpus, model, tmp_path / "out.txt", "--anyway", "--sample", "4", *none_kept)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("toolformer: ")]
    assert "calls of Calculator could be a demonstration; give a larger --sample, another --teacher, or" in line
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ([], "--tool is calculator; it has demonstrations written by hand, which are the better ones; give --anyway"),
        (["--anyway", "--tools", "calendar"], "--tools is calendar; the tool is calculator; leave --tools out"),
        (["--anyway", "--sample", "1"], "--sample is 1; it must be at least 2"),
        (["--anyway", "--proposer", "x"], "--proposer is x; the model that proposes is the one that is taught"),
        (["--anyway", "--sets", "0"], "--sets is 0; it must be at least 1"),
        (["--anyway", "--as-in-paper"], "--filter is paper; demonstrations are chosen by their false share"),
        (["--anyway", "--teacher", "./absent"], "absent"),
    ],
)
def test_a_wrong_value_is_one_line(
    wrong: list[str], line: str, corpus: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given(corpus, model, tmp_path / "out.txt", *wrong)) == 2
    output, errors = capsys.readouterr()
    assert output == "" and line in errors and len(errors.splitlines()) == 1


def test_a_file_that_is_there_is_not_written_over(
    corpus: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("edited")
    assert main(given(corpus, model, tmp_path / "mine.txt", "--anyway")) == 2
    assert "it is there already and may have been edited; give another file" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "edited"
