"""An endpoint proposes: which places, which calls, which requests; and what a kill, a fault and a budget leave."""

import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.endpoint_run import TEXTS, make_documents, make_tools, propose_sums
from tests.support.models import build_language_model
from tests.support.proposing_endpoint import serving_sums
from toolformer_ray.annotate.endpoint.answered import BudgetSpentError
from toolformer_ray.annotate.endpoint.client import UNREADABLE, EndpointClient, EndpointDownError
from toolformer_ray.annotate.endpoint.endpoint import gives_log_probs
from toolformer_ray.annotate.endpoint.questions import read_chat_sample, read_log_opening, read_sample
from toolformer_ray.annotate.prompt import CallOpening
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Candidate

REPOSITORY = Path(__file__).parents[3]
CALCULATOR = CallOpening("Calculator(")


def standing(row: Candidate) -> str:
    return TEXTS[int(row.text_id.partition("-")[0])][: row.char_offset]


def test_an_endpoint_with_log_probabilities_chooses_the_places_and_writes_the_calls() -> None:
    with serving_sums() as endpoint:
        candidates, drops = propose_sums(None, endpoint.url)
    # Of the numbers that are no operands it likes the one after the sign, with p(opening) = e^-1.5; then the earlier.
    assert Counter(row.text_id for row in candidates) == {f"{n}-0": 4 for n in range(len(TEXTS))}
    likeliest = [row for row in candidates if standing(row).endswith("=")]
    assert [row.open_probability for row in likeliest] == pytest.approx([math.exp(-1.5)] * 12)
    assert likeliest[0].call_input == "20 + 5"
    assert all(row.loss_without > 0 for row in candidates), "the model at hand gives the loss without a call"
    assert drops == []
    echoed = [body["prompt"] for body in endpoint.bodies if body.get("echo")]
    assert len(set(echoed)) == len(echoed) and all(prompt.endswith(" [Calculator(") for prompt in echoed)
    written = [body for body in endpoint.bodies if "stop" in body]
    assert Counter(body["temperature"] for body in written) == {0: 12, 0.5: 12}
    assert len({body["seed"] for body in written if "seed" in body}) == 12, "every drawn sample has its own seed"


def test_an_endpoint_without_log_probabilities_writes_calls_where_the_model_at_hand_would() -> None:
    model = build_language_model()
    alone, drops = propose(make_documents(), model, make_tools(), ProposeOptions(max_call_tokens=12), "decoys")
    places = {(row.text_id, row.char_offset) for row in [*alone, *drops]}
    with serving_sums(has_log_probs=False) as endpoint:
        candidates, _ = propose_sums(None, endpoint.url, model, proposer_places="model")
    assert {(row.text_id, row.char_offset) for row in candidates} == places
    assert not any(body.get("echo") for body in endpoint.bodies)


@pytest.mark.parametrize("has_log_probs", [True, False])
def test_whether_an_endpoint_tells_log_probabilities_is_tried(has_log_probs: bool) -> None:
    with serving_sums(has_log_probs=has_log_probs) as endpoint:
        options = ProposerOptions(proposer_url=endpoint.url, proposer_model="sums")
        assert gives_log_probs(options, EndpointClient(options)) is has_log_probs
    assert len(endpoint.bodies) == 1


def test_in_a_chat_the_demonstrations_are_turns_and_the_call_is_taken_from_what_is_said() -> None:
    with serving_sums() as endpoint:
        candidates, drops = propose_sums(None, endpoint.url, proposer_places="model", proposer_chat=True)
    assert candidates and drops == []
    roles = [message["role"] for message in endpoint.bodies[0]["messages"]]
    assert roles[:3] == ["system", "user", "assistant"] and roles[-2:] == ["assistant", "user"]
    assert re.fullmatch(r"\[Calculator\(.*\)\]", endpoint.bodies[0]["messages"][2]["content"])
    for row in candidates:
        assert row.call_input == " + ".join(re.findall(r"\d+", standing(row))[-2:])


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Sure: [Calculator(2 + 3)] is it", "2 + 3)"),
        ("[Calculator(2 + 3) -> 5]", "2 + 3)"),
        ("`Calculator(2 + 3)`", "2 + 3)"),
        # No call of the tool: what is left can be no call behind its opening either.
        ("[QA(2)]", " [QA(2)"),
        ("I do not know.", " [I do not know."),
    ],
)
def test_what_a_chat_says_becomes_what_stands_behind_the_opening(said: str, written: str) -> None:
    answer = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
    assert read_chat_sample(answer, CALCULATOR) == written


@pytest.mark.parametrize(
    "choice",
    [[], {}, {"text": None}, {"text": 5}, {"text": "\ud800"}, "x", None, {"text": ["2)"]}],
)
def test_a_choice_of_another_form_is_unreadable(choice: Any) -> None:
    with pytest.raises(UNREADABLE):
        read_sample({"choices": [choice]})
    with pytest.raises(UNREADABLE):
        read_sample(choice)


def test_a_sample_that_was_cut_or_is_endless_is_unfinished() -> None:
    endless = "9" * 10**5
    for text, reason, written in [("2+3", "length", None), ("2+3)]x", "length", "2+3)"), (endless, "stop", None)]:
        assert read_sample({"choices": [{"text": text, "finish_reason": reason}]}) == written


PROMPT = "1 + 1 is [Calculator("


@pytest.mark.parametrize(
    ("tokens", "offsets"),
    [
        (["1", " +", " 1", " is", " [", "Calculator", "(", "2"], None),
        # With a token before the text, and one that begins before the opening.
        (["<s>", "1 + 1", " i", "s [", "Calculator(", "2"], None),
        # Bytes of a character apart do not give the prompt back: the server's offsets count.
        (["1 + 1", " i\ufffd", " [", "Calculator(", "2"], [0, 5, 8, 10, 21]),
    ],
)
def test_the_opening_is_what_stands_behind_the_text_however_it_is_cut(
    tokens: list[str], offsets: list[int] | None
) -> None:
    log_probs = [None] + [-1.0] * (len(tokens) - 1)
    told = {"tokens": tokens, "token_logprobs": log_probs, "text_offset": offsets}
    answer = {"choices": [{"logprobs": told}]}
    expected = sum(token in ("s [", " [", "Calculator", "Calculator(", "(") for token in tokens)
    assert read_log_opening(answer, "1 + 1 is", PROMPT) == -expected


@pytest.mark.parametrize("told", [None, {"tokens": ["x"], "token_logprobs": [-1.0]}])
def test_log_probabilities_of_something_else_are_none(told: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_log_opening({"choices": [{"logprobs": told}]}, "1 + 1 is", PROMPT)


def test_faults_cost_places_and_samples_and_no_more(tmp_path: Path) -> None:
    def fate(body: Mapping[str, Any], _: int) -> str:
        """The third text's places cannot be asked about, the second's samples are garbage."""
        if "Cid says" in body["prompt"]:
            return "400"
        return "garbage" if "Bob says" in body["prompt"] and "stop" in body else "well"

    with serving_sums(fate=fate) as endpoint:
        candidates, drops = propose_sums(RunFolder(str(tmp_path)), endpoint.url, proposer_attempts=1)
        num_sent = len(endpoint.bodies)
        again = propose_sums(RunFolder(str(tmp_path)), endpoint.url, proposer_attempts=1)
    assert {row.text_id for row in candidates} == {"0-0", "3-0", "4-0", "5-0"}
    reasons = {(drop.text_id, drop.reason) for drop in drops}
    assert reasons == {("1-0", "no_answer"), ("2-0", "no_answer"), ("2-0", "no_position")}
    assert sum(drop.count for drop in drops if drop.text_id == "1-0") == 4
    assert again == (candidates, drops) and len(endpoint.bodies) == num_sent, "what was refused is known as well"


def test_a_budget_that_is_spent_leaves_what_was_answered(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    with serving_sums() as endpoint:
        with pytest.raises(BudgetSpentError, match="budget of 20 requests is spent"):
            propose_sums(run, endpoint.url, proposer_budget=20)
        assert len(endpoint.answered) == 20
        rows = propose_sums(run, endpoint.url, proposer_budget=1000)
        assert len(set(endpoint.answered)) == len(endpoint.answered)
        assert rows == propose_sums(None, endpoint.url)


def test_a_proposer_that_is_killed_and_run_again_sends_no_answered_request_twice(tmp_path: Path) -> None:
    started, pids = threading.Event(), []

    def fate(_: Mapping[str, Any], number: int) -> str:
        if number == 30:
            started.wait(60)
            os.kill(pids[0], signal.SIGKILL)
            return "gone"
        return "well"

    with serving_sums(fate=fate) as endpoint:
        command = [sys.executable, "-m", "tests.support.endpoint_run", str(tmp_path), endpoint.url]
        with subprocess.Popen(command, cwd=REPOSITORY) as process:
            pids.append(process.pid)
            started.set()
        assert process.returncode == -signal.SIGKILL
        kept = len(list((tmp_path / "proposer").iterdir()))
        # Three are in flight at once: the one that hangs, and two that may be answered and not yet written down.
        assert 25 <= kept <= len(endpoint.answered) <= kept + 2
        rows = propose_sums(RunFolder(str(tmp_path)), endpoint.url)
        twice = Counter(endpoint.answered).total() - len(set(endpoint.answered))
        assert twice <= 2, "no more than were in flight"
        endpoint.fate = lambda *_: "well"
        assert rows == propose_sums(None, endpoint.url)


def test_an_endpoint_that_goes_away_in_mid_run_is_told_in_one_line(tmp_path: Path) -> None:
    with serving_sums(fate=lambda _, number: "well" if number < 10 else "401") as endpoint:
        with pytest.raises(EndpointDownError, match=r"^the endpoint http://127.0.0.1:\d+/v1 does not answer: HTTP 401"):
            propose_sums(RunFolder(str(tmp_path)), endpoint.url)
        assert len(list((tmp_path / "proposer").iterdir())) == len(endpoint.answered) == 10
