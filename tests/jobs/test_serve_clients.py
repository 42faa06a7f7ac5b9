"""`toolformer serve` asked by the clients that people have: openai, lm_eval and curl; with a key, and counted."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests  # type: ignore[import-untyped]
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI
from prometheus_client.parser import text_string_to_metric_families

from tests.support.chain_model import chain_model, save_chain_model
from tests.support.served import Server, poll, served
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.evals.harness import Toolformer
from toolformer_ray.lm.model import LanguageModel

KEY = "sk-only-for-this-test-0123456789"
GREEDY = {"model": "chain", "max_tokens": 8, "temperature": 0}
CALL = {"max_calls": 2, "call_top_k": 1}
# A template as many models have it; the chain model goes on from " is".
TEMPLATE = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }} {% endfor %}it is"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("served") / "chain"
    save_chain_model(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return str(folder)


@pytest.fixture(scope="module")
def server(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    errors = tmp_path_factory.mktemp("serving") / "stderr"
    with served(model, errors, "--api-key-env", "SERVED_KEY", environment={"SERVED_KEY": KEY}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0, timeout=60)


def get(url: str, key: str | None = None) -> tuple[int, str]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}".encode("latin-1")}
    answer = requests.get(url, headers=headers, timeout=30)
    return answer.status_code, answer.text


def say(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_message_is_the_plain_text_and_its_calls_are_told_beside_it(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(messages=say("so"), **GREEDY, extra_body=CALL)
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", " so it is so it is 7 so")
    assert (choice.message.tool_calls, choice.finish_reason) == (None, "length")
    assert choice.model_extra["text_with_calls"].startswith(" [Calculator(1+2) -> 3] so it is [Calculator")
    first, _ = choice.model_extra["tool_calls_log"]
    assert first["function"] == {"name": "Calculator", "arguments": '{"input": "1+2"}'}
    assert (first["id"], first["type"], first["status"], first["result"]) == ("call_0", "function", "ok", "3")
    assert answer.usage is not None and answer.usage.completion_tokens > 16


def test_a_streamed_message_is_the_same_in_pieces(client: openai.OpenAI) -> None:
    asked = {"messages": say("so"), **GREEDY, "extra_body": CALL, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked)
    *chunks, usage = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    last = chunks[-1].choices[0]
    assert last.finish_reason == "length"
    assert last.logprobs is not None and whole.choices[0].logprobs is not None
    assert last.logprobs.model_dump() == whole.choices[0].logprobs.model_dump()
    assert [call["status"] for call in last.model_extra["tool_calls_log"]] == ["ok", "ok"]
    said = [piece for chunk in chunks for piece in chunk.choices[0].model_extra.get("pieces", [])]
    assert [piece["text"] for piece in said if piece["by"] == "result"] == ["3", "3"]
    assert usage.usage == whole.usage


def test_the_log_probabilities_of_a_message_are_those_of_its_own_tokens(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        messages=say("so"), **GREEDY, extra_body=CALL, logprobs=True, top_logprobs=2
    )
    choice = answer.choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    # ` 7` has a logit of 3 where ` [` has one of 5, and about a hundred others have -6.
    seven = next(told for told in choice.logprobs.content if told.token == " 7")  # noqa: S105
    assert seven.logprob == pytest.approx(-2.13, abs=0.01)
    assert [top.token for top in seven.top_logprobs] == [" [", " 7"]
    assert seven.bytes == [32, 55]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"messages": [{"role": "tool", "content": "3"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": []}]}, "messages[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"messages": [{"role": "user", "content": "1" * 600}]}, "messages"),
    ],
)
def test_what_a_chat_may_not_ask_is_refused_by_its_field(
    client: openai.OpenAI, asked: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "chain", "messages": say("so"), **asked})
    assert refused.value.param == param


def test_nobody_speaks_as_another_from_inside_a_message(client: openai.OpenAI) -> None:
    # `<s>` is one special token; written in a message it is three characters, as `<!>` is.
    num_tokens = []
    for text in ("<s>", "<!>"):
        answer = client.chat.completions.create(messages=say(text), **GREEDY)
        assert answer.usage is not None
        num_tokens.append(answer.usage.prompt_tokens)
    assert num_tokens[0] == num_tokens[1]


def test_several_texts_of_a_prompt_differ_and_a_seed_gives_the_same_again(client: openai.OpenAI) -> None:
    asked = {"model": "chain", "prompt": ["it is", "so it is"], "max_tokens": 12, "n": 4, "seed": 7}
    few = {**CALL, "call_top_k": 0}
    first, again = (client.completions.create(**asked, extra_body=few) for _ in range(2))
    texts = [choice.text for choice in first.choices]
    assert texts == [choice.text for choice in again.choices]
    assert len(set(texts)) > 4
    one = client.completions.create(**asked | {"n": 1}, extra_body=few)
    assert [choice.text for choice in one.choices] == [texts[0], texts[4]]
    assert first.usage is not None and one.usage is not None
    assert first.usage.prompt_tokens == one.usage.prompt_tokens


def test_a_small_nucleus_has_the_likeliest_token_alone(client: openai.OpenAI) -> None:
    asked = {"model": "chain", "prompt": "it is", "max_tokens": 12, "extra_body": {"call_top_k": 0, "max_calls": 2}}
    likeliest = client.completions.create(**asked, temperature=0).choices[0].text
    drawn = client.completions.create(**asked, n=8, temperature=1, top_p=0.1)
    assert {choice.text for choice in drawn.choices} == {likeliest}


def test_a_prompt_as_token_ids_is_gone_on_from_like_its_text(client: openai.OpenAI) -> None:
    ids = chain_model().tokenizer.encode("so it is")
    texts = [
        client.completions.create(prompt=prompt, seed=3, model="chain", max_tokens=8, extra_body=CALL).choices[0].text
        for prompt in ("so it is", ids, [ids])
    ]
    assert texts[0] == texts[1] == texts[2]


def test_an_echo_has_the_log_probability_of_every_token(client: openai.OpenAI) -> None:
    asked = {"model": "chain", "prompt": "so it is", "logprobs": 2, "echo": True}
    only, more = (client.completions.create(**asked, max_tokens=number).choices[0] for number in (0, 1))
    assert only.text == "so it is"
    assert more.text == "so it is 7"
    assert only.logprobs is not None and more.logprobs is not None
    assert only.logprobs.tokens == more.logprobs.tokens[:-1] == ["s", "o", " it", " is"]
    assert only.logprobs.text_offset == [0, 1, 2, 5]
    assert only.logprobs.token_logprobs == more.logprobs.token_logprobs[:-1]
    # Calls are disabled, so ` 7` is almost certain where ` [` would have been likelier.
    assert more.logprobs.token_logprobs[-1] == pytest.approx(0, abs=0.02)
    assert next(iter(more.logprobs.top_logprobs[-1])) == " 7"


def lm_eval_options(model: str, server: Server, path: str) -> dict[str, Any]:
    return {
        "model": "chain",
        "base_url": f"{server.url}/{path}",
        "max_length": 512,
        "max_gen_toks": 8,
        "header": {"Authorization": f"Bearer {KEY}"},
    }


def test_the_harness_reads_the_same_likelihoods_over_http_as_in_this_process(model: str, server: Server) -> None:
    over_http = LocalCompletionsAPI(
        **lm_eval_options(model, server, "completions"), tokenizer=model, tokenizer_backend="huggingface", batch_size=3
    )
    loaded = LanguageModel.load(model)
    here = Toolformer(loaded, Decoder(loaded, {}), DecodeOptions())
    texts = [("it is", " 7"), ("it is", " so"), ("so it", " is 7 so it is"), ("1+2", ")")]
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(texts)]
    found, expected = over_http.loglikelihood(asked), here.loglikelihood(asked)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected] == [True, False, True, True]


def test_the_harness_generates_over_both_endpoints(model: str, server: Server) -> None:
    texts = LocalCompletionsAPI(
        **lm_eval_options(model, server, "completions"), tokenizer=model, tokenizer_backend="huggingface"
    )
    chats = LocalChatCompletion(**lm_eval_options(model, server, "chat/completions"))
    asked = {"until": [" 7"], **CALL}
    [written] = texts.generate_until([Instance("generate_until", {}, ("it is", asked), 0)])
    assert written == " [Calculator(1+2) -> 3] so it is [Calculator(1+2) -> 3] so it is"
    history = chats.apply_chat_template(say("so"))
    [said] = chats.generate_until([Instance("generate_until", {}, (history, asked), 0)])
    assert said == " so it is so it is"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_streams_a_message(server: Server) -> None:
    body = json.dumps({**GREEDY, "messages": say("so"), "stream": True, **CALL})
    command = ["curl", "-sN", f"{server.url}/chat/completions", "-H", f"Authorization: Bearer {KEY}", "-d", body]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    deltas = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines[:-2]]
    assert "".join(delta.get("content", "") for delta in deltas) == " so it is so it is 7 so"


@pytest.mark.parametrize("key", [None, "", "sk-wrong", KEY[:-1], KEY + "x", "\xfc"])
def test_without_the_key_nothing_but_health_is_answered(server: Server, key: str | None) -> None:
    for path in ("/v1/models", "/metrics", "/v1/nowhere"):
        status, said = get(server.root + path, key)
        error = json.loads(said)["error"]
        assert (status, error["code"], error["type"]) == (401, "invalid_api_key", "invalid_request_error")
    assert get(f"{server.root}/health", key)[0] == 200


def test_the_key_is_in_nothing_that_the_server_says(server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="this API key is not valid"):
        openai.OpenAI(base_url=server.url, api_key=KEY[::-1], max_retries=0).models.list()
    assert client.models.list().data
    said = server.errors.read_text() + get(f"{server.root}/metrics", KEY)[1]
    assert KEY not in said and KEY[::-1] not in said


def counted(server: Server) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    status, page = get(f"{server.root}/metrics", KEY)
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_requests_tokens_and_calls_are_counted(server: Server, client: openai.OpenAI) -> None:
    before = counted(server)
    answer = client.completions.create(prompt="so it is", **GREEDY, n=2, extra_body=CALL)
    with pytest.raises(openai.BadRequestError):
        client.completions.create(prompt="so it is", **GREEDY, n=0)
    after = counted(server)
    grown = {series: value - before.get(series, 0) for series, value in after.items()}

    def growth(name: str, **labels: str) -> float:
        return grown[name, tuple(sorted(labels.items()))]

    assert growth("toolformer_requests_total", endpoint="/v1/completions", status="200") == 1
    assert growth("toolformer_requests_total", endpoint="/v1/completions", status="400") == 1
    assert answer.usage is not None
    assert growth("toolformer_prompt_tokens_total") == answer.usage.prompt_tokens == 5
    assert growth("toolformer_completion_tokens_total") == answer.usage.completion_tokens
    assert growth("toolformer_tool_calls_total", tool="Calculator", status="ok") == 4
    assert growth("toolformer_request_seconds_count", endpoint="/v1/completions") == 2
    assert growth("toolformer_request_seconds_bucket", endpoint="/v1/completions", le="+Inf") == 2


def test_health_says_that_no_replica_lives_until_another_has_loaded(server: Server) -> None:
    [replica] = server.replicas()
    os.kill(replica, signal.SIGKILL)
    poll(lambda: get(f"{server.root}/health")[0] == 503, "a dead replica is noticed")
    poll(lambda: get(f"{server.root}/health")[0] == 200, "another replica has loaded")
    assert get(f"{server.root}/v1/models", KEY)[0] == 200
