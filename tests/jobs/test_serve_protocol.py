"""Requests of any kind, read without a server: what is asked for, and that whatever is wrong names its field."""

import json
from typing import Any

import pytest

from toolformer_ray.decode.request import Scoring
from toolformer_ray.jobs.decoding.protocol.chat import plain_conversation, read_chat
from toolformer_ray.jobs.decoding.protocol.completions import read_completion
from toolformer_ray.jobs.decoding.protocol.errors import BadRequest
from toolformer_ray.jobs.decoding.protocol.fields import parse_object
from toolformer_ray.jobs.decoding.protocol.request import TextsRequest

# Values of every type that JSON has, huge and tiny numbers, and text that UTF-8 cannot hold.
HOSTILE: list[Any] = [
    *(True, False, 0, -1, 1.5, 10**30, -(10**30), 10**5000, 1e308, 5e-324, "", "x", "\ud800", "NaN", "1"),
    *([], [None], [[]], [[[]]], [""], ["x", 1], [-1], [10**30], [1.0], [True], {}, {"x": 1}, [{}], ["\ud800"]),
]
# What a field takes of these; any other has to be refused by its name.
FINE_FOR_BOTH = {
    "model": [],
    "n": [],
    "temperature": [0, 1.5],
    "top_p": [5e-324],
    "stop": ["x", "\ud800", "NaN", "1", [], ["\ud800"]],
    "seed": [0, -1],
    "stream": [True, False],
    "stream_options": [{}],
    "presence_penalty": [0],
    "frequency_penalty": [0],
    "logit_bias": [{}],
    "max_calls": [0],
    "call_top_k": [0],
    "max_call_tokens": [],
    "barred": ["x", "\ud800", "NaN", "1", [], ["\ud800"]],
    "today": [""],
}
FINE_FOR_COMPLETIONS = FINE_FOR_BOTH | {
    "prompt": ["", "x", "\ud800", "NaN", "1", [""], ["\ud800"]],
    "max_tokens": [],
    "echo": [True, False],
    "logprobs": [0],
    "suffix": [""],
    "best_of": [],
}
FINE_FOR_CHAT = FINE_FOR_BOTH | {
    "messages": [],
    "max_tokens": [],
    "max_completion_tokens": [],
    "logprobs": [True, False],
    "top_logprobs": [0],
    "response_format": [],
}
ANYTHING = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")


def completion(**fields: Any) -> TextsRequest:
    return read_completion({"model": "m", "prompt": "so", **fields}, "m")


def chat(**fields: Any) -> TextsRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "so"}], **fields}
    return read_chat(body, "m", plain_conversation)


def is_one_of(value: Any, accepted: list[Any]) -> bool:
    return any(type(value) is type(one) and value == one for one in accepted)


def test_hostile_values_of_every_field_are_refused_by_its_name() -> None:
    tried = 0
    for read, fine in ((completion, FINE_FOR_COMPLETIONS), (chat, FINE_FOR_CHAT)):
        for field, accepted in fine.items():
            for value in HOSTILE:
                if is_one_of(value, accepted):
                    continue
                with pytest.raises(BadRequest) as refused:
                    read(**{field: value})
                assert (refused.value.param or "").split(".")[0].split("[")[0] == field, (field, value)
                # A reply is UTF-8, and short.
                assert len(json.dumps(refused.value.body(), ensure_ascii=False).encode()) < 600
                tried += 1
    assert tried > 900


def test_what_a_field_takes_is_taken() -> None:
    for read, fine in ((completion, FINE_FOR_COMPLETIONS), (chat, FINE_FOR_CHAT)):
        for field, accepted in fine.items():
            for value in (*accepted, *([None] if field not in ("model", "prompt", "messages") else [])):
                read(**{field: value})


@pytest.mark.parametrize("field", ANYTHING)
def test_fields_that_say_nothing_of_the_text_are_ignored_whatever_they_are(field: str) -> None:
    for value in HOSTILE:
        assert completion(**{field: value, "seed": 1}) == completion(seed=1)


@pytest.mark.parametrize("read", [completion, chat])
@pytest.mark.parametrize("field", ["tool", "maxTokens", "top_k", "min_p", "\ud800", "x" * 10_000])
def test_a_field_that_is_not_known_is_named(read: Any, field: str) -> None:
    with pytest.raises(BadRequest, match="is not known here; leave it out") as refused:
        read(**{field: 1})
    assert len(str(refused.value).encode()) < 200


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": 1', "no JSON"),
        (b"[1]", "no JSON object"),
        (b'{"temperature": NaN}', "has a NaN, which JSON does not have"),
        (b'{"temperature": -Infinity}', "has a -Infinity"),
        (b'{"seed": 1' + b"0" * 10_000 + b"}", "no JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deep"),
    ],
)
def test_a_body_that_is_no_object_of_fields_is_refused(body: bytes, line: str) -> None:
    with pytest.raises(BadRequest, match=line):
        parse_object(body)


@pytest.mark.parametrize("prompt", ["so", [1, 2], ["so", "it"], [[1, 2], [3]], ["so", [1, 2]]])
def test_prompts_are_texts_or_token_ids_one_or_many(prompt: Any) -> None:
    asked = completion(prompt=prompt, n=2)
    many = [prompt] if prompt in ("so", [1, 2]) else prompt
    assert asked.prompts == many
    assert [(one.prompt, one.sample) for one in asked.make()] == [(one, k) for one in many for k in (0, 1)]


def test_an_echo_is_scored_with_its_prompt_and_without_calls_unless_told() -> None:
    asked = completion(echo=True, logprobs=3, max_tokens=0)
    assert (asked.scoring, asked.is_written) == (Scoring(num_likeliest=3, with_prompt=True), False)
    assert (asked.options.max_calls, completion(echo=True, max_calls=2).options.max_calls) == (0, 2)
    assert completion(logprobs=0).scoring == Scoring(num_likeliest=0)
    assert completion(logprobs=None).scoring is None


def test_too_many_texts_are_refused() -> None:
    for asked, param in (({"prompt": ["so"] * 1025}, "prompt"), ({"prompt": ["so"] * 10, "n": 128}, "n")):
        with pytest.raises(BadRequest) as refused:
            completion(**asked)
        assert refused.value.param == param


def test_another_model_is_not_found_and_none_is_the_one_that_is_served() -> None:
    assert completion(model=None).num_samples == 1
    with pytest.raises(BadRequest, match="the model 'gpt' is not served; there is 'm'") as refused:
        completion(model="gpt")
    assert (refused.value.status, refused.value.body()["error"]["code"]) == (404, "model_not_found")


def test_a_conversation_without_a_template_is_plain_turns_and_ends_before_the_next_one() -> None:
    turns = [
        ("developer", "Be brief. "),
        ("user", "Who?"),
        ("assistant", "Ada."),
        ("user", [{"type": "text", "text": "When?"}]),
    ]
    asked = chat(messages=[{"role": role, "content": content} for role, content in turns], stop="\n\n")
    assert asked.prompts == ["Be brief.\n\nUser: Who?\nAssistant: Ada.\nUser: When?\nAssistant:"]
    assert asked.options.stop == ("\n\n", "\nUser:")


def test_what_a_template_refuses_is_a_bad_request() -> None:
    def refuse(_: object) -> Any:
        raise ValueError("the model's chat template refuses the messages (roles must alternate)")

    with pytest.raises(BadRequest, match="roles must alternate") as refused:
        read_chat({"model": "m", "messages": [{"role": "user", "content": "so"}]}, "m", refuse)
    assert refused.value.param == "messages"
