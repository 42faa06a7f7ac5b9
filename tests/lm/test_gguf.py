"""A GGUF file is a model like another: its tokens, its numbers, its hash; without the package gguf it is one line."""

import importlib.util
from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.support.models import SHAPE, WINDOW, build_tokenizer
from toolformer_ray.lm.files import load_network
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import ScoreRequest
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.workflow.model_files import look_at_model

TEXT = "The mill  ground 400 sacks,\n120 more [Calculator(400 - 120) -> 280] café."
needs_gguf = pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="the package gguf is not installed")


def build_llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        **SHAPE, vocab_size=len(build_tokenizer()), max_position_embeddings=WINDOW, tie_word_embeddings=True
    )
    return LlamaForCausalLM(config)


def write_gguf(path: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> str:
    """The model as llama.cpp writes it, with numbers of full length. Returns the path."""
    from gguf import GGUFWriter, TokenType

    config, names = model.config, tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    merges = [" ".join(pair) for pair in tokenizer_merges(tokenizer)]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([TokenType.CONTROL, *[TokenType.NORMAL] * (len(names) - 1)])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in gguf_tensors(model).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def tokenizer_merges(tokenizer: PreTrainedTokenizerFast) -> list[list[str]]:
    import json

    return json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]


def gguf_tensors(model: LlamaForCausalLM) -> dict[str, object]:
    """The weights under llama.cpp's names; it pairs the rotary features of queries and keys in another order."""
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    weights = {name: weight.detach().float().numpy() for name, weight in model.state_dict().items()}
    tensors = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
    }
    for layer in range(model.config.num_hidden_layers):
        for part, name in parts.items():
            weight = weights[f"model.layers.{layer}.{part}.weight"]
            if name in ("attn_q", "attn_k"):
                heads = len(weight) // model.config.head_dim
                weight = weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
            tensors[f"blk.{layer}.{name}.weight"] = weight
    return tensors


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    import torch

    torch.manual_seed(0)
    return build_llama().eval()


@needs_gguf
def test_a_gguf_file_has_the_tokens_and_the_losses_of_the_folder(model, tmp_path):
    tokenizer = build_tokenizer()
    file = write_gguf(tmp_path / "model.gguf", model, tokenizer)
    loaded, plain = LanguageModel.load(file), LanguageModel(model, TextTokenizer(tokenizer, name="plain"))
    ids = plain.tokenizer.encode(TEXT)
    assert loaded.tokenizer.encode(TEXT) == ids
    assert loaded.tokenizer.decode(ids) == TEXT
    assert (loaded.tokenizer.bos_ids, loaded.window) == ((0,), WINDOW)
    request = ScoreRequest(ids=[0, *ids], targets=range(1, len(ids) + 1))
    assert loaded.log_probs([request])[0] == pytest.approx(plain.log_probs([request])[0], abs=1e-5)


@needs_gguf
def test_the_content_of_a_gguf_file_is_its_fingerprint(model, tmp_path):
    file = write_gguf(tmp_path / "model.gguf", model, build_tokenizer())
    copied = tmp_path / "copy.gguf"
    copied.write_bytes(Path(file).read_bytes())
    assert (
        look_at_model(file).fingerprint
        == look_at_model(str(copied)).fingerprint
        == LanguageModel.load(file).fingerprint
    )
    content = bytearray(copied.read_bytes())
    content[-1] ^= 1
    copied.write_bytes(content)
    assert look_at_model(file).fingerprint != look_at_model(str(copied)).fingerprint


@needs_gguf
def test_what_was_loaded_from_a_gguf_file_is_saved_as_a_plain_folder(model, tmp_path):
    file = write_gguf(tmp_path / "model.gguf", model, build_tokenizer())
    load_network(file, device="cpu", dtype="float32").save_pretrained(tmp_path / "plain")
    build_tokenizer().save_pretrained(tmp_path / "plain")
    assert "quantization_config" not in (tmp_path / "plain/config.json").read_text()
    assert LanguageModel.load(str(tmp_path / "plain")).window == WINDOW


@needs_gguf
@pytest.mark.parametrize("num_bytes", [4, 60, 5000])
def test_a_gguf_file_that_is_cut_off_is_one_line(num_bytes, model, tmp_path):
    file = Path(write_gguf(tmp_path / "model.gguf", model, build_tokenizer()))
    file.write_bytes(file.read_bytes()[:num_bytes])
    with pytest.raises(ValueError, match=r"model\.gguf") as refused:
        LanguageModel.load(str(file))
    assert "\n" not in str(refused.value)


def test_without_the_package_gguf_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(ValueError, match=r"is not installed; install it: pip install 'toolformer-ray\[gguf\]'$"):
        look_at_model(str(tmp_path / "model.gguf"))
