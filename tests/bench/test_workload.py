"""The models and texts of the comparison, and the calls that are made of samples."""

import pytest

from tests.support.models import WINDOW, build_tokenizer, save_model
from toolformer_ray.bench.__main__ import main
from toolformer_ray.bench.calls import CALL_TOKENS, distinct_calls
from toolformer_ray.bench.models import load_model, load_tokenizer
from toolformer_ray.bench.workload import Workload, make_texts
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import render_call


@pytest.fixture
def tokenizer() -> TextTokenizer:
    return TextTokenizer(build_tokenizer())


def test_texts_have_exactly_the_length_asked_for_and_follow_from_the_seed(tokenizer: TextTokenizer) -> None:
    texts = make_texts(tokenizer, 3, 80)
    assert [len(text.text_ids) for text in texts] == [80, 80, 80]
    assert texts == make_texts(tokenizer, 3, 80)
    assert texts != make_texts(tokenizer, 3, 80, seed=1)
    slot = tokenizer.decode(list(texts[0].own_ids))
    assert slot == tokenizer.decode(list(texts[0].text_ids)) + "\nOutput: "


def test_a_text_of_no_tokens_is_refused_by_name(tokenizer: TextTokenizer) -> None:
    with pytest.raises(ValueError, match="1 texts of 0 tokens"):
        make_texts(tokenizer, 1, 0)


def test_equal_samples_are_one_call_and_malformed_ones_none(tokenizer: TextTokenizer) -> None:
    work = Workload(shared_ids=[0], texts=[])
    written = ["Calculator(2 + 3)", "Calculator(2 + 3)", "QA(2)", None, " Calculator(a few)", "9)"]
    calls = distinct_calls(tokenizer, work, 4, 7, [Sample(ids=(1,), text=text) for text in written])
    assert [(call.text, call.token_index) for call in calls] == [(4, 7), (4, 7)]
    bos_ids = tokenizer.bos_ids
    # What the calculator refuses gets a constant.
    for call, call_input, result in zip(calls, ["2 + 3", "a few"], ["5", "7"], strict=True):
        for ids, told in [(call.ids_with_result, result), (call.ids_without_result, "")]:
            assert ids == (*bos_ids, *tokenizer.encode(render_call("Calculator", call_input, told)))


def test_random_weights_make_calls_of_a_fixed_number_of_tokens(tokenizer: TextTokenizer) -> None:
    work = Workload(shared_ids=[0], texts=[], writes_calls=False)
    samples = [Sample(ids=tuple(range(100, 120)), text=None), Sample(ids=(*range(100, 112), 5), text=None)]
    (call,) = distinct_calls(tokenizer, work, 0, 0, samples)
    start = (*tokenizer.bos_ids, *tokenizer.open_ids, *range(100, 100 + CALL_TOKENS))
    assert call.ids_with_result == (*start, *tokenizer.encode(" -> 432]"))


def test_a_folder_is_benched_with_its_own_tokenizer_and_never_beyond_its_window(tmp_path):
    folder = save_model(tmp_path)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.name == folder
    loaded = load_model(folder, tokenizer, window=WINDOW, device="cpu", dtype="float32")
    assert (loaded.title, loaded.writes_calls) == (tmp_path.name, True)
    with pytest.raises(ValueError, match=f"reads fewer than {WINDOW + 1} tokens; give --tokens a smaller number"):
        load_model(folder, tokenizer, window=WINDOW + 1, device="cpu", dtype="float32")


def test_a_model_that_is_neither_named_nor_a_folder_is_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--model", "gpt5"])
    assert "--model is 'gpt5'; it must be one of miniature, gpt2-124m" in capsys.readouterr().err
