"""The floor's arithmetic, on numbers that can be added up by hand."""

import dataclasses

import numpy as np
import pytest
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, PreTrainedModel

from tests.support.models import build_model, build_tokenizer
from toolformer_ray.bench.calls import Call
from toolformer_ray.bench.engine_run import Annotation
from toolformer_ray.bench.floor import Cost, ModelCost, count_floor, layer_shapes
from toolformer_ray.bench.workload import BenchText, Workload
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.tokenizer import TextTokenizer

# A token costs 2 operations, 4 more for each token it sees; a row of the head 1,000,000.
SIMPLE = ModelCost(layer_weights=1, attention_width=1, head_weights=500_000)


def test_a_token_pays_for_every_token_that_it_sees() -> None:
    # The tokens after 10 others see 11, 12 and 13.
    assert SIMPLE.read(10, 3) == 2 * 3 + 4 * (11 + 12 + 13)
    assert SIMPLE.project(3) == 3_000_000


def test_the_floor_counts_what_has_to_be_read_and_no_more() -> None:
    tokenizer = TextTokenizer(build_tokenizer())
    assert len(tokenizer.bos_ids) == len(tokenizer.open_ids) == 1
    text = BenchText(own_ids=[1] * 14, text_ids=[2] * 12, is_place=[True] * 12)
    work = Workload(shared_ids=[0] * 100, texts=[text], num_places=2, num_samples=2)
    call = Call(text=0, token_index=3, ids_with_result=[0] * 9, ids_without_result=[0] * 6)
    same_call_later = dataclasses.replace(call, token_index=4)
    other_call = dataclasses.replace(call, ids_with_result=[1] * 9)
    found = Annotation(
        log_starts=[np.zeros(12)],
        places=[[3, 4]],
        loss_without={(0, 3): 2.0, (0, 4): 0.1},
        samples={(0, 3): [Sample(ids=(7, 8, 9, 5), text="x"), Sample(ids=(5,), text="")]},
        calls=[call, same_call_later, other_call],
        loss_with_result=[1.0, 0.0, 1.9],
        loss_with_call={0: 2.0},
    )
    floor = count_floor(SIMPLE, work, tokenizer, found)
    # Own ids and 11 of the text's 12 tokens after the prompt; a row for each of the 12.
    assert floor["positions"] == Cost(25, SIMPLE.read(100, 25) + SIMPLE.project(12))
    # Tokens 3 to 8 count; the last of them is foretold by the beginning of the sequence and tokens 0 to 7.
    assert floor["loss without"] == Cost(9, SIMPLE.read(0, 9) + SIMPLE.project(6))
    # The start marker once, 3 of the first sample's 4 tokens, none of the second's only one; a row for each drawn
    # but that of the second sample's first, which the start marker's row gives both.
    assert floor["samples"].tokens == 1 + 3 + 0
    assert floor["samples"].operations == SIMPLE.read(117, 1) + SIMPLE.read(118, 3) + SIMPLE.project(4)
    # 9 tokens of the call and tokens 0 to 7 of the text foretell token 8, the last that counts at either place; for the
    # other call 9 and tokens 0 to 6.
    twice, once = SIMPLE.read(0, 17) + SIMPLE.project(6), SIMPLE.read(0, 16) + SIMPLE.project(5)
    assert floor["loss with result"] == Cost(17 + 16, twice + once)
    assert floor["loss with call"] == Cost(13, SIMPLE.read(0, 13) + SIMPLE.project(5))


def test_a_models_cost_is_counted_from_its_matrices() -> None:
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=20,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=2,
    )
    cost = ModelCost.of(LlamaForCausalLM(config))
    # Queries and output 8 x 8, keys and values 8 x 4, three of 8 x 20.
    assert cost.layer_weights == 3 * (2 * 64 + 2 * 32 + 3 * 160)
    assert cost.attention_width == 3 * 4 * 2
    assert cost.head_weights == 8 * 50


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "qwen2"])
def test_every_family_counts_all_matrices_but_embeddings_and_head(family: str) -> None:
    model: PreTrainedModel = build_model(family)
    matrices = [p for name, p in model.base_model.named_parameters() if p.dim() == 2 and _is_inside_a_layer(name)]
    assert sum(a * b for a, b in layer_shapes(model)) == sum(p.numel() for p in matrices)


def test_a_mixture_of_experts_is_refused() -> None:
    model = build_model("llama")
    model.config = MixtralConfig(num_hidden_layers=1)
    with pytest.raises(ValueError, match="mixture of experts"):
        ModelCost.of(model)


def _is_inside_a_layer(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))
