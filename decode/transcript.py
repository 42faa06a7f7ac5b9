"""A text as readers see it while it grows: in whole characters, whole calls with results, and whole stop strings."""

from collections.abc import Callable, Sequence

from toolformer_ray.decode.completion import Piece

_BROKEN = "\N{REPLACEMENT CHARACTER}"
# A character is at most four bytes, so at most four tokens: what is broken for longer is no character.
_MOST_TOKENS_OF_A_CHARACTER = 4


class Transcript:
    """Takes plain text token by token and whole calls; a piece that was given out is never taken back."""

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str]) -> None:
        self.pieces: list[Piece] = []
        """The text so far, as far as it is certain."""
        self.num_plain_chars = 0
        """Code points of plain text, including what is held back."""
        self._decode, self._stop = decode, stop
        self._undecoded: list[int] = []
        self._held = ""
        self._num_drained = 0

    @property
    def is_inside_character(self) -> bool:
        """Whether the last token is only the beginning of a character; no call may stand inside one."""
        return bool(self._undecoded)

    def add(self, token: int) -> bool:
        """Add a token of plain text; returns whether it completes a stop string, before which the text is then cut."""
        self._undecoded.append(token)
        text = self._decode(self._undecoded)
        if text.endswith(_BROKEN) and len(self._undecoded) < _MOST_TOKENS_OF_A_CHARACTER:
            return False
        self._undecoded = []
        return self._hold(text)

    def add_call(self, plain: str, pieces: Sequence[Piece]) -> None:
        """Add a call, after the plain text in its first token. No stop string reaches across a call."""
        self.finish()
        for piece in (Piece(plain, "text"), *pieces):
            self._give(piece)
        self.num_plain_chars += len(plain)

    def finish(self) -> None:
        """Give out what is held back."""
        if self._undecoded:
            ids, self._undecoded = self._undecoded, []
            self._hold(self._decode(ids))
        self._give(Piece(self._held, "text"))
        self._held = ""

    def drain(self) -> list[Piece]:
        """The pieces that were added since this was last called."""
        fresh = self.pieces[self._num_drained :]
        self._num_drained = len(self.pieces)
        return fresh

    def _hold(self, text: str) -> bool:
        self._held += text
        self.num_plain_chars += len(text)
        if starts := [start for stop in self._stop if (start := self._held.find(stop)) >= 0]:
            self.num_plain_chars -= len(self._held) - min(starts)
            self._held = self._held[: min(starts)]
            self.finish()
            return True
        certain = len(self._held) - max((_overlap(self._held, stop) for stop in self._stop), default=0)
        self._give(Piece(self._held[:certain], "text"))
        self._held = self._held[certain:]
        return False

    def _give(self, piece: Piece) -> None:
        if piece.text:
            self.pieces.append(piece)


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of a stop string."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def join(pieces: Sequence[Piece], *, only_plain: bool = False) -> str:
    """The text of the pieces, without calls if only plain text is wanted."""
    return "".join(piece.text for piece in pieces if piece.by == "text" or not only_plain)
