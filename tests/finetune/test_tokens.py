"""The tokens that the model learns are those that it meets when it decodes."""

import pytest

from tests.support.models import build_tokenizer
from toolformer_ray.finetune.choose import Example
from toolformer_ray.finetune.tokens import shorten, tokenise
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.stages import KeptCall

TOKENIZER = TextTokenizer(build_tokenizer())
TEXT = "Of 1400 people 400 passed."


def _call(offset: int) -> KeptCall:
    return KeptCall(tool="Calculator", call_input="400 / 1400", result="0.29", char_offset=offset, loss_reduction=1.0)


@pytest.mark.paper("N1")
def test_a_call_is_start_marker_what_the_model_writes_and_what_the_tool_says_each_encoded_by_itself() -> None:
    example = Example(text_id="a", text=TEXT, calls=(_call(TEXT.index(" 400")),))
    text = tokenise(example, TOKENIZER, TOKENIZER.end_ids)
    before, after = "Of 1400 people", " 400 passed."
    pieces = [before, " [", "Calculator(400 / 1400) ->", " 0.29]", after]
    assert list(text.ids) == [0, *(token for piece in pieces for token in TOKENIZER.encode(piece)), 0]
    said = [token for token, is_result in zip(text.ids, text.is_result, strict=True) if is_result]
    assert TOKENIZER.decode(said) == " 0.29]"


def test_the_text_around_its_calls_has_the_tokens_that_it_has_without_them() -> None:
    plain = tokenise(Example(text_id="a", text=TEXT), TOKENIZER, ())
    called = tokenise(Example(text_id="a", text=TEXT, calls=(_call(2), _call(14))), TOKENIZER, ())
    call = [token for piece in (" [", "Calculator(400 / 1400) ->", " 0.29]") for token in TOKENIZER.encode(piece)]
    first = list(called.ids).index(call[0])
    without_first = [*called.ids[:first], *called.ids[first + len(call) :]]
    second = without_first.index(call[0])
    assert [*without_first[:second], *without_first[second + len(call) :]] == list(plain.ids)


def test_a_call_inside_a_token_means_another_tokenizer_and_is_refused() -> None:
    with pytest.raises(ValueError, match="call at character 4 of text a stands inside a token; fine-tune the model"):
        tokenise(Example(text_id="a", text="in the town", calls=(_call(4),)), TOKENIZER, ())


def test_long_texts_are_cut_and_counted() -> None:
    texts = [tokenise(Example(text_id="a", text=text), TOKENIZER, ()) for text in ("one", "one " * 40)]
    shortened, num_cut = shorten(texts, 20)
    assert num_cut == 1
    assert [len(text.ids) for text in shortened] == [len(texts[0].ids), 20]
    assert len(shortened[1].is_result) == 20
