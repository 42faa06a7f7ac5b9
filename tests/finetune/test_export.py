"""Every export is loaded by the reader that it is meant for, and holds C* to the letter."""

import datasets
import pytest
from transformers import DataCollatorForSeq2Seq
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer, apply_chat_template

from tests.support.many_texts import write_texts
from tests.support.models import build_tokenizer, save_model
from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.export import export
from toolformer_ray.finetune.options import ExportOptions

SUM = ("Calculator", "1 + 1", "2", 1.5)
WEAK = ("Calculator", "1 - 1", "0", 0.5)
C_STAR = "a [Calculator(1 + 1) -> 2] is here."
TEMPLATE = (
    "{% for tool in tools or [] %}<tool>{{ tool.function.name }}</tool>{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}({{ c.function.arguments.input }})</call>{% endfor %}"
    "{% endfor %}"
)


@pytest.fixture(params=["jsonl", "parquet"])
def suffix(request) -> str:
    return request.param


def _load(tmp_path, suffix: str, **options) -> datasets.Dataset:
    run = write_texts(str(tmp_path / "run"), {"a": [SUM, WEAK], "b": []})
    out = str(tmp_path / f"out.{suffix}")
    assert export(ChooseOptions(run=(run,)), ExportOptions(out=out, **options)) == 1
    reader = "json" if suffix == "jsonl" else "parquet"
    return datasets.load_dataset(reader, data_files=out, split="train", cache_dir=str(tmp_path / "cache"))


def test_plain_text_is_c_star(tmp_path, suffix: str) -> None:
    assert _load(tmp_path, suffix)["text"] == [C_STAR]


def test_token_ids_and_labels_go_through_the_collator_of_transformers(tmp_path, suffix: str) -> None:
    rows = _load(tmp_path, suffix, format="tokens", model=save_model(tmp_path / "model"))
    tokenizer = build_tokenizer()
    assert tokenizer.decode(rows[0]["input_ids"], skip_special_tokens=True) == C_STAR
    tokenizer.pad_token = tokenizer.eos_token
    features = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in rows]
    batch = DataCollatorForSeq2Seq(tokenizer)(features)
    said = batch["input_ids"][batch["labels"] == -100]
    assert tokenizer.decode(said) == " 2]"


def test_chat_messages_are_read_by_trl_with_their_tools_and_calls(tmp_path, suffix: str) -> None:
    [row] = _load(tmp_path, suffix, format="chat")
    tokenizer = build_tokenizer()
    tokenizer.chat_template = TEMPLATE
    text = apply_chat_template({"messages": row["messages"]}, tokenizer, tools=row["tools"])["text"]
    assert text.startswith("<tool>Calculator</tool><user>Write the text.")
    assert text.endswith("<assistant>a<call>Calculator(1 + 1)</call><tool>2<assistant> is here.")


def test_sharegpt_turns_join_to_c_star(tmp_path, suffix: str) -> None:
    [row] = _load(tmp_path, suffix, format="sharegpt")
    turns = row["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "gpt", "tool", "gpt"]
    assert "".join(turn["value"] for turn in turns[1:]) == C_STAR


def test_a_preference_pair_is_the_kept_call_and_the_rejected_one_before_the_same_words(tmp_path, suffix: str) -> None:
    [row] = _load(tmp_path, suffix, format="preference")
    assert row["prompt"] + row["chosen"] == C_STAR
    assert row["prompt"] + row["rejected"] == "a [Calculator(1 - 1) -> 0] is here."


def test_trl_trains_a_step_on_the_texts_and_one_on_the_pairs(tmp_path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    shared = {"output_dir": str(tmp_path / "trl"), "max_steps": 1, "per_device_train_batch_size": 1, "use_cpu": True}
    shared |= {"report_to": [], "bf16": False, "save_strategy": "no", "disable_tqdm": True}
    model = save_model(tmp_path / "model")
    for name, trainer, config in (("text", SFTTrainer, SFTConfig), ("preference", DPOTrainer, DPOConfig)):
        rows = _load(tmp_path / name, "jsonl", format=name)
        done = trainer(model=model, args=config(**shared), train_dataset=rows, processing_class=tokenizer).train()
        assert done.global_step == 1
        assert done.training_loss > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "x.csv"}, r"out is x\.csv; its name must end in \.jsonl or \.parquet"),
        ({"out": "x.jsonl", "format": "tokens"}, "`format` tokens needs `model`"),
    ],
)
def test_an_export_that_cannot_be_written_is_refused_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportOptions(**options)
