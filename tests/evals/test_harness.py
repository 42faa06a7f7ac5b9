"""The real lm-evaluation-harness, offline, with the model class `toolformer` on a task of the test's own."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from evals.perplexity import measure_perplexity
from tests.decode.chain_model import chain_model, save_chain_model

REPOSITORY = Path(__file__).parents[2]
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


def test_the_harness_generates_with_tools_and_compares_and_reads_without(tmp_path: Path) -> None:
    """Behind `is` the chain model writes ` [Calculator(…) -> …] so`; without calls it likes ` 7` best there."""
    model = save_chain_model(tmp_path / "model")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text, "answer": " so"}) + "\n" for text in PROMPTS))
    for name, task in TASKS.items():
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{DATA.format(rows=rows)}{task}")
    command = [sys.executable, "-m", "jobs.run_lm_eval", "run", "--model", "toolformer", "--tasks", ",".join(TASKS)]
    command += ["--model_args", f"model={model},tools=calculator,call_top_k=1", "--include_path", str(tmp_path)]
    command += ["--output_path", str(tmp_path / "out"), "--device", "cpu"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-2000:]
    [written] = (tmp_path / "out").rglob("results*.json")
    results = json.loads(written.read_text())["results"]
    assert results["written"]["exact_match,none"] == 1
    assert results["chosen"]["acc,none"] == 1
    nats = math.log(measure_perplexity(chain_model(), PROMPTS).per_token) * sum(
        len(chain_model().tokenizer.encode(text)) for text in PROMPTS
    )
    expected = math.exp(nats / sum(map(len, PROMPTS)))
    assert results["read"]["byte_perplexity,none"] == pytest.approx(expected, rel=1e-4)


def test_a_model_that_is_not_there_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.run_lm_eval", "run", "--model", "toolformer", "--tasks", "gsm8k"]
    command += ["--model_args", f"model={tmp_path / 'nowhere'}", "--device", "cpu"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "nowhere" in ended.stderr.splitlines()[-1]
