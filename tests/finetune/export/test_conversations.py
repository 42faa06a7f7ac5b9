"""Conversations: what the model writes, without its calls, is the document; the tools are told of as they are."""

import json
from pathlib import Path

import pytest

from tests.support.conversations import DOCUMENTS, export_conversations
from toolformer_ray.finetune.choose import Example
from toolformer_ray.finetune.export.consumers import DATASET_INFO
from toolformer_ray.finetune.export.user_turn import ask_for
from toolformer_ray.records.errors import OptionError

SUFFIXES = pytest.mark.parametrize("suffix", ["jsonl", "parquet"])


def _llama_factory_turns(row: dict) -> list[tuple[str, str]]:
    """What LLaMA-Factory makes of a row, as its converter and its template for functions do: role and content.

    Turns of the user or a tool alternate with those of the model, and there is an even number of them; a call is the
    JSON between the tags or, without these, the whole turn. It skips a row of which that is not true.
    """
    turns = row["conversations"]
    for number, turn in enumerate(turns):
        assert turn["from"] in (("human", "observation"), ("gpt", "function_call"))[number % 2]
    assert len(turns) % 2 == 0
    read = []
    for turn in turns:
        before, tag, rest = turn["value"].rpartition("<tool_call>")
        if turn["from"] == "function_call":
            call = json.loads(rest.removesuffix("</tool_call>") if tag else turn["value"])
            assert sorted(call) == ["arguments", "name"]
            assert isinstance(call["arguments"], dict)
            read += [("assistant", before), ("call", json.dumps(call))]
        else:
            read.append((turn["from"], turn["value"]))
    return read


@SUFFIXES
def test_llama_factory_takes_every_row_and_finds_the_document_and_the_calls_in_it(tmp_path: Path, suffix: str) -> None:
    for row in export_conversations(tmp_path, f"out.{suffix}", format="sharegpt"):
        turns = _llama_factory_turns(row)
        written = "".join(content for role, content in turns if role in ("assistant", "gpt"))
        assert written == DOCUMENTS[row["text_id"]]
        if row["text_id"] == "Mira":
            assert turns[2:4] == [
                ("call", '{"name": "Calculator", "arguments": {"expression": "1 + 1"}}'),
                ("observation", "2"),
            ]
        assert [tool["name"] for tool in json.loads(row["tools"])] == ["Calculator", "Calendar", "MT"]


@SUFFIXES
@pytest.mark.parametrize("arguments", ["dict", "json"])
def test_messages_hold_the_document_and_no_key_that_has_no_value(tmp_path: Path, suffix: str, arguments: str) -> None:
    for row in export_conversations(tmp_path, f"out.{suffix}", format="chat", arguments=arguments):
        messages = row["messages"]
        assert all(value is not None for message in messages for value in message.values())
        written = "".join(message["content"] for message in messages if message["role"] == "assistant")
        assert written == DOCUMENTS[row["text_id"]]
        calls = [call for message in messages for call in message.get("tool_calls", [])]
        answers = [message for message in messages if message["role"] == "tool"]
        assert [call["id"] for call in calls] == [answer["tool_call_id"] for answer in answers]
        assert len({call["id"] for call in calls}) == len(calls)
        assert all(len(call["id"]) == 9 and call["id"].isalnum() for call in calls), "Mistral refuses other ids"
        if row["text_id"] == "Otto":
            assert calls[0]["function"]["arguments"] == ({} if arguments == "dict" else "{}")
        if row["text_id"] == "Mira":
            expected = {"phrase": "deux"}
            assert calls[1]["function"]["arguments"] == (expected if arguments == "dict" else json.dumps(expected))


@SUFFIXES
def test_every_row_offers_all_tools_of_the_run_with_their_inputs_described(tmp_path: Path, suffix: str) -> None:
    for row in export_conversations(tmp_path, f"out.{suffix}", format="chat"):
        functions = {tool["function"]["name"]: tool["function"] for tool in row["tools"]}
        assert sorted(functions) == ["Calculator", "Calendar", "MT"]
        assert functions["Calendar"]["parameters"] == {"type": "object", "properties": {}, "required": []}
        assert functions["Calculator"]["parameters"]["required"] == ["expression"]
        assert functions["MT"]["description"] == "Translates a phrase of any language into English."


def test_calls_may_stay_in_the_text_for_models_that_know_no_tools(tmp_path: Path) -> None:
    rows = export_conversations(tmp_path, "out.parquet", format="chat", calls="inline", instruction="Write.")
    [mira] = [row["messages"] for row in rows if row["text_id"] == "Mira"]
    assert mira == [
        {"role": "user", "content": "Write."},
        {"role": "assistant", "content": 'Mira [Calculator(1 + 1) -> 2] is [MT("deux") -> zwei] here.'},
    ]


def test_the_user_asks_for_the_title_or_else_the_beginning_and_never_gives_the_whole_text_away() -> None:
    titled = Example(text_id="a", text="It opened today. More came.", title="The fair")
    assert ask_for(titled, None) == 'Write a text with the title "The fair".'
    assert ask_for(Example(text_id="a", text="The fair is open. It has 12 stalls."), None).endswith(
        '"The fair is open."'
    )
    assert ask_for(Example(text_id="a", text="The fair is open."), None).endswith('"The fair"')
    assert ask_for(titled, "Go on.") == "Go on."


def test_a_folder_keeps_what_llama_factory_already_knows_of_it_unless_that_is_damaged(tmp_path: Path) -> None:
    info = tmp_path / DATASET_INFO
    info.write_text('{"mine": {"file_name": "mine.json"}}')
    export_conversations(tmp_path, "out.jsonl", format="sharegpt")
    known = json.loads(info.read_text())
    assert known["mine"] == {"file_name": "mine.json"}
    assert known["out"]["file_name"] == "out.jsonl"
    assert known["out"]["columns"] == {"messages": "conversations", "tools": "tools"}
    info.write_text("[")
    with pytest.raises(OptionError, match=r"dataset_info\.json is no JSON object"):
        export_conversations(tmp_path, "other.jsonl", format="sharegpt")
    assert not (tmp_path / "other.jsonl").exists()
