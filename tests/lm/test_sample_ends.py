"""Where a sample ends: at the end marker, at a given stop, after the most tokens allowed."""

import pytest
import torch

from tests.support.models import build_table_model, build_tokenizer
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, Prompt, Sample
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.sampler import SamplingOptions

PIECES = ["-", ">", " -", " ->", ")", "4", "]", "<|endoftext|>"]


def rambling_model() -> LanguageModel:
    """Writes the pieces of an arrow, of a call's end and the end of a sequence in any order, whatever came before."""
    tokenizer = TextTokenizer(build_tokenizer(), name="rambling")
    entries = {tokenizer.decode([token]): token for token in range(400)}
    row_V = torch.full((400,), -40.0)
    row_V[[entries[piece] for piece in PIECES]] = 0.0
    return LanguageModel(build_table_model(row_V.expand(400, -1)), tokenizer)


def ramblings(model: LanguageModel, *, stop: str | None, max_new_tokens: int = 12) -> list[Sample]:
    prompt = Prompt(shared_ids=[*model.tokenizer.bos_ids], own_ids=[], text_ids=[7, 8])
    place = Place(token_index=1, keys=range(400))
    [[samples]] = model.sample_calls([prompt], lambda *_: [[place]], max_new_tokens=max_new_tokens, stop=stop)
    return samples


def test_a_sample_that_stops_is_the_beginning_of_one_that_goes_on_however_the_stop_is_cut_into_tokens():
    model = rambling_model()
    decode = model.tokenizer.decode
    last_tokens = set()
    for stopped, whole in zip(ramblings(model, stop="->"), ramblings(model, stop=None), strict=True):
        text, arrow, _ = decode(whole.ids).partition("->")
        assert stopped.text == (text if arrow else whole.text)
        assert stopped.ids == whole.ids[: len(stopped.ids)]
        assert "->" not in decode(stopped.ids[:-1])
        last_tokens |= {decode(stopped.ids[-1:])} if arrow else set()
    # Whole, or in two pieces.
    assert last_tokens == {" ->", ">"}


def test_the_stop_ends_a_sample_with_the_last_token_allowed_and_ends_it_before_the_end_marker():
    samples = ramblings(rambling_model(), stop="->", max_new_tokens=2)
    texts = {sample.text for sample in samples if len(sample.ids) == 2}
    # Arrows in two pieces and behind another piece; one end marker; what has neither is unfinished.
    assert texts >= {"", " ", "4", ")", None}
    assert all("->" not in text and "]" not in text for text in texts if text)


def test_an_empty_stop_is_refused():
    with pytest.raises(ValueError, match="stop is ''; it must have at least one character"):
        SamplingOptions(max_new_tokens=1, stop="")
