"""A text as readers see it while it grows: whole characters, whole calls with results, no half of a stop string."""

from collections.abc import Callable, Sequence

from toolformer_ray.decode.answer import Piece

_BROKEN = "\N{REPLACEMENT CHARACTER}"
# A character is at most four bytes; what is broken for longer than this stays so.
_MOST_TOKENS_OF_A_CHARACTER = 4


class Transcript:
    """Plain text comes token by token; a piece that is given away is never taken back."""

    def __init__(self, decode: Callable[[list[int]], str], stop: Sequence[str]) -> None:
        self.pieces: list[Piece] = []
        """What is certain, in order."""
        self.num_plain_chars = 0
        """Code points of plain text, what is held back included."""
        self._decode, self._stop = decode, stop
        self._undecoded: list[int] = []
        self._held = ""
        self._num_drained = 0

    @property
    def is_inside_character(self) -> bool:
        """Whether the last token is the beginning of a character, inside which no call may stand."""
        return bool(self._undecoded)

    def add(self, token: int) -> bool:
        """One token of plain text; whether a stop string is complete: the text is then cut before it, and ends."""
        self._undecoded.append(token)
        text = self._decode(self._undecoded)
        if text.endswith(_BROKEN) and len(self._undecoded) < _MOST_TOKENS_OF_A_CHARACTER:
            return False
        self._undecoded = []
        return self._hold(text)

    def add_call(self, plain: str, pieces: Sequence[Piece]) -> None:
        """A call, behind what its first token holds of plain text. No stop string reaches across a call."""
        self.finish()
        for piece in (Piece(plain, "text"), *pieces):
            self._give(piece)
        self.num_plain_chars += len(plain)

    def finish(self) -> None:
        """Nothing is held back any more."""
        if self._undecoded:
            ids, self._undecoded = self._undecoded, []
            self._hold(self._decode(ids))
        self._give(Piece(self._held, "text"))
        self._held = ""

    def drain(self) -> list[Piece]:
        """What has become certain since the last call."""
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
    """How many characters at the end of the text may be the beginning of a stop string."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def join(pieces: Sequence[Piece], *, only_plain: bool = False) -> str:
    """The text of pieces, or what of it is no call."""
    return "".join(piece.text for piece in pieces if piece.by == "text" or not only_plain)
