"""Short texts share rows, and nothing of one reaches another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BloomConfig, FalconConfig, GPTJConfig, OPTConfig, PreTrainedConfig

from tests.support.models import FAMILIES, build_config_model, build_model
from toolformer_ray.finetune.packing import IGNORED, PackedRows, keeps_texts_apart, pack
from toolformer_ray.finetune.tokens import TokenisedText


def _text(*ids: int, results: tuple[int, ...] = ()) -> TokenisedText:
    return TokenisedText(ids=ids, is_result=[index in results for index in range(len(ids))])


@given(st.lists(st.integers(1, 16), max_size=60))
def test_every_text_is_in_exactly_one_row_and_no_row_is_too_long(lengths: list[int]) -> None:
    rows = pack(lengths, 16)
    assert sorted(text for row in rows for text in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[text] for text in row) <= 16 for row in rows)
    # Two rows that would fit into one do not occur.
    fills = sorted(sum(lengths[text] for text in row) for row in rows)
    assert len(fills) < 2 or fills[0] + fills[1] > 16


def test_a_row_is_texts_end_to_end_each_counted_from_0_and_its_first_token_foretold_by_nothing() -> None:
    rows = PackedRows([_text(5, 6, 7), _text(8, 9)], [[0, 1]], max_length=7, masks_results=False)
    row = {name: tensor.tolist() for name, tensor in rows[0].items()}
    assert row["input_ids"] == [5, 6, 7, 8, 9, 0, 0]
    assert row["position_ids"] == [0, 1, 2, 0, 1, 0, 1]
    assert row["labels"] == [IGNORED, 6, 7, IGNORED, 9, IGNORED, IGNORED]


@pytest.mark.paper("N1")
def test_what_a_tool_said_is_left_out_of_the_loss_only_if_that_is_asked_for() -> None:
    texts = [_text(5, 6, 7, 8, results=(2,))]
    assert PackedRows(texts, [[0]], 4, masks_results=True)[0]["labels"].tolist() == [IGNORED, 6, IGNORED, 8]
    assert PackedRows(texts, [[0]], 4, masks_results=False)[0]["labels"].tolist() == [IGNORED, 6, 7, 8]


def test_a_text_that_fits_no_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="a text of 5 tokens fits no row of 4"):
        pack([5], 4)


@pytest.mark.parametrize("config", [*FAMILIES, GPTJConfig(rotary_dim=8)], ids=[*FAMILIES, "gptj"])
def test_a_text_in_a_shared_row_has_the_logits_that_it_has_alone_and_is_seen_to(config: str | PreTrainedConfig) -> None:
    model = build_model(config) if isinstance(config, str) else build_config_model(config)
    model.config.use_cache = False
    first, second = _text(*range(5, 25)), _text(*range(40, 70))
    shared = PackedRows([first, second], [[0, 1]], max_length=60, masks_results=False)[0]
    logits = model(input_ids=shared["input_ids"][None], position_ids=shared["position_ids"][None]).logits[0]
    alone = model(input_ids=torch.tensor([second.ids])).logits[0]
    assert torch.allclose(logits[20:50], alone, atol=1e-4)
    assert keeps_texts_apart(model, range(5, 40))


@pytest.mark.parametrize(
    "config",
    [OPTConfig(ffn_dim=64, word_embed_proj_dim=32), FalconConfig(), BloomConfig()],
    ids=lambda config: config.model_type,
)
@pytest.mark.parametrize("ids", [range(5, 40), [7] * 20, [5, 6]], ids=["many", "equal", "two"])
def test_a_model_whose_attention_crosses_from_text_to_text_is_seen_to(config: PreTrainedConfig, ids) -> None:
    model = build_config_model(config)
    model.config.use_cache = False
    assert not keeps_texts_apart(model, ids)
