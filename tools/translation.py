"""Machine translation into English, source language found automatically (paper, section 3: NLLB)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from toolformer_ray.records.calls import unquote
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.data_file import hash_file
from toolformer_ray.tools.backends.translation_glossary import Glossary
from toolformer_ray.tools.backends.translation_model import SequenceTranslator
from toolformer_ray.tools.backends.translation_texts import (
    FastTextIdentifier,
    LanguageIdentifier,
    before_words_behind_foreign_ones,
    wants_translation,
)
from toolformer_ray.tools.decoys.shapes import shaped_decoys
from toolformer_ray.tools.options import Teaching, ToolOptions, naming_option
from toolformer_ray.tools.tool import BadInput, CallContext, Tool

MAX_INPUT_CHARS = 1_000


@dataclass(frozen=True, kw_only=True)
class TranslationOptions(ToolOptions):
    """The model or the glossary that translates."""

    model: str = "facebook/nllb-200-distilled-600M"
    """Name or folder of a Hugging Face translation model: NLLB, M2M100, or one into English such as Marian."""
    glossary: str | None = None
    """File with the columns `source` and `target` (.jsonl, .tsv, .csv, .parquet; .gz, .zst), instead of a model."""
    device: str = "cpu"
    """Where the model runs, as torch names it: cpu, cuda, cuda:1."""


class Translator(Protocol):
    """A backend."""

    def translate(self, text: str) -> str:
        """A text of any language in English, or an empty string if there is no translation."""


class MachineTranslation(Tool):
    Options = TranslationOptions
    options: TranslationOptions
    one_at_a_time = True
    name = "MT"
    description = "Translates a phrase of any language into English."
    parameters = {"phrase": "The phrase, in its own language."}
    teaching = Teaching(min_open_probability=0.0, max_places=8, num_samples=5, min_loss_reduction=0.5)
    teaching_in_paper = Teaching(min_open_probability=0.0, max_places=20, num_samples=10, min_loss_reduction=0.5)
    changes_no_answer = frozenset({"device"})
    locates_data = frozenset({"glossary"})
    strikes_future_inputs = True
    instruction = (
        "Add calls to a machine translation system to the text. A call translates a phrase into English and helps to "
        'write what it means. Write a call as "[MT("phrase")]". Here are some examples:'
    )
    demonstrations = (
        'Her first film was Las horas largas, in English [MT("Las horas largas")] The Long Hours.',
        'On the door stood "nur für Gäste", which means [MT("nur für Gäste")] "for guests only".',
        'The song La mer est belle, or [MT("La mer est belle")] The Sea is Beautiful, is well known.',
    )

    def __init__(self, options: TranslationOptions) -> None:
        super().__init__(options)
        self.is_expensive = options.glossary is None
        self._identifier: LanguageIdentifier | None = None
        self._translator: Translator | None = None

    def open(self) -> None:
        identifier, options = self._open_identifier(), self.options
        if isinstance(identifier, Glossary):
            self._translator = identifier
        else:
            self._translator = SequenceTranslator(options.model, options.device, identifier)

    def data_version(self) -> str:
        if self.options.glossary is None:
            return ""
        with naming_option("translation.glossary", self.options.glossary):
            return hash_file(self.options.glossary)

    def wants(self, document: Document) -> bool:
        return wants_translation(document.text, self._open_identifier())

    def wanted_places(self, text: str) -> Iterable[int]:
        return before_words_behind_foreign_ones(text, self._open_identifier())

    def run(self, call_input: str, context: CallContext) -> str:
        text = unquote(call_input)
        if not any(map(str.isalpha, text)):
            raise BadInput(f"nothing to translate in {call_input[:40]!r}")
        if len(text) > MAX_INPUT_CHARS:
            raise BadInput(f"a text of {len(text)} characters; at most {MAX_INPUT_CHARS} are translated")
        if self._translator is None:
            raise RuntimeError("MachineTranslation.open() has to be called before run()")
        return self._translator.translate(text)

    def decoys(self, result: str, key: str, num_decoys: int) -> list[str]:
        if self.options.glossary is None:
            return super().decoys(result, key, num_decoys)
        identifier = self._open_identifier()
        words = identifier.meanings if isinstance(identifier, Glossary) else None
        return shaped_decoys(result, key, num_decoys, *filter(None, [words]))

    def _open_identifier(self) -> LanguageIdentifier:
        # Processes that offer texts never open the tool: identifying languages needs no translation model.
        glossary = self.options.glossary
        if self._identifier is None and glossary:
            with naming_option("translation.glossary", glossary):
                self._identifier = Glossary(glossary)
        self._identifier = self._identifier or FastTextIdentifier()
        return self._identifier
