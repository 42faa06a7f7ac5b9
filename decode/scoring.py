"""The log-probabilities of a finished text's tokens: the whole sequence is read once more, behind its last token.

So they are those of the text as it stands, results of calls included, and the same whether it was written or given. Of
calls that were taken back nothing is left. Texts that end together are read together, as many as the engine takes.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from toolformer_ray.decode.completion import Completion, Piece, ScoredToken, Writer
from toolformer_ray.decode.request import DecodeRequest, Scoring
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import ScoreRequest, TokenScores

# As in a transcript: what is broken for longer than four tokens is no character.
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_MOST_TOKENS_OF_A_CHARACTER = 4


@dataclass(frozen=True)
class _Ended:
    """A text that waits for its scores."""

    request: DecodeRequest
    completion: Completion
    ids: Sequence[int]
    """Of the whole sequence."""
    scoring: Scoring
    is_cut: bool
    """Whether a stop string may have ended it, whose tokens are in `ids`."""

    @property
    def pieces(self) -> Sequence[Piece]:
        """Of what was written."""
        return self.request.writing.transcript.pieces if self.request.is_written else ()

    @property
    def num_left_out(self) -> int:
        """How many of the first tokens are not told."""
        return self.request.num_hidden if self.scoring.with_prompt else len(self.request.prompt_ids)

    @property
    def scored(self) -> ScoreRequest:
        """All that are told, but for one that has nothing before it."""
        return ScoreRequest(ids=self.ids, targets=range(max(1, self.num_left_out), len(self.ids)))


class ScoreQueue:
    """Texts that have ended and wait to be read again. `num_tokens`: how many are read between two decode steps."""

    def __init__(self, model: LanguageModel, num_tokens: int) -> None:
        self._model, self._num_tokens = model, num_tokens
        self._queue: deque[_Ended] = deque()
        self._texts: dict[int, str] = {}

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._queue)

    def add(self, request: DecodeRequest, completion: Completion, ids: Sequence[int], scoring: Scoring) -> None:
        """Put an ended text at the end of the queue. `ids`: the whole sequence, its prompt included."""
        is_cut = request.is_written and completion.finish_reason == "stop"
        self._queue.append(_Ended(request, completion, ids, scoring, is_cut))

    def forget(self, request: DecodeRequest) -> None:
        """Nothing more is done for a request."""
        self._queue = deque(ended for ended in self._queue if ended.request is not request)

    def step(self) -> list[DecodeRequest]:
        """Score the first of the queue; they then have their completions."""
        batch: list[_Ended] = []
        num_tokens = 0
        while self._queue and (not batch or num_tokens + len(self._queue[0].ids) <= self._num_tokens):
            num_tokens += len(self._queue[0].ids)
            batch.append(self._queue.popleft())
        for without_calls in (False, True):
            # What a text was written with: where calls are disabled, a start marker has no probability.
            self._score([ended for ended in batch if (ended.request.options.max_calls == 0) == without_calls])
        return [ended.request for ended in batch]

    def _score(self, batch: Sequence[_Ended]) -> None:
        asked = [ended for ended in batch if ended.scored.targets]
        if asked:
            most = max(max(1, ended.scoring.num_likeliest) for ended in asked)
            without_calls = asked[0].request.options.max_calls == 0
            found = self._model.likeliest([ended.scored for ended in asked], most, without_calls=without_calls)
            scores = dict(zip(map(id, asked), found, strict=True))
        for ended in batch:
            told = self._tokens(ended, scores[id(ended)] if ended.scored.targets else None)
            ended.request.completion = replace(ended.completion, scores=told)

    def _tokens(self, ended: _Ended, scores: TokenScores | None) -> list[ScoredToken]:
        """The tokens that are told; those behind the end of the text, in a stop string, are not."""
        ids = ended.ids[ended.num_left_out :]
        offsets = _char_offsets(ids, self._model.tokenizer.decode)
        begin = offsets[len(ended.request.prompt_ids) - ended.num_left_out]
        end = begin + len(ended.completion.text) if ended.is_cut else math.inf
        writers = _writers(offsets[:-1], begin, ended.pieces)
        # The first token of a sequence has nothing before it, and no row.
        first_row = len(scores.log_probs) - len(ids) if scores else 0
        told = []
        for row, (token, offset, by) in enumerate(zip(ids, offsets[:-1], writers, strict=True), start=first_row):
            if offset >= end:
                break
            if scores is None or row < 0:
                told.append(ScoredToken(self._text(token), offset, None, by))
            else:
                best = self._likeliest(scores, row, ended.scoring.num_likeliest)
                told.append(ScoredToken(self._text(token), offset, float(scores.log_probs[row]), by, best))
        return told

    def _likeliest(self, scores: TokenScores, row: int, number: int) -> tuple[tuple[str, float], ...]:
        entries, values = scores.likeliest_ids[row, :number], scores.likeliest_log_probs[row, :number]
        return tuple(zip(map(self._text, entries.tolist()), values.tolist(), strict=True))

    def _text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self._model.tokenizer.decode([token])
        return self._texts[token]


def _writers(offsets: Sequence[int], begin: int, pieces: Sequence[Piece]) -> Iterator[Writer]:
    """In what each token begins: the prompt, up to character `begin`, or one of the pieces behind it."""
    spans = deque[tuple[int, Writer]]([(begin, "prompt")])
    for piece in pieces:
        spans.append((spans[-1][0] + len(piece.text), piece.by))
    for offset in offsets:
        while len(spans) > 1 and spans[0][0] <= offset:
            spans.popleft()
        yield spans[0][1]


def _char_offsets(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[int]:
    """Where each token begins in the text of all, and where the text ends."""
    offsets, num_chars, undecoded = [], 0, list[int]()
    for token in ids:
        offsets.append(num_chars)
        undecoded.append(token)
        text = decode(undecoded)
        if not text.endswith(_BROKEN) or len(undecoded) == _MOST_TOKENS_OF_A_CHARACTER:
            num_chars += len(text)
            undecoded = []
    return [*offsets, num_chars + (len(decode(undecoded)) if undecoded else 0)]
