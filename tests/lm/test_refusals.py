"""What the engine cannot do right it refuses, in one line that names the value and the remedy."""

import json

import pytest
import torch
from transformers import LlamaForCausalLM, MambaConfig, PreTrainedTokenizerFast

from tests.support.asking import Asked, draw_samples, start_log_probs
from tests.support.models import (
    WINDOW,
    build_config_model,
    build_language_model,
    build_model,
    build_tokenizer,
    save_model,
)
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, ScoreRequest
from toolformer_ray.lm.tokenizer import TextTokenizer


def refusal(action) -> str:
    with pytest.raises(ValueError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_saved_model_answers_as_it_did_in_memory(tmp_path):
    loaded, built = LanguageModel.load(save_model(tmp_path)), build_language_model()
    request = ScoreRequest(ids=[0, 5, 6], targets=[1, 2])
    assert loaded.log_probs([request])[0] == pytest.approx(built.log_probs([request])[0], abs=1e-6)
    assert loaded.window == WINDOW


def test_a_path_without_a_model_is_named(tmp_path):
    path = str(tmp_path / "nowhere")
    assert repr(path) in refusal(lambda: LanguageModel.load(path))


def test_a_tokenizer_without_a_model_is_named(tmp_path):
    build_tokenizer().save_pretrained(tmp_path)
    message = refusal(lambda: LanguageModel.load(str(tmp_path)))
    assert repr(str(tmp_path)) in message
    assert "causal language model" in message


def test_weights_that_are_not_safetensors_are_refused(tmp_path):
    save_model(tmp_path)
    torch.save(build_model("llama").state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert "safetensors" in refusal(lambda: LanguageModel.load(str(tmp_path)))


def test_cut_off_weights_are_refused(tmp_path):
    save_model(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be loaded" in refusal(lambda: LanguageModel.load(str(tmp_path)))


def test_missing_weights_are_not_made_up(tmp_path):
    save_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert "lacks" in refusal(lambda: LanguageModel.load(str(tmp_path)))


def test_a_model_that_brings_its_own_code_is_refused(tmp_path):
    save_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    own_code = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config | own_code))
    (tmp_path / "own.py").write_text("raise SystemExit('this code ran')")
    assert "cannot be loaded" in refusal(lambda: LanguageModel.load(str(tmp_path)))


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_named(tmp_path, device):
    path = save_model(tmp_path)
    assert f"device '{device}' is not available" in refusal(lambda: LanguageModel.load(path, device=device))


def test_an_unknown_dtype_is_named_with_the_known_ones(tmp_path):
    path = save_model(tmp_path)
    message = refusal(lambda: LanguageModel.load(path, dtype="int8"))
    assert message == "dtype is int8; it must be one of float32, bfloat16"


def test_bfloat16_weights_are_loaded_as_asked(tmp_path):
    model = LanguageModel.load(save_model(tmp_path), dtype="bfloat16")
    request = ScoreRequest(ids=[0, 5, 6], targets=[1, 2])
    exact = build_language_model().log_probs([request])[0]
    assert model.log_probs([request])[0] == pytest.approx(exact, abs=0.5)
    assert model.log_probs([request])[0] != pytest.approx(exact, abs=1e-6)


def test_a_token_budget_of_nothing_is_refused():
    assert "token_budget is 0" in refusal(lambda: build_language_model(token_budget=0))


def test_a_tokenizer_with_nothing_to_begin_a_sequence_with_is_refused():
    plain = PreTrainedTokenizerFast(tokenizer_object=build_tokenizer().backend_tokenizer)
    tokenizer = TextTokenizer(plain, name="headless")
    assert "'headless' has neither" in refusal(lambda: LanguageModel(build_model("llama"), tokenizer))


def test_a_model_without_attention_is_refused():
    tokenizer = TextTokenizer(build_tokenizer(), name="state space")
    network = build_config_model(MambaConfig(state_size=4))
    assert "'state space' (mamba) keeps a running state" in refusal(lambda: LanguageModel(network, tokenizer))


def test_a_tokenizer_of_another_model_is_refused():
    tokenizer = TextTokenizer(build_tokenizer(), name="mixed")
    network = build_model("llama", vocabulary_size=300)
    assert "'mixed' has 300 tokens, its tokenizer ids up to 374" in refusal(lambda: LanguageModel(network, tokenizer))


def test_a_family_whose_logits_the_engine_would_get_wrong_is_refused(monkeypatch):
    network, forward = build_model("llama"), LlamaForCausalLM.forward

    def doubled(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", doubled)
    tokenizer = TextTokenizer(build_tokenizer(), name="doubled")
    assert "'doubled' (llama) answers differently" in refusal(lambda: LanguageModel(network, tokenizer))


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, n: m.log_probs([ScoreRequest(ids=[0] * n, targets=[1])]),
        lambda m, n: m.log_probs_alone(ScoreRequest(ids=[0] * n, targets=[1])),
        lambda m, n: m.start_log_probs_alone(Asked(own_ids=[5], text_ids=[6] * (n - 101)).prompt([0] * 100)),
        lambda m, n: draw_samples(
            m,
            [0] * 100,
            [Asked(own_ids=[5], text_ids=[6] * (n - 110), places=[Place(token_index=n - 111, keys=[1])])],
            max_new_tokens=9 - len(m.tokenizer.open_ids),
        ),
        lambda m, n: m.read_texts([[6] * (n - 1)], [False]),
    ],
    ids=["score", "score alone", "start alone", "sample", "text"],
)
def test_a_sequence_may_fill_the_window_and_not_exceed_it(ask):
    model = build_language_model()
    ask(model, WINDOW)
    message = refusal(lambda: ask(model, WINDOW + 1))
    assert message.startswith(f"a sequence of {WINDOW + 1} tokens exceeds the window of {WINDOW} tokens")


@pytest.mark.parametrize("target", [0, -1, 3])
def test_a_target_outside_its_sequence_is_refused(target):
    request = ScoreRequest(ids=[0, 5, 6], targets=[target])
    assert f"target {target} " in refusal(lambda: build_language_model().log_probs([request]))


def test_sequences_without_a_beginning_are_refused():
    request = Asked(own_ids=[], text_ids=[5])
    assert "shared_ids is empty" in refusal(lambda: start_log_probs(build_language_model(), [], [request]))
