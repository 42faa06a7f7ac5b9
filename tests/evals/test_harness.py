"""The real lm-evaluation-harness, offline, with the model class `toolformer` on a task of the test's own."""

import datetime
import functools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from tests.support.chain_model import chain_model, save_chain_model
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.evals.harness import Toolformer, register
from toolformer_ray.evals.perplexity import measure_perplexity
from toolformer_ray.jobs.cli.lm_eval import main, read_arguments
from toolformer_ray.lm.model import LanguageModel

REGISTER_ONCE = functools.cache(register)
"""A process can register a model class of this name once."""
PROMPTS = ("it is", "so it is")
DATA = "dataset_path: json\ndataset_kwargs: {{data_files: {{test: {rows}}}}}\ntest_split: test\n"
TASKS = {
    "written": "output_type: generate_until\ndoc_to_text: '{{prompt}}'\ndoc_to_target: '{{answer}}'\n"
    "generation_kwargs: {until: [' it'], max_gen_toks: 8}\n"
    "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n",
    "chosen": "output_type: multiple_choice\ndoc_to_text: '{{prompt}}'\ntarget_delimiter: ''\n"
    "doc_to_choice: \"{{[' 7', ' 8']}}\"\ndoc_to_target: 0\n",
    "read": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{prompt}}'\n"
    "metric_list: [{metric: byte_perplexity, aggregation: weighted_perplexity, higher_is_better: false}]\n",
}


@pytest.fixture
def run_harness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """`python -m jobs.run_lm_eval` in this process, without the harness's own tasks, whose index takes long."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
    monkeypatch.setattr("toolformer_ray.evals.harness.register", REGISTER_ONCE)

    def run(model_args: str, *arguments: str) -> int:
        for name, task in TASKS.items():
            (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{DATA.format(rows=tmp_path / 'rows.jsonl')}{task}")
        command = ["lm_eval", "run", "--model", "toolformer", "--tasks", ",".join(TASKS), "--device", "cpu"]
        command += ["--include_path", str(tmp_path), "--model_args", model_args, *arguments]
        monkeypatch.setattr(sys, "argv", command)
        return main()

    return run


def test_the_harness_generates_with_tools_and_compares_and_reads_without(
    run_harness: Callable[..., int], tmp_path: Path
) -> None:
    """Behind `is` the chain model writes ` [Calculator(…) -> …] so`; without calls it likes ` 7` best there."""
    model = save_chain_model(tmp_path / "model")
    rows = "".join(json.dumps({"prompt": text, "answer": " so"}) + "\n" for text in PROMPTS)
    (tmp_path / "rows.jsonl").write_text(rows)
    assert run_harness(f"model={model},tools=calculator,call_top_k=1", "--output_path", str(tmp_path / "out")) == 0
    [written] = (tmp_path / "out").rglob("results*.json")
    results = json.loads(written.read_text())["results"]
    assert results["written"]["exact_match,none"] == 1
    assert results["chosen"]["acc,none"] == 1
    loaded = LanguageModel.load(model)
    nats = math.log(measure_perplexity(loaded, PROMPTS).per_token) * sum(
        len(loaded.tokenizer.encode(text)) for text in PROMPTS
    )
    expected = math.exp(nats / sum(map(len, PROMPTS)))
    assert results["read"]["byte_perplexity,none"] == pytest.approx(expected, rel=1e-4)


def test_a_misspelled_argument_of_the_model_is_one_line_and_exit_code_2(
    run_harness: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_harness("model=x,tools=search,search.indx=x") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "--model_args: Unknown option: --search.indx. Did you mean --search.index?"
    )


def test_the_models_arguments_are_read_as_the_command_line_reads_them() -> None:
    given = {"model": "x", "tools": "calculator+calendar", "calculator.timeout": 3, "device": "cpu"}
    read = read_arguments({**given, "today": "2024-01-31", "barred": "QA+MT", "max_calls": 2})
    assert (read.decoder.model.model, read.decoder.tools.keys) == ("x", ("calculator", "calendar"))
    assert read.decoder.tools.make()["calculator"].asking.timeout == 3
    assert read.decode == DecodeOptions(today=datetime.date(2024, 1, 31), barred=("QA", "MT"), max_calls=2)
    assert read_arguments({"model": 7}).decoder.tools.keys == ()
    for name, value, says in (
        ("model", "", "--model_args has no model; give model=FOLDER"),
        ("today", "2024-13-01", '--today: unable to convert "2024-13-01" into date'),
        ("max_calls", -1, "--model_args: --max-calls is -1; it must be at least 0"),
        ("file", "x", "--model_args: Unknown option: --file"),
        ("calculator", "x", "--model_args: .*--calculator"),
    ):
        with pytest.raises(ValueError, match=says):
            read_arguments({**given, name: value})


def _asked(*arguments: object) -> Instance:
    return Instance(request_type="", doc={}, arguments=arguments, idx=0, metadata=("written", 0, 1))


def test_prompts_that_lose_their_beginning_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    model = chain_model()
    harness = Toolformer(model, Decoder(model, {}), DecodeOptions(max_calls=0))
    long, writes = " so it is" * model.window, {"max_gen_toks": 2}
    assert (
        harness.generate_until([_asked("it is", writes), _asked(long, writes), _asked(long, writes)]) == [" 7 so"] * 3
    )
    [line] = caplog.messages
    assert line.startswith("2 of 3 prompts lost their beginning")
    caplog.clear()
    whole, cut = harness.loglikelihood([_asked("it is", " 7"), _asked(long, " 7")])
    assert cut == (pytest.approx(whole[0]), True)
    assert [message.partition(":")[0] for message in caplog.messages] == ["1 of 2 prompts lost their beginning"]


def test_what_is_to_be_written_has_to_leave_room_for_a_prompt() -> None:
    model = chain_model()
    harness = Toolformer(model, Decoder(model, {}), DecodeOptions())
    for number in (model.window - 1, model.window):
        with pytest.raises(ValueError, match=f"max_gen_toks is {number}, which leaves a prompt nothing of the window"):
            harness.generate_until([_asked("it is", {"max_gen_toks": number})])


def test_a_text_with_half_a_character_is_one_line_that_names_the_task() -> None:
    model = chain_model()
    harness = Toolformer(model, Decoder(model, {}), DecodeOptions())
    for ask, asked in (
        (harness.generate_until, _asked("so \ud800", {})),
        (harness.loglikelihood, _asked("so", " \ud800")),
        (harness.loglikelihood_rolling, _asked("so \ud800")),
    ):
        with pytest.raises(ValueError, match="task written has a text with half a character"):
            ask([asked])
