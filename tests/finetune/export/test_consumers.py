"""Every export is loaded by the reader that it is meant for, and holds C* to the letter."""

import copy
import dataclasses
from pathlib import Path

import datasets
import pytest
import trl
import yaml
from transformers import DataCollatorForSeq2Seq
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig, get_dataset

from tests.support.many_texts import write_texts
from tests.support.models import build_tokenizer, save_model
from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.export.options import ExportOptions
from toolformer_ray.finetune.export.write import export

SUM = ("Calculator", "1 + 1", "2", 1.5)
WEAK = ("Calculator", "1 - 1", "0", 0.5)
TEMPLATES = Path(trl.__file__).parent / "chat_templates"
C_STAR = "a [Calculator(1 + 1) -> 2] is here."


@pytest.fixture(params=["jsonl", "parquet"])
def suffix(request) -> str:
    return request.param


def _load(tmp_path, suffix: str, **options) -> datasets.Dataset:
    run = write_texts(str(tmp_path / "run"), {"a": [SUM, WEAK], "b": []})
    out = str(tmp_path / f"out.{suffix}")
    assert export(ChooseOptions(run=(run,)), ExportOptions(out=out, **options)).num_rows == 1
    reader = "json" if suffix == "jsonl" else "parquet"
    return datasets.load_dataset(reader, data_files=out, split="train", cache_dir=str(tmp_path / "cache"))


def test_plain_text_is_c_star(tmp_path, suffix: str) -> None:
    assert _load(tmp_path, suffix)["text"] == [C_STAR]


def test_token_ids_are_the_three_columns_that_axolotl_wants_with_the_answers_left_out(tmp_path, suffix: str) -> None:
    rows = _load(tmp_path, suffix, format="tokens", model=save_model(tmp_path / "model"))
    assert sorted(rows.column_names) == ["attention_mask", "input_ids", "labels"]
    tokenizer = build_tokenizer()
    assert tokenizer.decode(rows[0]["input_ids"], skip_special_tokens=True) == C_STAR
    tokenizer.pad_token = tokenizer.eos_token
    batch = DataCollatorForSeq2Seq(tokenizer)([rows[0]])
    assert tokenizer.decode(batch["input_ids"][batch["labels"] == -100]) == " 2]"
    assert batch["attention_mask"].all()


def test_a_preference_pair_ends_at_the_arrow_behind_which_no_model_writes(tmp_path, suffix: str) -> None:
    [row] = _load(tmp_path, suffix, format="preference")
    del row["text_id"]
    assert row == {"prompt": "a", "chosen": " [Calculator(1 + 1) ->", "rejected": " [Calculator(1 - 1) ->"}


def test_trl_trains_a_step_on_each_format_that_it_is_told_of_in_a_configuration(
    tmp_path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = copy.deepcopy(build_tokenizer())
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = template = (TEMPLATES / "qwen2_5.jinja").read_text(encoding="utf-8")
    shared = {"output_dir": str(tmp_path / "trl"), "max_steps": 1, "per_device_train_batch_size": 1, "use_cpu": True}
    shared |= {"report_to": [], "bf16": False, "save_strategy": "no", "disable_tqdm": True}
    model = save_model(tmp_path / "model")
    Path(model, "chat_template.jinja").write_text(template, encoding="utf-8")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name, trainer, config in (
        ("text", SFTTrainer, SFTConfig),
        ("tokens", SFTTrainer, SFTConfig),
        ("chat", SFTTrainer, SFTConfig),
        ("preference", DPOTrainer, DPOConfig),
    ):
        _load(tmp_path / name, suffix, format=name, model=model)
        monkeypatch.chdir(tmp_path / name)
        told = yaml.safe_load(Path("out.trl.yml").read_text(encoding="utf-8"))
        rows = get_dataset(DatasetMixtureConfig(datasets=[DatasetConfig(**one) for one in told["datasets"]]))["train"]
        done = trainer(model=model, args=config(**shared), train_dataset=rows, processing_class=tokenizer).train()
        assert done.global_step == 1
        assert done.training_loss > 0


@pytest.mark.parametrize(
    ("form", "told"),
    [
        # Packed into blocks of equal length, a few texts would be left out altogether.
        ("text", {"stage": "pt", "packing": False}),
        ("sharegpt", {"stage": "sft"}),
        # A pair goes on with a text: no template may make a user's message of its prompt.
        ("preference", {"stage": "dpo", "template": "empty"}),
    ],
)
def test_llama_factory_is_told_how_a_format_is_trained_on_as_it_is(tmp_path, form: str, told: dict) -> None:
    _load(tmp_path, "jsonl", format=form)
    written = yaml.safe_load((tmp_path / "out.llamafactory.yml").read_text(encoding="utf-8"))
    assert written == {"dataset_dir": ".", "dataset": "out"} | told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "x.csv"}, r"out is x\.csv; its name must end in \.jsonl or \.parquet"),
        ({"out": "x.jsonl", "format": "tokens"}, "`format` tokens needs `model`"),
        ({"out": "x.jsonl", "instruction": " "}, "instruction is ' '; say what the user asks for"),
        ({"out": "x.jsonl", "format": "preference", "split": True}, "split is True; held-out texts have no calls"),
    ],
)
def test_an_export_that_cannot_be_written_is_refused_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportOptions(**options)


def test_held_out_texts_are_written_beside_where_that_is_asked_for_and_counted_in_any_case(tmp_path) -> None:
    run = write_texts(str(tmp_path / "run"), {f"t{number}": [SUM] for number in range(20)})
    choice, options = ChooseOptions(run=(run,)), ExportOptions(out=str(tmp_path / "out.jsonl"), format="sharegpt")
    assert export(choice, options).num_held_out == 2
    assert not options.held_out_file.exists()
    done = export(choice, dataclasses.replace(options, split=True))
    assert (done.num_rows, done.num_held_out) == (18, 2)
    lines = options.held_out_file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert not any("function_call" in line for line in lines)
