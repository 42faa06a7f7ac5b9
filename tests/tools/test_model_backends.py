"""The backends that load Hugging Face models, run on small models with random weights saved to disk.

No weights can be downloaded here. That the answers are good is not tested; that the right model gets the right input,
and that its output is read the right way, is.
"""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from tests.support.random_models import SENTENCES, save_m2m100, save_marian, save_nllb, save_reader
from toolformer_ray.tools.backends.passage_index import build_index
from toolformer_ray.tools.backends.qa_reader import best_span
from toolformer_ray.tools.backends.translation_model import NLLB_CODES
from toolformer_ray.tools.backends.translation_texts import Guess
from toolformer_ray.tools.qa import QuestionAnswering, QuestionAnsweringOptions
from toolformer_ray.tools.tool import BadInput, CallContext
from toolformer_ray.tools.translation import MachineTranslation, TranslationOptions

SAVERS = {"marian": save_marian, "nllb": save_nllb, "m2m100": save_m2m100}
PASSAGES = [
    ("Nile", "The Nile is a river in Africa. It ends in the sea."),
    ("Cairo", "Cairo is the capital of Egypt. It is a large city."),
    ("Long", "The desert is dry and wide. " * 30),
]
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")


@pytest.fixture(scope="module")
def translators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MachineTranslation]:
    opened = {}
    for name, save in SAVERS.items():
        path = save(tmp_path_factory.mktemp(name))
        opened[name] = MachineTranslation(TranslationOptions(model=path))
        opened[name].open()
    return opened


def record_generation(tool: MachineTranslation, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every call of the model's `generate` from here on."""
    model, seen = tool._translator._model, []  # type: ignore[union-attr]
    generate = model.generate

    def spy(**arguments: Any) -> Any:
        seen.append(arguments)
        return generate(**arguments)

    monkeypatch.setattr(model, "generate", spy)
    return seen


@pytest.mark.parametrize("name", SAVERS)
def test_a_random_translation_model_is_loaded_from_its_folder_and_translates(
    translators: dict[str, MachineTranslation], name: str
) -> None:
    answers = [translators[name].run(f'"{sentence}"', CallContext()) for sentence in SENTENCES]
    assert all(isinstance(answer, str) for answer in answers)
    assert len(set(answers)) > 1
    assert not any(mark in answer for answer in answers for mark in ("eng_Latn", "__en__", "</s>", "<pad>"))
    assert answers == [translators[name].run(sentence, CallContext()) for sentence in SENTENCES]


@pytest.mark.paper("T6")
@pytest.mark.parametrize(
    ("name", "german", "english"), [("nllb", "deu_Latn", "eng_Latn"), ("m2m100", "__de__", "__en__")]
)
def test_a_multilingual_model_is_told_the_found_source_and_the_target_english(
    translators: dict[str, MachineTranslation], monkeypatch: pytest.MonkeyPatch, name: str, german: str, english: str
) -> None:
    tool = translators[name]
    seen = record_generation(tool, monkeypatch)
    tool.run('"nur für Gäste, die heute Abend noch kommen"', CallContext())
    ids = tool._translator._tokenizer.convert_tokens_to_ids  # type: ignore[union-attr]
    assert seen[0]["input_ids"][0, 0] == ids(german)
    assert seen[0]["forced_bos_token_id"] == ids(english)


def test_a_model_with_built_in_languages_is_told_none(
    translators: dict[str, MachineTranslation], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = record_generation(translators["marian"], monkeypatch)
    translators["marian"].run('"nur für Gäste"', CallContext())
    assert seen[0]["forced_bos_token_id"] is None


def test_a_language_that_the_model_does_not_know_is_refused(
    translators: dict[str, MachineTranslation], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nllb", "m2m100"):
        monkeypatch.setattr(
            translators[name]._translator._identifier,
            "identify",
            lambda text: Guess("xx", 0.9),  # type: ignore[union-attr]
        )
        with pytest.raises(BadInput, match="language 'xx'"):
            translators[name].run("blah", CallContext())


def test_a_translation_model_stands_inputs_longer_than_its_window(translators: dict[str, MachineTranslation]) -> None:
    for tool in translators.values():
        assert isinstance(tool.run("La mer est belle. " * 50, CallContext()), str)


def test_every_nllb_code_is_one_of_nllbs_own() -> None:
    assert set(NLLB_CODES.values()) <= set(FAIRSEQ_LANGUAGE_CODES)
    assert len(NLLB_CODES) > 100
    assert NLLB_CODES["en"] == "eng_Latn"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> QuestionAnswering:
    folder = tmp_path_factory.mktemp("reader")
    rows = [json.dumps({"title": title, "text": text}) for title, text in PASSAGES]
    (folder / "passages.jsonl").write_text("\n".join(rows))
    build_index(str(folder / "passages.jsonl"), str(folder / "index"))
    words = " ".join(text for _, text in PASSAGES).lower().replace(".", " ").split()
    model = save_reader(folder / "model", [*words, "what", "where"])
    tool = QuestionAnswering(QuestionAnsweringOptions(index=str(folder / "index"), model=model))
    tool.open()
    return tool


@pytest.mark.paper("T2")
def test_a_random_reader_model_answers_with_spans_of_the_passages_it_found(reader: QuestionAnswering) -> None:
    questions = ("What is the capital of Egypt?", "Where is the Nile?", "What is a river?", "What is large?", "Egypt?")
    answers = [reader.run(f'"{question}"', CallContext()) for question in questions]
    assert any(answers)
    assert all(any(answer in text for _, text in PASSAGES) for answer in answers)


def test_a_reader_marks_the_span_that_its_logits_favour(
    reader: QuestionAnswering, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer: Any = reader._answerer
    ids = answerer._tokenizer.convert_tokens_to_ids

    def favour(input_ids: torch.Tensor, **others: Any) -> Any:
        is_start, is_end = input_ids == ids("cairo"), input_ids == ids("egypt")
        return type("Output", (), {"start_logits": 9.0 * is_start, "end_logits": 9.0 * is_end})

    monkeypatch.setattr(answerer._model, "forward", favour)
    assert reader.run('"capital city?"', CallContext()) == "Cairo is the capital of Egypt"


def test_a_reader_that_sees_no_answer_gives_none(reader: QuestionAnswering, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(input_ids: torch.Tensor, **others: Any) -> Any:
        logits = torch.zeros(input_ids.shape)
        logits[:, 0] = 5.0
        return type("Output", (), {"start_logits": logits, "end_logits": logits})

    monkeypatch.setattr(reader._answerer._model, "forward", nowhere)  # type: ignore[union-attr]
    assert reader.run("capital?", CallContext()) == ""


def test_a_reader_reads_passages_longer_than_its_window_and_questions_longer_too(reader: QuestionAnswering) -> None:
    assert isinstance(reader.run("the desert", CallContext()), str)
    assert isinstance(reader.run("desert " * 120, CallContext()), str)


def test_a_reader_is_asked_from_many_threads(reader: QuestionAnswering) -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(reader.run("the capital of Egypt?", CallContext())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1


def test_the_best_span_lies_within_the_context_runs_forward_and_is_measured_against_no_answer() -> None:
    #                        CLS  question  context .................
    start_T = torch.tensor([1.0, 9.0, 0.0, 2.0, 5.0, 1.0])
    end_T = torch.tensor([0.5, 9.0, 7.0, 3.0, 1.0, 4.0])
    is_context_T = torch.tensor([False, False, True, True, True, True])
    # 4..5: 5 + 4 = 9; 2..2: 0 + 7 = 7; 4..2 would be 12 but runs backwards. No answer: 1 + 0.5.
    assert best_span(start_T, end_T, is_context_T) == (9.0 - 1.5, 4, 5)


def test_a_span_is_at_most_thirty_tokens_long() -> None:
    start_T, end_T = torch.zeros(100), torch.zeros(100)
    start_T[10] = end_T[40] = 5.0  # 31 tokens
    _, first, last = best_span(start_T, end_T, torch.ones(100, dtype=torch.bool))
    assert last - first < 30
    start_T[11] = 4.0  # 30 tokens
    assert best_span(start_T, end_T, torch.ones(100, dtype=torch.bool)) == (9.0, 11, 40)


def test_a_model_that_cannot_be_loaded_is_named_with_its_option(tmp_path: Path, reader: QuestionAnswering) -> None:
    index = reader.options.index  # type: ignore[attr-defined]
    for model in (str(tmp_path / "missing"), str(tmp_path)):
        with pytest.raises(ValueError, match=f"^translation.model is {model}; ") as caught:
            MachineTranslation(TranslationOptions(model=model)).open()
        assert "\n" not in str(caught.value)
        with pytest.raises(ValueError, match=f"^qa.model is {model}; ") as caught:
            QuestionAnswering(QuestionAnsweringOptions(index=index, model=model)).open()
        assert "\n" not in str(caught.value)


def test_a_model_of_another_kind_is_refused(reader: QuestionAnswering) -> None:
    with pytest.raises(ValueError, match="^translation.model is .*"):
        MachineTranslation(TranslationOptions(model=reader.options.model)).open()  # type: ignore[attr-defined]


def test_a_device_that_is_not_there_is_named_with_its_option(
    translators: dict[str, MachineTranslation], reader: QuestionAnswering
) -> None:
    model = translators["marian"].options.model  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="^translation.device is nowhere; "):
        MachineTranslation(TranslationOptions(model=model, device="nowhere")).open()
    index, model = reader.options.index, reader.options.model  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="^qa.device is nowhere; "):
        QuestionAnswering(QuestionAnsweringOptions(index=index, model=model, device="nowhere")).open()
