"""Makes a tokenizer fit for pieces that are spliced: encode(a) + encode(b) reads as a + b, letter for letter.

A tokenizer as it is published is meant for whole texts. It may put special tokens around a text, a space before it,
read `<|endoftext|>` in a text as the special token, trim the spaces off its offsets and, decoding, drop a first space.
Each of these would corrupt a prompt made of pieces, or shift a call by one character. What is learned (vocabulary,
merges, normalisation of the letters, splitting into words) stays as it is.
"""

import json
from typing import Any

from tokenizers import Tokenizer


def make_splicing_tokenizer(backend: Tokenizer) -> Tokenizer:
    """A copy of the tokenizer that adds nothing, reads special tokens' names as plain text and trims no offsets."""
    pipeline = json.loads(backend.to_str())
    pipeline |= {"post_processor": None, "truncation": None, "padding": None}
    pipeline["normalizer"] = _without(pipeline["normalizer"], "Prepend")
    pipeline["decoder"] = _without(pipeline["decoder"], "Strip")
    for step in ("pre_tokenizer", "decoder"):
        _add_no_prefix(pipeline[step])
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
