"""Log-probabilities of a text's tokens: those of the plain forward pass, in their places, whatever is scored beside."""

import math

import pytest
import torch

from tests.support.chain_model import chain_model
from tests.support.models import build_language_model
from tests.support.slow_tools import calculator
from toolformer_ray.decode.completion import Completion
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.request import DecodeRequest, Scoring
from toolformer_ray.lm.model import LanguageModel

PROMPTS = ["so it is", "it is", "1+2", " 7 so it"]
CALLS = DecodeOptions(max_new_tokens=6, call_top_k=1, max_calls=2)
BOTH = Scoring(num_likeliest=2, with_prompt=True)


def answers(requests: list[DecodeRequest], model: LanguageModel | None = None) -> list[Completion]:
    decoder = Decoder(model or chain_model(), {"Calculator": calculator()})
    for request in requests:
        decoder.begin(request)
    for _ in decoder.finish():
        pass
    return [request.completion for request in requests if request.completion is not None]


def test_tokens_stand_where_they_are_told_to_and_say_whose_they_are() -> None:
    [answer] = answers([DecodeRequest("it is", CALLS, scoring=BOTH)])
    assert answer.scores is not None
    whole = "it is" + answer.text
    for token in answer.scores:
        assert whole[token.char_offset :].startswith(token.text)
    assert "".join(token.text for token in answer.scores) == whole
    assert "".join(token.text for token in answer.scores if token.by == "text") == answer.plain_text
    assert "".join(token.text for token in answer.scores if token.by == "prompt") == "it is"


@pytest.mark.parametrize("max_calls", [0, 2])
def test_they_are_those_of_the_plain_forward_pass(max_calls: int) -> None:
    model = build_language_model("llama")
    options = DecodeOptions(max_new_tokens=8, max_calls=max_calls, temperature=1.0, top_p=0.9)
    requests = [DecodeRequest(prompt, options, scoring=BOTH) for prompt in ("The mill ground", "In", "400 sacks")]
    for request, answer in zip(requests, answers(requests, model), strict=True):
        ids = torch.tensor([[*request.text.ids, *request.writing.last_ids]])
        logits_TV = model._network.model(ids).logits[0].float()
        if not max_calls:
            logits_TV[:, sorted(model.tokenizer.bracket_ids)] = -math.inf
        expected_TV = logits_TV.log_softmax(1)
        assert answer.scores is not None
        # The beginning-of-sequence token was put before the prompt, so the prompt's first token has one before it.
        for row, token in enumerate(answer.scores):
            assert token.log_prob == pytest.approx(expected_TV[row, ids[0, row + 1]].item(), abs=1e-4)
            best = expected_TV[row].topk(2).values.tolist()
            assert [log_prob for _, log_prob in token.likeliest] == pytest.approx(best, abs=1e-4)


def test_many_that_are_scored_together_are_scored_like_one() -> None:
    requests = [DecodeRequest(prompt, CALLS, scoring=BOTH) for prompt in PROMPTS * 8]
    alone = [answers([DecodeRequest(prompt, CALLS, scoring=BOTH)])[0] for prompt in PROMPTS]
    for number, answer in enumerate(answers(requests)):
        one = alone[number % len(PROMPTS)]
        assert answer.text == one.text and answer.scores is not None and one.scores is not None
        for found, expected in zip(answer.scores, one.scores, strict=True):
            assert (found.text, found.char_offset, found.by) == (expected.text, expected.char_offset, expected.by)
            assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-4)


def test_a_prompt_that_is_only_scored_is_scored_as_when_a_text_follows() -> None:
    only, more = answers([DecodeRequest("it is", CALLS, scoring=BOTH, is_written=written) for written in (False, True)])
    assert only.text == "" and only.scores is not None and more.scores is not None
    assert only.scores == more.scores[: len(only.scores)]


def test_a_sequence_that_begins_with_its_beginning_token_has_no_number_for_it() -> None:
    bos_ids = chain_model().tokenizer.bos_ids
    ids = chain_model().tokenizer.encode("it is")
    given, added = answers(
        [DecodeRequest(prompt, CALLS, scoring=BOTH, is_written=False) for prompt in ([*bos_ids, *ids], ids)]
    )
    assert given.scores is not None and added.scores is not None
    assert given.num_prompt_tokens == added.num_prompt_tokens
    assert given.scores[0].log_prob is None
    assert [token.log_prob for token in given.scores[1:]] == [token.log_prob for token in added.scores]


def test_a_window_full_of_prompt_may_be_scored() -> None:
    [answer] = answers([DecodeRequest([5] * 511, CALLS, scoring=BOTH, is_written=False)])
    assert answer.scores is not None and len(answer.scores) == 511


def test_tokens_of_a_stop_string_are_not_told() -> None:
    options = DecodeOptions(max_new_tokens=6, max_calls=0, stop=("o it",))
    [answer] = answers([DecodeRequest("it is", options, scoring=Scoring(num_likeliest=1))])
    assert answer.text == " 7 s"
    assert answer.scores is not None
    assert [token.text for token in answer.scores] == [" 7", " so"]


def test_the_sample_of_a_prompt_is_a_name_of_its_random_numbers() -> None:
    options = DecodeOptions(max_new_tokens=12, temperature=1.0, call_top_k=0, max_calls=3, seed=5)

    def write(*samples: int) -> list[str]:
        return [answer.text for answer in answers([DecodeRequest("it is", options, sample=k) for k in samples])]

    together = write(0, 1, 2, 3)
    assert write(2) == together[2:3]
    assert write(3, 1) == [together[3], together[1]]
    assert len(set(together)) > 2
    # The first is the text that there was before there were others.
    assert Decoder(chain_model(), {"Calculator": calculator()}).write(["it is"], options)[0].text == together[0]
