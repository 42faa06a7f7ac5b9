"""What is no causal language model, or a damaged one, is refused in one line before anything is spent."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, StableLmConfig, StableLmForCausalLM, T5Config
from transformers import T5ForConditionalGeneration as T5Model

from tests.support.models import SHAPE, WINDOW, build_tokenizer, save_model
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.errors import OptionError
from toolformer_ray.workflow.model_files import look_at_model


def refusal(folder: Path) -> str:
    """What is said of a model that can be told to be wrong by its configuration, by who loads and by who only looks."""
    with pytest.raises(ValueError) as loaded:
        LanguageModel.load(str(folder))
    with pytest.raises(OptionError) as looked_at:
        look_at_model(str(folder))
    assert "\n" not in str(loaded.value)
    assert looked_at.value.remedy == str(loaded.value)
    return str(loaded.value)


def change(path: Path, **fields: object) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | fields))


def test_an_encoder_is_named_as_one(tmp_path):
    BertForMaskedLM(BertConfig(**SHAPE, vocab_size=400)).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    assert "(BertForMaskedLM) is an encoder, which sees the words after a place" in refusal(tmp_path)


def test_a_sequence_to_sequence_model_is_named_as_one(tmp_path):
    T5Model(T5Config(vocab_size=400, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    assert "(T5ForConditionalGeneration) is a sequence-to-sequence model" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_position_embeddings": 1024.0}, "max_position_embeddings"),
        ({"max_position_embeddings": None}, "max_position_embeddings"),
        ({"max_position_embeddings": -5}, "max_position_embeddings in config.json of model"),
        ({"model_type": "no-such-type"}, "no-such-type"),
        ({"model_type": 7}, "config.json of model"),
        ({"eos_token_id": "<|endoftext|>"}, "eos_token_id"),
        ({"rope_parameters": "x"}, "config.json of model"),
    ],
)
def test_a_field_of_a_wrong_kind_is_one_line_that_names_file_and_field(fields, named, tmp_path):
    save_model(tmp_path)
    change(tmp_path / "config.json", **fields)
    line = refusal(tmp_path)
    assert named in line and "config.json" in line and repr(str(tmp_path)) in line


def test_a_generation_config_that_cannot_be_read_is_named(tmp_path):
    save_model(tmp_path)
    (tmp_path / "generation_config.json").write_text("{")
    assert refusal(tmp_path).startswith(f"generation_config.json of model {str(tmp_path)!r} cannot be read (")


def test_a_configuration_to_which_the_weights_do_not_fit_is_one_line(tmp_path):
    save_model(tmp_path)
    change(tmp_path / "config.json", num_attention_heads=5)
    assert refusal(tmp_path).startswith(f"config.json of model {str(tmp_path)!r} cannot be loaded (")


def test_a_model_that_breaks_in_its_first_pass_is_refused(tmp_path):
    # Its key heads do not divide its heads, which only its attention finds out.
    shape = {**SHAPE, "num_key_value_heads": 32}
    StableLmForCausalLM(StableLmConfig(**shape, vocab_size=400, max_position_embeddings=WINDOW)).save_pretrained(
        tmp_path
    )
    build_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"^model {str(tmp_path)!r} breaks in its first pass \(") as refused:
        LanguageModel.load(str(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_named(value, tmp_path):
    save_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.embed_tokens.weight"][399, 3] = value
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"weights that are no numbers .* in model\.embed_tokens\.weight; copy it"):
        LanguageModel.load(str(tmp_path))


def test_a_quantised_checkpoint_that_cannot_be_run_is_named_with_its_method(tmp_path):
    save_model(tmp_path)
    change(tmp_path / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ValueError, match=r"is quantised \(gptq\), which this installation of torch cannot run \("):
        LanguageModel.load(str(tmp_path))


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert "is a file and no GGUF; give the folder of a model" in refusal(tmp_path / "model.safetensors")


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_every_end_token_that_a_configuration_names_ends_a_text(file, tmp_path):
    save_model(tmp_path)
    assert TextTokenizer.load(str(tmp_path)).stop_ids == {0}
    change(tmp_path / file, eos_token_id=[0, 17])
    ends = TextTokenizer.load(str(tmp_path))
    assert ends.stop_ids == {0, 17}
    # It stays an entry that stands for text: a text may have it.
    assert ends.special_ids == {0} and ends.end_ids == (0,)


def test_a_copy_of_a_model_is_the_same_model(tmp_path):
    save_model(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert look_at_model(str(tmp_path / "one")).fingerprint == look_at_model(str(tmp_path / "two")).fingerprint


def test_a_weight_of_another_shape_is_named_with_both_and_nothing_is_printed(tmp_path, capfd):
    save_model(tmp_path)
    change(tmp_path / "config.json", intermediate_size=80)
    capfd.readouterr()
    with pytest.raises(ValueError, match=r"^weight model\.layers\.0\.mlp\.down_proj\.weight of model .* \(32, 64\), "):
        LanguageModel.load(str(tmp_path))
    assert "MISMATCH" not in capfd.readouterr().err
