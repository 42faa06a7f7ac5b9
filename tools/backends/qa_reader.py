"""Question answering by retrieval and a reader model, as in Atlas (paper, section 3), but extractive.

BM25 finds the best passages, a Hugging Face question answering model scores the spans in each, and the best span of
all is the answer. The score is the sum of the start and end logits, minus those of the model's "no answer" at the first
token; without a positive score there is no answer.
"""

import threading
from typing import TYPE_CHECKING, Any

from toolformer_ray.records.errors import OptionError
from toolformer_ray.tools.backends.passage_index import Passage, PassageIndex
from toolformer_ray.tools.options import check_model_folder, naming_option

if TYPE_CHECKING:
    import torch

NUM_PASSAGES = 5
MAX_ANSWER_TOKENS = 30
MAX_INPUT_TOKENS = 384
STRIDE_TOKENS = 128
"""A passage that does not fit the input is read in pieces that overlap by this many tokens."""


class PassageReader:
    """A passage index and an extractive reader, by name or path. Raises OptionError if the model cannot be loaded."""

    def __init__(self, index: PassageIndex, model: str, device: str) -> None:
        with naming_option("qa.model", model):
            import torch
            from transformers import AutoModelForQuestionAnswering, AutoTokenizer

            check_model_folder(model)
            self._tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
            loaded = AutoModelForQuestionAnswering.from_pretrained(
                model, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
            )
        with naming_option("qa.device", device):
            self._model = loaded.to(device).eval()
        self._index = index
        if not self._tokenizer.is_fast:
            raise OptionError("qa.model", model, "it has no fast tokenizer, without which no spans are found in a text")
        self._lock = threading.Lock()

    def answer(self, question: str) -> str:
        """The best span of the best passages; empty if the model sees no answer in any of them."""
        passages = self._index.search(question, NUM_PASSAGES)
        if not passages:
            return ""
        with self._lock:  # a call sets the tokenizer's truncation
            spans = self._spans(question, passages)
        score, answer = max(spans, default=(0.0, ""), key=lambda span: span[0])
        return answer if score > 0 else ""

    def _spans(self, question: str, passages: list[Passage]) -> list[tuple[float, str]]:
        """Score and text of the best span of every piece of every passage. B pieces of T tokens."""
        import torch

        max_tokens = min(MAX_INPUT_TOKENS, self._model.config.max_position_embeddings)
        pieces: Any = self._tokenizer(
            [self._cut(question, max_tokens // 2)] * len(passages),
            [passage.text for passage in passages],
            truncation="only_second",
            max_length=max_tokens,
            stride=min(STRIDE_TOKENS, max_tokens // 4),
            padding=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets_BT2 = pieces.pop("offset_mapping").tolist()
        passage_of_B = pieces.pop("overflow_to_sample_mapping").tolist()
        with torch.inference_mode():
            output = self._model(**{name: ids.to(self._model.device) for name, ids in pieces.items()})
        start_BT, end_BT = output.start_logits.float().cpu(), output.end_logits.float().cpu()
        found = []
        for row, passage in enumerate(passage_of_B):
            is_context_T = torch.tensor([sequence == 1 for sequence in pieces.sequence_ids(row)])
            score, first, last = best_span(start_BT[row], end_BT[row], is_context_T)
            text = passages[passage].text[offsets_BT2[row][first][0] : offsets_BT2[row][last][1]]
            found.append((score, text))
        return found

    def _cut(self, question: str, max_tokens: int) -> str:
        """The beginning of a question, cut so that the passages have at least half of the input."""
        cut = self._tokenizer(
            question, add_special_tokens=False, truncation=True, max_length=max_tokens, return_offsets_mapping=True
        )
        return question[: max((end for _, end in cut["offset_mapping"]), default=0)]


def best_span(start_T: "torch.Tensor", end_T: "torch.Tensor", is_context_T: "torch.Tensor") -> tuple[float, int, int]:
    """(score, first, last) of the best span within the context, at most MAX_ANSWER_TOKENS long.

    The score is start + end minus the logits of "no answer", both at token 0; minus infinity if there is no context.
    """
    import torch

    nowhere = float("-inf")
    starts_T1 = start_T.masked_fill(~is_context_T, nowhere)[:, None]
    ends_1T = end_T.masked_fill(~is_context_T, nowhere)[None, :]
    ones_TT = torch.ones(len(start_T), len(start_T), dtype=torch.bool)
    is_span_TT = ones_TT.triu() & ones_TT.tril(MAX_ANSWER_TOKENS - 1)
    scores_TT = (starts_T1 + ends_1T).masked_fill(~is_span_TT, nowhere)
    best = int(scores_TT.argmax())
    first, last = divmod(best, len(start_T))
    return float(scores_TT[first, last] - start_T[0] - end_T[0]), first, last
