"""A LoRA adapter, alone or beside whole weights, counts: it is merged, or refused in one line, never left out."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.models import save_model
from toolformer_ray.lm import adapters
from toolformer_ray.lm.files import load_network
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.sources import fingerprint_model
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.workflow.model_files import look_at_model

pytest.importorskip("peft")

QUERY = "model.layers.0.self_attn.q_proj"
RANK, ALPHA = 2, 6
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    save_model(folder)
    return folder


def write_adapter(folder, base, *, first=0.5, **fields):
    """An adapter of one layer's queries: A is all `first`, B all ones, so each weight gains alpha / r · r · first."""
    folder.mkdir(exist_ok=True)
    rows, columns = load_file(base / "model.safetensors")[f"{QUERY}.weight"].shape
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base), "r": RANK}
    config |= {"lora_alpha": ALPHA, "target_modules": ["q_proj"], "layers_to_transform": [0]} | fields
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = {
        f"base_model.model.{QUERY}.lora_A.weight": torch.full((RANK, columns), first),
        f"base_model.model.{QUERY}.lora_B.weight": torch.ones(rows, RANK),
    }
    save_file(weights, folder / WEIGHTS)
    return folder


def query_weights(folder):
    return load_network(str(folder), device="cpu", dtype="float32").state_dict()[f"{QUERY}.weight"]


def refusal(folder):
    with pytest.raises(ValueError) as raised:
        LanguageModel.load(str(folder))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_adapter_alone_is_merged_into_the_model_that_it_names(base, tmp_path):
    merged = query_weights(write_adapter(tmp_path / "adapter", base))
    torch.testing.assert_close(merged, query_weights(base) + ALPHA * 0.5)


def test_an_adapter_beside_whole_weights_is_merged_into_them(base, tmp_path):
    plain = query_weights(base)
    beside = tmp_path / "beside"
    shutil.copytree(base, beside)
    write_adapter(beside, base, base_model_name_or_path="never/asked-for")
    torch.testing.assert_close(query_weights(beside), plain + ALPHA * 0.5)


def test_a_merged_model_has_no_modules_of_peft_left(base, tmp_path):
    merged = load_network(str(write_adapter(tmp_path / "adapter", base)), device="cpu", dtype="float32")
    assert [name for name, _ in merged.named_modules() if "lora" in name] == []


def test_the_driver_and_a_worker_see_the_same_model(base, tmp_path):
    adapter = str(write_adapter(tmp_path / "adapter", base))
    assert look_at_model(adapter).fingerprint == LanguageModel.load(adapter).fingerprint


def test_the_fingerprint_follows_the_adapter_its_scale_and_its_model(base, tmp_path):
    def seen(**changes):
        return fingerprint_model(write_adapter(tmp_path / "adapter", base, **changes))

    first = seen()
    assert seen() == first
    other = [seen(first=0.25), seen(lora_alpha=12), fingerprint_model(base)]
    weights = load_file(base / "model.safetensors")
    save_file({name: weight + 1 for name, weight in weights.items()}, base / "model.safetensors", {"format": "pt"})
    assert len({first, *other, seen()}) == 5


def test_the_tokenizer_is_the_adapters_own_where_it_has_one(base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base)
    assert TextTokenizer.load(str(adapter)).encode("a call") == TextTokenizer.load(str(base)).encode("a call")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / name).rename(adapter / name)
    assert TextTokenizer.load(str(adapter)).encode("a call")


def test_an_adapter_of_another_shape_is_one_line(base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base)
    weights = load_file(adapter / WEIGHTS)
    save_file({name: weight[:, :1].contiguous() for name, weight in weights.items()}, adapter / WEIGHTS)
    assert "cannot be merged into its model (" in refusal(adapter)


def test_an_adapter_whose_weights_have_no_place_in_the_model_is_one_line(base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base)
    elsewhere = {name.replace("layers.0", "layers.7"): weight for name, weight in load_file(adapter / WEIGHTS).items()}
    save_file(elsewhere, adapter / WEIGHTS)
    assert "does not fit its model: base_model.model.model.layers.0.self_attn.q_proj.lora_A" in refusal(adapter)


def test_a_relative_model_is_looked_for_beside_the_adapter_and_not_where_the_driver_happens_to_be(
    base, tmp_path, monkeypatch
):
    adapter = write_adapter(tmp_path / "adapter", base, base_model_name_or_path="../base")
    torch.testing.assert_close(query_weights(adapter), query_weights(base) + ALPHA * 0.5)
    monkeypatch.chdir(tmp_path)
    write_adapter(adapter, base, base_model_name_or_path="base")
    assert f"workers are elsewhere; write {str(base)!r} there" in refusal(adapter)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "and no adapter_config.json"),
        (lambda folder: (folder / WEIGHTS).unlink(), "and no adapter_model.safetensors"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter_config.json of adapter"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "adapter_config.json of adapter"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "base_model_name_or_path in adapter_config"),
    ],
)
def test_a_damaged_adapter_is_one_line_that_names_the_file(damage, said, base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base)
    damage(adapter)
    assert said in refusal(adapter)


def test_weights_that_are_pickled_are_not_read(base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base)
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    assert "no adapter_model.safetensors" in refusal(adapter)


def test_an_adapter_that_adds_tokens_in_front_cannot_be_merged_and_is_named(base, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base)}
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"num_virtual_tokens": 2}))
    save_file({"prompt_embeddings": torch.zeros(2, 16)}, adapter / WEIGHTS)
    assert "cannot be merged" in refusal(adapter)


def test_without_peft_one_line_says_what_it_is_and_how_to_merge_it(base, tmp_path, monkeypatch):
    monkeypatch.setattr(adapters.importlib.util, "find_spec", lambda name: None)
    alone = refusal(write_adapter(tmp_path / "adapter", base))
    assert "is an adapter, no whole model (adapter_config.json)" in alone
    assert "pip install 'toolformer-ray[adapters]'" in alone
    assert ".merge_and_unload().save_pretrained(FOLDER)" in alone
    assert "has an adapter beside its own weights (adapter_config.json)" in refusal(write_adapter(base, base))
