"""Reads JSON Lines, and a file that is one JSON array of objects."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from toolformer_ray.annotate.reading.file import FileSource
from toolformer_ray.annotate.reading.source import SourceRow

MAX_ELEMENT_CHARS = 1 << 28
"""Where an array is broken, this much is read to see whether it only goes on."""
_ARRAY_OF_OBJECTS = re.compile(rb"\s*\[\s*[{\]]")
_BLANK = re.compile(r"[ \t\r\n]*")


class WrittenNumber(float):
    """A number that knows how JSON wrote it: an id such as 1.10 or one of a thousand digits is kept to the letter."""

    written: str

    def __new__(cls, written: str) -> "WrittenNumber":
        """The number of a spelling."""
        number = super().__new__(cls, written)
        number.written = written
        return number


_DECODER = json.JSONDecoder(parse_float=WrittenNumber)
# For rows with an integer of more digits than Python reads. Everywhere it would cost time.
_LONG_INTEGERS = json.JSONDecoder(parse_float=WrittenNumber, parse_int=WrittenNumber)


class JsonSource(FileSource):
    """Each line is a JSON object, or the file is one array of them; blank lines are skipped."""

    def columns(self, wanted: Sequence[str]) -> Sequence[str] | None:
        """The keys of all rows up to the one by which each wanted one was seen; of all rows if one is missing."""
        seen: dict[str, None] = {}
        for row in self.rows(wanted):
            seen |= dict.fromkeys(row.values or ())
            if seen and all(column in seen for column in wanted):
                break
        return list(seen) or None

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:  # noqa: ARG002 - a line is parsed whole
        """Every object, with all its keys. Raises ValueError if an array is broken."""
        chunks = self.chunks()
        beginning = next(chunks, b"")
        if _is_array(beginning):
            yield from self._elements(chain([beginning], chunks))
            return
        for number, line in enumerate(_lines(chain([beginning], chunks)), 1):
            if line.strip():
                yield _parse_line(number, line)

    def _elements(self, chunks: Iterable[bytes]) -> Iterator[SourceRow]:
        number = 0
        try:
            for number, value in enumerate(_Array(chunks), 1):
                yield _row(number, value)
        except (json.JSONDecodeError, RecursionError) as error:
            told = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise ValueError(f"{self.name} is one JSON array that is broken after element {number:,}: {told}") from None


def _is_array(beginning: bytes) -> bool:
    """Whether a file that begins like this is an array, and not lines each of which is one."""
    if not _ARRAY_OF_OBJECTS.match(beginning):
        return False
    first, _, rest = beginning.lstrip().partition(b"\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not rest.strip()


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for chunk in chunks:
        head, *more = chunk.split(b"\n")
        rest.append(head)
        for tail in more:
            yield b"".join(rest)
            rest = [tail]
    if any(rest):
        yield b"".join(rest)


def _parse_line(number: int, line: bytes) -> SourceRow:
    try:
        text, fault = line.decode("utf-8"), None
    except UnicodeDecodeError as error:
        # It may be in a column that nobody wants. Bytes that are no UTF-8 become surrogates, which no text may have.
        text = line.decode("utf-8", "surrogateescape")
        fault = ("invalid_utf8", f"byte {error.start} of the line: {error.reason}")
    try:
        return _row(number, _decode(text))
    except (ValueError, RecursionError) as error:
        return SourceRow(number, None, fault or ("invalid_row", f"no JSON: {error}"))


def _decode(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _LONG_INTEGERS.decode(text)


def _row(number: int, value: object) -> SourceRow:
    if isinstance(value, dict):
        return SourceRow(number, value)
    return SourceRow(number, None, ("invalid_row", f"a JSON {type(value).__name__} where an object should be"))


class _Array:
    """The elements of a JSON array, one at a time, of which no more is in memory than is waiting to be understood."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._pieces = codecs.iterdecode(chunks, "utf-8", "surrogateescape")
        self._text, self._at = "", 0

    def __iter__(self) -> Iterator[object]:
        self._pass("[")
        if self._next_sign() == "]":
            self._at += 1
        else:
            yield self._element()
            while self._pass(",]") == ",":
                yield self._element()
        if self._next_sign():
            raise json.JSONDecodeError("something follows the end of the array", self._text, self._at)

    def _pass(self, signs: str) -> str:
        sign = self._next_sign()
        if not sign or sign not in signs:
            raise json.JSONDecodeError(f"{' or '.join(signs)} is missing", self._text, self._at)
        self._at += 1
        return sign

    def _next_sign(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def _element(self) -> object:
        self._next_sign()
        while True:
            try:
                value, end = self._decode_here()
            except json.JSONDecodeError:
                if len(self._text) - self._at > MAX_ELEMENT_CHARS or not self._read_on():
                    raise
                continue
            # A number that ends with what was read may go on.
            if end < len(self._text) or not self._read_on():
                self._at = end
                return value

    def _decode_here(self) -> tuple[object, int]:
        try:
            return _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError:
            raise
        except ValueError:
            return _LONG_INTEGERS.raw_decode(self._text, self._at)

    def _read_on(self) -> bool:
        """Read as much again as is waiting; False at the end of the file. So an element is parsed a few times only."""
        waiting = [self._text[self._at :]]
        wanted, num_read = len(waiting[0]) + 1, 0
        while num_read < wanted and (piece := next(self._pieces, None)) is not None:
            waiting.append(piece)
            num_read += len(piece)
        self._text, self._at = "".join(waiting), 0
        return num_read > 0
