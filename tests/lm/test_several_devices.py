"""A model laid over several devices answers as one that lies on one.

Here its layers lie on the CPU, or on the disk until they are asked for: so what loads and moves numbers is at work, but
several GPUs have not been tried.
"""

import pytest

from tests.support.asking import Asked, draw_samples, start_log_probs
from tests.support.models import save_model
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, ScoreRequest

LAYERS = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu"}
REST = ("model.layers.1", "lm_head")


@pytest.mark.parametrize("rest", ["cpu", "disk"])
def test_a_model_that_is_laid_out_answers_as_one_that_is_not(tmp_path, rest):
    folder = save_model(tmp_path)
    plain = LanguageModel.load(folder)
    laid_out = LanguageModel.load(folder, device_map=LAYERS | dict.fromkeys(REST, rest))
    # Layers on different devices have no keys and values in common.
    assert laid_out._network.has_kv_cache == (rest == "cpu")
    ids = plain.tokenizer.encode("The mill ground 400 sacks.")
    scored = [ScoreRequest(ids=[0, *ids], targets=[1, len(ids)])]
    assert laid_out.log_probs(scored)[0] == pytest.approx(plain.log_probs(scored)[0], abs=1e-5)
    asked = [Asked(own_ids=ids, text_ids=ids, places=[Place(token_index=3, keys=[1, 2])])]
    assert start_log_probs(laid_out, [0], asked)[0] == pytest.approx(start_log_probs(plain, [0], asked)[0], abs=1e-5)
    samples = [draw_samples(model, [0], asked, max_new_tokens=5) for model in (plain, laid_out)]
    assert [sample.ids for sample in samples[0][0][0]] == [sample.ids for sample in samples[1][0][0]]
