"""Translation by a Hugging Face sequence-to-sequence model."""

from tools.translation_texts import LanguageIdentifier


class SequenceTranslator:
    def __init__(self, model: str, device: str, identifier: LanguageIdentifier) -> None:
        raise NotImplementedError

    def translate(self, text: str) -> str:
        raise NotImplementedError
