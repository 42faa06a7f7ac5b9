"""Every conversation through every chat template that TRL ships, and through one in the manner of Mistral."""

import copy
from pathlib import Path

import jinja2
import pytest
import trl
from transformers import PreTrainedTokenizerBase

from tests.support.conversations import export_conversations
from tests.support.models import build_tokenizer

TEMPLATES = {path.stem: path for path in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))}
IN_PARTS = {"idefics3", "llava_next", "smolvlm"}
"""For pictures: they take no message that is a string, whatever it says."""
WITHOUT_TOOLS = {
    *("cohere", "cohere2", "deepseek_r1_distill", "gemma", "gemma3", "lfm2", "llama3", "phi3", "phi3_5", "qwen2_5_vl"),
}
"""They refuse messages of tools, or leave out tools, calls or answers."""
LOSES_TEXT = {"gptoss", "llama3_1", "llama3_2", "muse_glimmer"}
"""They leave out what stands before a call."""
MISTRAL = """
{%- for tool in tools %}[TOOL]{{ tool | tojson }}{% endfor %}
{%- for message in messages %}
    {%- if message.tool_calls is defined %}
        {%- for call in message.tool_calls %}
            {%- if (call.id or "") | length != 9 %}{{ raise_exception("ids have 9 letters") }}{% endif %}
        {%- endfor %}
        {{- message.content }}[CALL]{{ message.tool_calls | map(attribute="function") | list | tojson }}
    {%- elif message.role == "tool" %}
        {%- if message.tool_call_id | length != 9 %}{{ raise_exception("ids have 9 letters") }}{% endif %}
        {{- "[ANSWER]" + message.content }}
    {%- else %}{{ message.role + ":" + message.content }}
    {%- endif %}
{%- endfor %}
"""


def _name(template: str) -> str:
    return template.removesuffix("_training")


OF_LANGUAGE_MODELS = [template for template in TEMPLATES if _name(template) not in IN_PARTS]
WITH_TOOLS = [template for template in OF_LANGUAGE_MODELS if _name(template) not in WITHOUT_TOOLS]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return copy.deepcopy(build_tokenizer())


@pytest.fixture(scope="module", params=["jsonl", "parquet"])
def folder(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return tmp_path_factory.mktemp("run"), f"out.{request.param}"


@pytest.fixture(scope="module")
def rows(folder: tuple[Path, str]) -> list[dict]:
    return export_conversations(*folder, format="chat", instruction="Go.")


@pytest.fixture(scope="module")
def rows_with_strings(folder: tuple[Path, str]) -> list[dict]:
    return export_conversations(folder[0], f"s.{folder[1]}", format="chat", instruction="Go.", arguments="json")


@pytest.fixture(scope="module")
def inline_rows(folder: tuple[Path, str]) -> list[dict]:
    return export_conversations(folder[0], f"i.{folder[1]}", format="chat", instruction="Go.", calls="inline")


def _is_lost(row: dict, tokenizer: PreTrainedTokenizerBase, template: str) -> bool:
    """Whether the rendered row lacks something that a message says, or an input of a call."""
    tokenizer.chat_template = template
    shown = tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False)
    said = [message["content"].strip() for message in row["messages"]]
    calls = [call["function"]["arguments"] for message in row["messages"] for call in message.get("tool_calls", [])]
    inputs = [value for arguments in calls if isinstance(arguments, dict) for value in arguments.values()]
    return any(text not in shown for text in (*said, *inputs))


@pytest.mark.parametrize("template", WITH_TOOLS)
def test_a_template_that_knows_tools_shows_all_of_every_row_or_is_known_to_lose_text(
    template: str, rows: list[dict], rows_with_strings: list[dict], tokenizer: PreTrainedTokenizerBase
) -> None:
    # DeepSeek V3 joins the arguments to a string, which dictionaries are not.
    suited = rows_with_strings if template == "deepseekv3" else rows
    lost = [_is_lost(row, tokenizer, TEMPLATES[template].read_text(encoding="utf-8")) for row in suited]
    has_text_before_a_call = [row["text_id"] != "Nobody" for row in suited]
    assert lost == (has_text_before_a_call if _name(template) in LOSES_TEXT else [False] * 4)


@pytest.mark.parametrize("template", OF_LANGUAGE_MODELS)
def test_with_calls_in_the_text_every_template_of_a_language_model_shows_all_of_it(
    template: str, inline_rows: list[dict], tokenizer: PreTrainedTokenizerBase
) -> None:
    assert not any(_is_lost(row, tokenizer, TEMPLATES[template].read_text(encoding="utf-8")) for row in inline_rows)


def test_a_template_that_checks_ids_as_those_of_mistral_do_takes_every_row(
    rows: list[dict], tokenizer: PreTrainedTokenizerBase
) -> None:
    assert not any(_is_lost(row, tokenizer, MISTRAL) for row in rows)
    changed = copy.deepcopy(rows[0])
    del changed["messages"][1]["tool_calls"][0]["id"]
    with pytest.raises(jinja2.TemplateError, match="ids have 9 letters"):
        _is_lost(changed, tokenizer, MISTRAL)
