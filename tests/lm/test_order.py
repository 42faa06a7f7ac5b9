"""Which row answers for which token: tables and counting, where every answer is known beforehand."""

import math

import pytest
import torch

from tests.support.asking import Asked, draw_samples, start_log_probs
from tests.support.models import build_counting_model, build_table_model, build_tokenizer
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, ScoreRequest
from toolformer_ray.lm.tokenizer import TextTokenizer

# Byte-level and without merges: Z [ \ ] are neighbours, and so are their ids.
BYTES = 257


def counting_model() -> LanguageModel:
    return LanguageModel(build_counting_model(BYTES), TextTokenizer(build_tokenizer(BYTES), name="counting"))


def test_counting_goes_on_with_thirteen():
    [log_probs] = counting_model().log_probs([ScoreRequest(ids=[10, 11, 12, 13, 15], targets=[1, 2, 3, 4])])
    assert log_probs[:3] == pytest.approx([0, 0, 0], abs=1e-6)
    assert log_probs[3] == pytest.approx(-50)


def test_targets_are_answered_in_the_order_asked():
    [log_probs] = counting_model().log_probs([ScoreRequest(ids=[10, 11, 20, 21], targets=[3, 2, 1])])
    assert log_probs == pytest.approx([0, -50, 0], abs=1e-6)


def test_a_table_of_probabilities_is_answered_to_the_letter():
    # After any token: token 5 with 1/2, token 6 with 1/4, token 7 with 1/4.
    row = torch.full((BYTES,), -40.0)
    row[5:8] = torch.tensor([0.5, 0.25, 0.25]).log()
    model = LanguageModel(build_table_model(row.expand(BYTES, -1)), TextTokenizer(build_tokenizer(BYTES), name="table"))
    [log_probs] = model.log_probs([ScoreRequest(ids=[0, 5, 6, 5], targets=[1, 2, 3])])
    assert log_probs == pytest.approx([math.log(1 / 2), math.log(1 / 4), math.log(1 / 2)], abs=1e-5)


@pytest.mark.parametrize("own", ["", "Q", "Input: Z"])
def test_the_start_marker_is_likely_right_after_the_letter_before_it(own):
    # [ follows Z in the byte alphabet, so a counting model opens a call after every Z and nowhere else.
    model = counting_model()
    request = Asked(own_ids=model.tokenizer.encode(own), text_ids=model.tokenizer.encode("aZbZc"))
    [log_probs] = start_log_probs(model, [0, *model.tokenizer.encode("Output: ")], [request])
    first = 1.0 if own.endswith("Z") else 0.0
    assert [round(math.exp(value), 6) for value in log_probs] == [first, 0, 1, 0, 1]


@pytest.mark.paper("C5")
def test_all_spellings_of_the_start_marker_are_added():
    # " [" with 1/2, "[" with 1/4, the rest with something else.
    tokenizer = TextTokenizer(build_tokenizer(), name="two spellings")
    spaced, bare = tokenizer.encode(" [")[0], tokenizer.encode("[")[0]
    assert set(tokenizer.start_marker_ids) == {spaced, bare}
    row = torch.full((400,), -40.0)
    row[[spaced, bare, 1]] = torch.tensor([0.5, 0.25, 0.25]).log()
    model = LanguageModel(build_table_model(row.expand(400, -1)), tokenizer)
    [log_probs] = start_log_probs(model, [0], [Asked(own_ids=[], text_ids=[7, 8])])
    assert log_probs == pytest.approx([math.log(3 / 4)] * 2, abs=1e-5)


def test_a_sample_goes_on_after_the_start_marker_and_ends_at_the_end_marker():
    model = counting_model()
    request = Asked(own_ids=[], text_ids=[7, 8], places=[Place(token_index=1, keys=[1])])
    [[[sample]]] = draw_samples(model, [0], [request], max_new_tokens=5)
    assert sample.text == "\\"
    assert [model.tokenizer.decode([token]) for token in sample.ids] == ["\\", "]"]


def test_a_sample_without_an_end_marker_is_unfinished():
    request = Asked(own_ids=[], text_ids=[7, 8], places=[Place(token_index=1, keys=[1])])
    [[[sample]]] = draw_samples(counting_model(), [0], [request], max_new_tokens=1)
    assert not sample.is_finished
    assert sample.text is None
    assert len(sample.ids) == 1


def test_an_end_marker_inside_an_entry_keeps_what_stands_before_it():
    # The vocabulary has an entry `?")].`: the call is what comes before its `]`.
    tokenizer = TextTokenizer(build_tokenizer(), name="end inside")
    [end] = [token for token in tokenizer.end_marker_ids if tokenizer.decode([token]) == '")].']
    logits_VV = torch.zeros(400, 400)
    logits_VV[tokenizer.open_ids[-1], tokenizer.encode("Q")[0]] = 50
    logits_VV[tokenizer.encode("Q")[0], end] = 50
    model = LanguageModel(build_table_model(logits_VV), tokenizer)
    request = Asked(own_ids=[], text_ids=[7], places=[Place(token_index=0, keys=[1])])
    [[[sample]]] = draw_samples(model, [0], [request], max_new_tokens=5)
    assert sample.text == 'Q")'
    assert sample.ids[-1] == end


def test_a_sample_that_ends_its_sequence_is_unfinished():
    tokenizer = TextTokenizer(build_tokenizer(), name="stops")
    logits_VV = torch.zeros(400, 400)
    logits_VV[:, tokenizer.bos_ids[0]] = 50
    model = LanguageModel(build_table_model(logits_VV), tokenizer)
    request = Asked(own_ids=[], text_ids=[7], places=[Place(token_index=0, keys=[1])])
    [[[sample]]] = draw_samples(model, [0], [request], max_new_tokens=5)
    assert sample.ids == tokenizer.bos_ids
    assert not sample.is_finished


def test_a_place_outside_its_text_is_refused():
    request = Asked(own_ids=[], text_ids=[7, 8], places=[Place(token_index=2, keys=[1])])
    with pytest.raises(ValueError, match="place 2 is outside a text of 2 tokens"):
        draw_samples(counting_model(), [0], [request], max_new_tokens=5)
