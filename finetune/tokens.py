"""Texts of C* as token ids, and which of these are the results of tools.

A text is encoded as the annotating model read it, alone, without special tokens. A call stands before the token at its
`char_offset`, and is encoded in the same parts as in decoding (`records.calls.call_parts`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolformer_ray.finetune.choose import Example
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import call_parts


@dataclass(frozen=True, kw_only=True)
class TokenisedText:
    """One text, from the beginning-of-sequence token to the end-of-sequence token, if the model has them."""

    ids: Sequence[int]
    is_result: Sequence[bool]
    """Per token, whether it belongs to a result or its end marker, which the model never has to write."""


def tokenise(example: Example, tokenizer: TextTokenizer, end_ids: Sequence[int]) -> TokenisedText:
    """The text's tokens. Raises ValueError if a call stands where no token begins."""
    places = tokenizer.places(example.text)
    index_of = {offset: index for index, offset in reversed(list(enumerate(places.char_offsets)))}
    ids, is_result, done = list(tokenizer.bos_ids), [False] * len(tokenizer.bos_ids), 0

    def add(more: Sequence[int], *, result: bool = False) -> None:
        ids.extend(more)
        is_result.extend([result] * len(more))

    for call in example.calls:
        if call.char_offset not in index_of:
            raise ValueError(
                f"call at character {call.char_offset} of text {example.text_id} stands inside a token; "
                "fine-tune the model that annotated, or one with its tokenizer"
            )
        index = index_of[call.char_offset]
        *written, said = call_parts(call.tool, call.call_input, call.result)
        add(places.ids[done:index])
        for piece in written:
            add(tokenizer.encode(piece))
        add(tokenizer.encode(said), result=True)
        done = index
    add(places.ids[done:])
    add(end_ids)
    return TokenisedText(ids=ids, is_result=is_result)


def shorten(texts: Iterable[TokenisedText], max_length: int) -> tuple[list[TokenisedText], int]:
    """Texts of at most `max_length` tokens, the longer ones cut at their end, and how many were cut."""
    shortened, num_cut = [], 0
    for text in texts:
        num_cut += len(text.ids) > max_length
        shortened.append(TokenisedText(ids=text.ids[:max_length], is_result=text.is_result[:max_length]))
    return shortened, num_cut
