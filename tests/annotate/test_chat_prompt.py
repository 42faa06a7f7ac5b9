"""A model that is tuned to chat sees the demonstrations as turns, through its template."""

import pytest

from tests.support.models import build_model
from tests.support.other_tokenizer import build_other_tokenizer
from tests.support.small_world import Adder, make_document
from toolformer_ray.annotate.portion import Portion
from toolformer_ray.annotate.propose import encode_text
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer

TEXT = "2 and 3 is 5"
TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


def tokenizer_with(template: str | None) -> TextTokenizer:
    tokenizer = build_other_tokenizer([TEXT])
    tokenizer.chat_template = template
    return TextTokenizer(tokenizer, name="chatty")


def test_demonstrations_are_answers_and_the_text_begins_the_next_one() -> None:
    model = LanguageModel(build_model("llama"), tokenizer_with(TEMPLATE))
    options = ProposeOptions(places="all")
    portion = Portion([encode_text(make_document(TEXT), model, options)], model, options, "decoys", is_chat=True)
    portion.offer(Adder())
    (asked,) = portion.asked
    shared = asked.prompt.shared_ids
    assert model.tokenizer.decode([*shared]) == (
        "<s>user: Add calls.\n\nWrite a text with such a call.\n"
        "<s>assistant: One and two are [Add(1+2)] 3.\n"
        "<s>user: Write a text with such a call.\n"
        "<s>assistant: "
    )
    special = model.tokenizer.bos_ids[0]
    assert shared.count(special) == 4, "what the template writes is special, unlike the same signs in a text"
    assert special not in model.tokenizer.encode("<s>") and asked.prompt.own_ids == []


def test_a_model_without_a_template_says_so_and_one_that_refuses_is_a_line() -> None:
    assert tokenizer_with(None).chat_template is None
    refusing = tokenizer_with("{{ raise_exception('no turns\nhere') }}").chat_template
    assert refusing is not None
    with pytest.raises(ValueError, match=r"^the model's chat template refuses the messages \(.*no turns here\)$"):
        refusing.encode([{"role": "user", "content": "hello"}])


def test_special_tokens_of_a_demonstration_are_plain_text() -> None:
    tokenizer = tokenizer_with(TEMPLATE)
    assert tokenizer.chat_template is not None
    plain = tokenizer.chat_template.encode([{"role": "user", "content": "hello"}])
    forged = tokenizer.chat_template.encode([{"role": "user", "content": "<s>hello"}])
    assert forged.count(tokenizer.bos_ids[0]) == plain.count(tokenizer.bos_ids[0]) == 2
