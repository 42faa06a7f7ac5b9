"""Settings from a file or of a run, settings written to a file, and the two levels of help."""

import tomllib
from pathlib import Path

import pytest
from cyclopts import App, ArgumentCollection

from tests.support.refusals import Refuse
from toolformer_ray.jobs.cli.commands import app
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.jobs.cli.settings_file import Source, read_config, read_run
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.settings import check_settings, resolve_settings
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.pipeline import PIPELINE

NEEDED = ["--run", "r", "--corpus", "a", "b", "--model", "m"]


@pytest.fixture(autouse=True)
def no_settings_stay() -> None:
    app.config = ()


def read(*arguments: str, config: str = "", run: str = "") -> AnnotateOptions:
    """What annotate would be given."""
    app.config = (*([read_config(config)] if config else []), *([read_run(run)] if run else []))
    _, bound, _ = app.parse_args(["annotate", *arguments], exit_on_error=False, print_error=False)
    return bound.arguments["options"]


def settings_of(options: AnnotateOptions):  # type: ignore[no-untyped-def]
    return resolve_settings(PIPELINE, options, options.tools.make(), "f", 100)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_file_sets_options_and_those_of_tools_and_what_is_typed_counts_first(tmp_path: Path) -> None:
    config = write(
        tmp_path / "run.toml",
        """
        run = "r"
        corpus = ["a", "b"]
        model = "m"
        tools = ["calendar", "calculator"]
        max-documents = 7
        second-round = true
        [calculator]
        max-places = 2
        min-contrast = 0.25
        """,
    )
    options = read("--max-documents", "9", "--calculator.max-places", "3", config=config)
    assert (options.run, options.ingest.corpus, options.model.model) == ("r", ("a", "b"), "m")
    assert (options.ingest.max_documents, options.propose.second_round) == (9, True)
    assert options.tools.keys == ("calendar", "calculator")
    taught = options.tools.make()["calculator"].teaching
    assert (taught.max_places, taught.min_contrast) == (3, 0.25)


def test_a_key_that_is_no_option_is_named_with_its_file_and_with_what_may_be_meant(
    refuse: Refuse, tmp_path: Path
) -> None:
    config = write(tmp_path / "run.toml", "shard-siz = 3\n")
    assert refuse("annotate", *NEEDED, "--config", config) == (
        f"{config}: shard-siz is no option of annotate; did you mean shard-size?"
    )
    write(tmp_path / "run.toml", "[calculator]\nmax_placs = 3\n")
    assert "calculator.max-placs is no option of annotate; did you mean calculator.max-places?" in refuse(
        "annotate", *NEEDED, f"--config={config}"
    )
    write(tmp_path / "run.toml", "colour = 'red'\n")
    assert "colour is no option of annotate; annotate --help-all lists all options" in refuse(
        "annotate", "--config", config
    )


def test_a_value_of_a_file_is_checked_like_one_that_is_typed(refuse: Refuse, tmp_path: Path) -> None:
    config = write(tmp_path / "run.toml", "shard-size = 0\n")
    assert "--shard-size is 0; it must be at least 1 text" in refuse("annotate", *NEEDED, "--config", config)
    write(tmp_path / "run.toml", 'seed = "x"\n')
    assert config in refuse("annotate", *NEEDED, "--config", config)


def test_a_file_that_is_no_toml_or_not_there_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    assert "--config is /no/file; there is no such file" in refuse("annotate", "--config", "/no/file")
    assert "cannot be read as TOML" in refuse("status", "--config", write(tmp_path / "a.toml", "shard-size 3"))
    assert refuse("annotate", "--config") == "--config is empty; give a name behind it"


def test_what_a_file_gives_is_not_asked_for(refuse: Refuse, tmp_path: Path) -> None:
    config = write(tmp_path / "run.toml", 'corpus = "c"\n')
    assert refuse("annotate", "--config", config) == 'Command "annotate" needs --run and --model.'


@pytest.mark.parametrize("more", [[], ["--as-in-paper"], ["--calculator.max-places", "2", "--qa.timeout", "3"]])
def test_what_is_written_is_what_would_be_used(more: list[str], tmp_path: Path) -> None:
    (tmp_path / "qa.tsv").write_text("question\tanswer\nWho?\tI\n")
    given = [
        *NEEDED,
        "--tools",
        "qa,calculator",
        "--qa.table",
        str(tmp_path / "qa.tsv"),
        "--cache",
        'a "quoted" é\t',
        *more,
    ]
    config = str(tmp_path / "run.toml")
    assert main(["annotate", *given, "--write-config", config]) == 0
    typed, written = read(*given), read(config=config)
    assert {**vars(written), "tools": None} == {**vars(typed), "tools": None}
    assert settings_of(written) == settings_of(typed)
    for key, tool in typed.tools.make().items():
        assert written.tools.make()[key].asking == tool.asking
    assert written.tools.answers == typed.tools.answers


def test_what_is_written_to_the_output_has_the_options_of_the_chosen_tools_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["annotate", *NEEDED, "--tools", "calculator", "--write-config", "-"]) == 0
    found = tomllib.loads(capsys.readouterr().out)
    assert found["calculator"]["max-places"] == 12 and "calendar" not in found
    assert found["corpus"] == ["a", "b"]


@pytest.mark.parametrize("more", [[], ["--as-in-paper"], ["--calculator.max-places", "2", "--temperature", "0.7"]])
def test_a_run_is_repeated_with_its_own_settings(more: list[str], tmp_path: Path) -> None:
    first = settings_of(read(*NEEDED, "--tools", "calculator", *more))
    run = RunFolder(str(tmp_path / "run"))
    first.write(run)
    again = read("--run", "other", run=str(tmp_path / "run"))
    assert settings_of(again).settings == first.settings
    assert settings_of(again).stage_fingerprints == first.stage_fingerprints
    assert check_settings(run, settings_of(again), may_change=False) == []
    assert read("--run", "other", "--seed", "5", run=str(tmp_path / "run")).propose.seed == 5


def test_demonstrations_that_a_run_does_not_hold_have_to_be_typed(refuse: Refuse, tmp_path: Path) -> None:
    own = write(tmp_path / "own.txt", "Output: 2 and 3 make [Calculator(2+3)] 5.\n")
    settings_of(read(*NEEDED, "--calculator.demonstrations", own)).write(RunFolder(str(tmp_path / "run")))
    line = refuse("annotate", "--run", "other", "--from-run", str(tmp_path / "run"))
    assert "does not hold the demonstrations of its calculator; give --calculator.demonstrations" in line
    again = read("--run", "other", "--calculator.demonstrations", own, run=str(tmp_path / "run"))
    assert again.tools.make()["calculator"].teaching.demonstrations == own


def test_a_run_that_is_not_there_cannot_be_repeated(refuse: Refuse, tmp_path: Path) -> None:
    assert "no run folder in" in refuse("annotate", "--run", "r", "--from-run", str(tmp_path))


def test_a_run_is_not_repeated_by_a_command_without_its_options(refuse: Refuse, tmp_path: Path) -> None:
    settings_of(read(*NEEDED)).write(RunFolder(str(tmp_path / "run")))
    assert "is no option of status" in refuse("status", "x", "--from-run", str(tmp_path / "run"))


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_the_first_help_page_has_what_a_first_user_needs_and_names_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    first, everything = help_of(capsys, "annotate", "--help"), help_of(capsys, "annotate", "--help-all")
    assert "--corpus" in first and "--temperature" not in first and "--calculator." not in first
    assert "--help-all shows more: Proposing, Filter" in first
    assert all(
        option in everything for option in ("--corpus", "--temperature", "--calculator.max-places", "--qa.table")
    )


def test_a_tool_that_is_chosen_has_its_panel_and_no_other_has(capsys: pytest.CaptureFixture[str]) -> None:
    for page in ("--help", "--help-all"):
        shown = help_of(capsys, "annotate", "--tools", "qa,calculator", page)
        assert "Tool qa: QA" in shown and "Tool calculator" in shown and "Tool calendar" not in shown
    assert "Tool qa: QA" in help_of(capsys, "generate", "--tools=qa", "--help")


def test_what_a_run_does_not_hold_is_said_before_the_options_that_hang_on_it() -> None:
    source = Source(
        name="run", values={"miles": {"min-contrast": 0.5}}, not_held={"tools": "it does not hold ./miles.py"}
    )
    with pytest.raises(UnusableError, match=r"^run: it does not hold ./miles.py; give `tools`$"):
        source(App(), ("annotate",), ArgumentCollection())
