"""A vocabulary written down by the test: every token is the string that it stands for."""

from collections.abc import Sequence

from toolformer_ray.decode.completion import Completion
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.writing import Writing
from toolformer_ray.lm.writing.author import Choice, Step, Wait, Write
from toolformer_ray.tools.asking.call import Outcome

END = "<end>"
HALF = "<half>"
"""Two of these in a row are one character, `é`."""


class ScriptedVocabulary:
    """Ids are given in the order of first sight. `encode` takes two characters at a time, so as not to be trivial."""

    def __init__(self, *entries: str) -> None:
        self.entries = [END, " [", "[", *entries]

    @property
    def open_ids(self) -> Sequence[int]:
        return (1,)

    @property
    def bracket_ids(self) -> frozenset[int]:
        return frozenset(number for number, entry in enumerate(self.entries) if "[" in entry)

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset({0})

    def id(self, entry: str) -> int:
        if entry not in self.entries:
            self.entries.append(entry)
        return self.entries.index(entry)

    def encode(self, text: str) -> list[int]:
        return [self.id(text[start : start + 2]) for start in range(0, len(text), 2)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.entries[token] for token in ids).replace(HALF + HALF, "é").replace(HALF, "\ufffd")


class Script:
    """Feeds a text's author with tokens, and keeps the ids that a generator would hold."""

    def __init__(self, *, window: int = 1000, tools: Sequence[str] = ("Calculator", "QA"), **options: object) -> None:
        self.vocabulary = ScriptedVocabulary()
        self.author = Writing(
            self.vocabulary,
            DecodeOptions(**{"call_top_k": 0, **options}),  # type: ignore[arg-type]
            tools,
            num_prompt_tokens=10,
            window=window,
        )
        self.ids: list[int] = []
        self.step: Step = Write([])

    def feed(self, *tokens: str, near: bool = False) -> Step:
        """The model's next tokens; with `near`, the start marker is among the likeliest at the first of them."""
        for token in tokens:
            assert isinstance(self.step, Write), f"{token!r} comes after {self.step}"
            self._do(self.author.take(Choice(self.vocabulary.id(token), near)))
            near = False
        return self.step

    def answer(self, result: str | None, status: str = "ok") -> Step:
        """What the tool says to the call that the text waits for."""
        assert isinstance(self.step, Wait)
        self._do(self.author.answer(Outcome(status=status, result=result)))
        return self.step

    @property
    def standing(self) -> str:
        """The text of the ids that the generator holds."""
        return self.vocabulary.decode(self.ids)

    def finished(self) -> Completion:
        return self.author.finished()

    def _do(self, step: Step) -> None:
        self.step = step
        if isinstance(step, Write):
            del self.ids[len(self.ids) - step.take_back :]
            self.ids += step.ids
