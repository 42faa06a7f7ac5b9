"""With a model, messages are tried with its chat template before anything is written."""

import copy
from pathlib import Path

import pytest

from tests.support.conversations import export_conversations
from tests.support.models import build_tokenizer, save_model
from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.export.options import ExportOptions
from toolformer_ray.finetune.export.write import export
from toolformer_ray.records.errors import OptionError

SHOWS_ALL = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ m.tool_calls }}{% endfor %}"
NO_CALLS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
LOSES = "{% for m in messages %}<{{ m.role }}>{% if not m.tool_calls %}{{ m.content }}{% endif %}{% endfor %}"
REFUSES = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}"


def _model(folder: Path, template: str | None) -> str:
    model = save_model(folder / "model")
    tokenizer = copy.deepcopy(build_tokenizer())
    tokenizer.chat_template = template
    tokenizer.save_pretrained(model)
    return model


def _export(tmp_path: Path, template: str | None, **options) -> int:
    model = _model(tmp_path, template)
    export_conversations(tmp_path, "first.jsonl", format="chat", instruction="Go.")
    choice = ChooseOptions(run=(str(tmp_path / "run"),), plain_share=0.25, num_held_out=0)
    asked = ExportOptions(out=str(tmp_path / "out.jsonl"), format="chat", model=model, instruction="Go.", **options)
    return export(choice, asked).num_incomplete


# Of three rows with calls, one has a call of the calendar, which has no input that could be missing.
@pytest.mark.parametrize(("template", "num_incomplete"), [(SHOWS_ALL, 0), (LOSES, 3), (NO_CALLS, 2)])
def test_rows_that_a_template_shows_in_part_are_counted(tmp_path: Path, template: str, num_incomplete: int) -> None:
    assert _export(tmp_path, template) == num_incomplete


def test_a_template_that_refuses_messages_of_tools_is_told_of_with_the_way_out_before_a_file_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(OptionError, match=r"refuses text \w+ \(.*no tools\); `calls` inline"):
        _export(tmp_path, REFUSES)
    assert not (tmp_path / "out.jsonl").exists()
    # With the calls in the text nothing is refused; this template shows nothing of any text either.
    assert _export(tmp_path, REFUSES, calls="inline") == 4


def test_a_model_without_a_chat_template_checks_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="has no chat template to check the messages with: leave it out"):
        _export(tmp_path, None)
