"""How much of what follows a call its result says: the cheapest estimate of what the call can do.

    L_unsaid = - sum over the weighted tokens that the result does not say of w_t log p(x_{i+t} | x_{<i+t})

A result helps for the most part by saying what comes next, which takes L_i(epsilon) down to L_unsaid if it is believed.
That takes one pass a text, for all its calls, and none for a call. What it does not see: results that make likely what
they do not say (`Paris` before `France`), and tokens that follow from those that they do.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import regex  # type: ignore[import-untyped]

from toolformer_ray.filter.call_to_score import CallToScore
from toolformer_ray.lm.requests import ScoreRequest
from toolformer_ray.losses.weights import WEIGHTS

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel

# A number with its separators; one character of a script that puts no spaces between words; a word; a sign.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"\d+(?:[.,]\d+)*|[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}])+|\S")
_SAME_SIGNS = str.maketrans({"\u2212": "-", "\u2018": "'", "\u2019": "'"})
# How far to look for the beginning of a word.
_LONGEST_WORD = 40


def unsaid_losses(calls: Sequence[CallToScore], model: "LanguageModel") -> list[float]:
    """L_unsaid of each call; each text is read once."""
    calls_of: dict[str, list[int]] = {}
    for index, call in enumerate(calls):
        calls_of.setdefault(call.executed.text_id, []).append(index)
    groups = list(calls_of.values())
    tokens = [sorted({j for index in group for j in calls[index].weighted}) for group in groups]
    requests = [
        _request(calls[group[0]].text_ids, its_tokens, model) for group, its_tokens in zip(groups, tokens, strict=True)
    ]
    losses: dict[int, float] = {}
    for group, its_tokens, answer in zip(groups, tokens, model.log_probs(requests), strict=True):
        log_probs = dict(zip(its_tokens, answer, strict=True))
        borders = _borders(calls[group[0]], model)
        losses |= {index: _loss(calls[index], log_probs, borders) for index in group}
    return [losses[index] for index in range(len(calls))]


def unsaid_loss_alone(call: CallToScore, model: "LanguageModel") -> float:
    """L_unsaid from a batch of one, so that nothing but the call decides its last digits."""
    log_probs = model.log_probs_alone(_request(call.text_ids, call.weighted, model))
    return _loss(call, dict(zip(call.weighted, log_probs, strict=True)), _borders(call, model))


def words_of(text: str) -> list[str]:
    """Its words, numbers and signs, without what spellings of the same differ in: case, separators, kinds of signs.

    >>> words_of("In PARIS, 1,234.5 km")
    ['in', 'paris', ',', '12345', 'km']
    """
    return [_plain(match.group()) for match in _WORD.finditer(text)]


def says(result_words: Sequence[str], text: str, start: int, end: int) -> bool:
    """Whether all words that a token, `text[start:end]`, is part of begin like words of the result, up to its end.

    So of 849 the tokens 8 and 4 are said by 840, but not its 9, and none by 984.

    >>> [says(["840"], "is 849", start, start + 1) for start in (3, 4, 5)], says(["984"], "is 849", 3, 4)
    ([True, True, False], False)
    """
    first = next((n for n in range(start, max(0, start - _LONGEST_WORD), -1) if text[n - 1].isspace()), None)
    first = max(0, start - _LONGEST_WORD) if first is None else first
    words = _WORD.finditer(text[first : end + _LONGEST_WORD])
    begun = [
        _plain(text[first + word.start() : min(first + word.end(), end)])
        for word in words
        if first + word.start() < end and first + word.end() > start
    ]
    return bool(begun) and all(any(word.startswith(part) for word in result_words) for part in begun)


def _plain(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word).casefold().translate(_SAME_SIGNS)
    return plain.replace(",", "").replace(".", "") if plain[0].isdigit() else plain


def _request(text_ids: Sequence[int], tokens: Sequence[int], model: "LanguageModel") -> ScoreRequest:
    bos_ids = model.tokenizer.bos_ids
    return ScoreRequest(ids=[*bos_ids, *text_ids[: tokens[-1] + 1]], targets=[len(bos_ids) + j for j in tokens])


def _borders(call: CallToScore, model: "LanguageModel") -> Sequence[int]:
    """Where each token of the call's text begins, in code points, and where the last one ends."""
    return [*model.tokenizer.places(call.text).char_offsets, len(call.text)]


def _loss(call: CallToScore, log_probs: Mapping[int, float], borders: Sequence[int]) -> float:
    """L_unsaid in weighted nats, from the log-probabilities of the text's tokens by their index."""
    result_words = words_of(call.executed.result or "")
    return -sum(
        weight * float(log_probs[j])
        for j, weight in zip(call.weighted, WEIGHTS, strict=False)
        if not says(result_words, call.text, borders[j], borders[j + 1])
    )
