"""Texts to token ids and back, the places of a text where a call may stand, and the spellings of the markers.

Needs the tokenizer's files only, no weights. Only fast tokenizers: places need the offset of every token.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import regex  # type: ignore[import-untyped]
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from toolformer_ray.lm.chat import ChatTemplate, find_template
from toolformer_ray.lm.configuration import read_end_ids
from toolformer_ray.lm.sources import has_tokenizer, tokenizer_arguments
from toolformer_ray.lm.tokenizer_probe import find_loss
from toolformer_ray.records.errors import UnusableError, explain

START_MARKER = " ["
END_MARKER = "]"

# transformers makes an empty tokenizer, or a riddle of an error, of a folder that has none of them.
_GRAPHEME = regex.compile(r"\X")


@dataclass(frozen=True)
class Places:
    """A text's tokens and where each begins; the three lists have one entry per token."""

    ids: list[int]
    char_offsets: list[int]
    """Where the token begins in the text, its leading space included; in Unicode code points."""
    is_place: list[bool]
    """Whether a call may stand before the token."""


class TextTokenizer:
    """A model's tokenizer as the engine needs it. Encoded pieces may be concatenated: nothing is added around them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, name: str = "", end_ids: Collection[int] = ()) -> None:
        """`end_ids`: tokens that end a text, beside those that the tokenizer itself knows as special."""
        self._more_end_ids = frozenset(end_ids)
        self.name = name or tokenizer.name_or_path
        """The name or path that it was loaded from."""
        if not tokenizer.is_fast:
            raise UnusableError(
                f"tokenizer of {self.name!r} is a slow one ({type(tokenizer).__name__}), without character offsets; "
                "save its fast version (a tokenizer.json) into the model's folder"
            )
        self.chat_template: ChatTemplate | None = find_template(tokenizer)
        """How conversations are written for the model, if its tokenizer says so."""
        self._backend = _make_splicing_tokenizer(tokenizer.backend_tokenizer)
        first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        self.bos_ids: tuple[int, ...] = () if first is None else (first,)
        """What every sequence begins with: the beginning-of-sequence token, lacking one the end-of-sequence token."""
        self.end_ids: tuple[int, ...] = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        """What a whole text ends with, if the tokenizer has an end-of-sequence token."""
        if not self.start_marker_ids:
            raise UnusableError(
                f"vocabulary of {self.name!r} has no entry for the call-start marker {START_MARKER.strip()!r}; "
                "use a model whose tokenizer has one"
            )

    @classmethod
    def load(cls, name_or_path: str) -> Self:
        """The tokenizer of a model by its folder, GGUF file or name.

        Raises ValueError, one line, if there is none, or if texts do not come back from it to the letter.
        """
        source = tokenizer_arguments(name_or_path)
        folder = source["pretrained_model_name_or_path"]
        if "gguf_file" not in source and Path(folder).is_dir() and not has_tokenizer(folder):
            raise ValueError(
                f"there is no tokenizer in {folder!r}, whose answers mean nothing without; "
                "save the one that the model was trained with beside it (a tokenizer.json)"
            )
        end_ids = read_end_ids(name_or_path)
        try:
            tokenizer = cls(_load(source), name=str(name_or_path), end_ids=end_ids)
            loss = find_loss(tokenizer.encode, tokenizer.decode)
        except UnusableError:
            raise
        except Exception as error:  # the library of tokenizers raises bare exceptions
            raise ValueError(
                f"tokenizer of {name_or_path!r} cannot be loaded ({explain(error)}); "
                "give a model's folder, a GGUF file, or its name on the Hugging Face Hub"
            ) from error
        if loss is not None:
            raise ValueError(
                f"tokenizer of {name_or_path!r} loses {loss}; "
                "use a model whose tokenizer gives texts back to the letter"
            )
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """The text's token ids; what looks like a special token is plain text."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int] | tuple[int, ...]) -> str:
        """The text of some ids, spaces as they are. Bytes that make no character become U+FFFD."""
        return self._backend.decode(list(ids), skip_special_tokens=False)

    def places(self, text: str) -> Places:
        """The text's tokens, their offsets, and before which of them a call may stand.

        A call may not stand inside a character as readers see it (an emoji, a letter and its accent), and not between
        a token that is one space and what it belongs to: `is 29` cut into `is`, ` `, `2`, `9` has a place before
        ` ` and one before `9`, none before `2`.
        """
        encoding = self._backend.encode(text, add_special_tokens=False)
        spans = encoding.offsets
        starts = _grapheme_starts(text)
        is_place = []
        end_before, before_is_space = 0, False
        for start, end in spans:
            begins_character = start >= end_before and (starts is None or start in starts)
            is_place.append(start < end and begins_character and not (before_is_space and not text[start].isspace()))
            end_before, before_is_space = end, text[start:end] == " "
        return Places(encoding.ids, [start for start, _ in spans], is_place)

    @cached_property
    def open_ids(self) -> tuple[int, ...]:
        """The canonical spelling of the start marker, ` [`, that samples continue from."""
        return tuple(self.encode(START_MARKER))

    @cached_property
    def start_marker_ids(self) -> tuple[int, ...]:
        """All entries that read `[` once white space to the left is gone; their probabilities are added."""
        return tuple(token for token, text in self._entries.items() if text.lstrip() == START_MARKER.strip())

    @cached_property
    def end_marker_ids(self) -> frozenset[int]:
        """All entries that contain `]`: `]`, `)]`, `].` and so on."""
        return frozenset(token for token, text in self._entries.items() if END_MARKER in text)

    @cached_property
    def bracket_ids(self) -> frozenset[int]:
        """All entries that contain `[`, be it a start marker or `([`, `["` and so on."""
        return frozenset(token for token, text in self._entries.items() if START_MARKER.strip() in text)

    @property
    def largest_id(self) -> int:
        """The largest id that a text can have."""
        return max(self._entries)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Entries that stand for no text, such as the end of a sequence."""
        return frozenset(token for token, entry in self._backend.get_added_tokens_decoder().items() if entry.special)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Entries that end what is being written: special ones, and those that the model's configuration names."""
        return self.special_ids | self._more_end_ids

    @cached_property
    def _entries(self) -> dict[int, str]:
        """The text of every entry of the vocabulary that stands for text."""
        ids = sorted(set(self._backend.get_vocab(with_added_tokens=True).values()) - self.special_ids)
        texts = self._backend.decode_batch([[token] for token in ids], skip_special_tokens=False)
        return dict(zip(ids, texts, strict=True))


def _grapheme_starts(text: str) -> set[int] | None:
    """Where a character as readers see it begins; None if every code point is one, as in ASCII."""
    return None if text.isascii() else {match.start() for match in _GRAPHEME.finditer(text)}


def _load(source: Mapping[str, str]) -> PreTrainedTokenizerBase:
    gguf = source.get("gguf_file")
    if gguf is None:
        return AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    path = Path(source["pretrained_model_name_or_path"], gguf)
    return _load_from_gguf(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load_from_gguf(path: Path, _: int) -> PreTrainedTokenizerBase:
    """Kept, since reading the vocabulary of a GGUF file takes seconds: up to half a minute for 262,144 entries."""
    return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name, trust_remote_code=False)


def _make_splicing_tokenizer(backend: Tokenizer) -> Tokenizer:
    """A copy of a tokenizer for pieces that are concatenated: encode(a) + encode(b) decodes to a + b, letter by letter.

    A published tokenizer is meant for whole texts. It may put special tokens around a text or a space before it, read
    `<|endoftext|>` in a text as the special token, trim the spaces off its offsets and, decoding, drop a first space.
    Each of these would corrupt a prompt made of pieces, or shift a call by one character. What is learned (vocabulary,
    merges, normalisation of letters, splitting into words) stays as it is.
    """
    pipeline = json.loads(backend.to_str())
    pipeline |= {"post_processor": None, "truncation": None, "padding": None}
    pipeline["normalizer"] = _without(pipeline["normalizer"], "Prepend")
    pipeline["decoder"] = _without(pipeline["decoder"], "Strip")
    for step in ("pre_tokenizer", "decoder"):
        _add_no_prefix(pipeline[step])
    for entry in pipeline["added_tokens"]:
        # An added token may take the spaces around it with it, which nobody gets back.
        entry |= {"lstrip": False, "rstrip": False}
    copy = Tokenizer.from_str(json.dumps(pipeline))
    copy.encode_special_tokens = True
    return copy


def _without(step: Any, unwanted: str) -> Any:
    """A step of the pipeline without the sub-steps of one type; None if nothing is left."""
    if step is None or step["type"] == unwanted:
        return None
    for name in ("normalizers", "decoders"):
        if name in step:
            kept = [inner for inner in (_without(inner, unwanted) for inner in step[name]) if inner is not None]
            step = {**step, name: kept}
    return step


def _add_no_prefix(step: Any) -> None:
    if step is None:
        return
    if "add_prefix_space" in step:
        step["add_prefix_space"] = False
    if "prepend_scheme" in step:
        step["prepend_scheme"] = "never"
    for inner in (*step.get("pretokenizers", ()), *step.get("decoders", ())):
        _add_no_prefix(inner)
