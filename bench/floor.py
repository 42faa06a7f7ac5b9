"""(c) The floor: how many tokens must go through the model for the same answers, and how many operations they take.

    demonstrations     once a run
    positions          own ids and text but the last token, after the demonstrations; one row a token through the head
    loss without       one pass a text, up to the token before the last that counts at any place
    samples            the start marker once a place, then every token drawn but the last of each sample
    loss with result   each distinct call of a text, up to the token before the last that counts at any of its places
    loss with call     the same, only where L+ <= L(epsilon) - tau_f

A token costs 2 operations for each weight of the decoder's matrices and, in each layer, 4 for each entry of the queries
and each token that it attends to. A row through the head costs 2 operations for each weight of the head. Norms,
activations, softmax and random numbers are left out, so the floor is a little low.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from toolformer_ray.bench.engine_run import Annotation, equal_sequences, weighted_union
from toolformer_ray.bench.workload import Workload
from toolformer_ray.lm.tokenizer import TextTokenizer


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """The numbers of a model from which the operations of a token follow."""

    layer_weights: int
    """Weights of the matrices that every token is multiplied with: all but embeddings and head."""
    attention_width: int
    """Entries of the queries of a token, all layers together: layers x heads x head width."""
    head_weights: int
    """Width x vocabulary."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        """Counted from the modules. Raises ValueError for a mixture of experts: a token uses part of its weights."""
        config = model.config.get_text_config()
        if getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None):
            raise ValueError(f"{config.model_type} is a mixture of experts; give a dense model")
        heads = config.num_attention_heads
        head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(
            layer_weights=sum(rows * columns for rows, columns in layer_shapes(model)),
            attention_width=config.num_hidden_layers * heads * head_width,
            head_weights=model.get_output_embeddings().weight.numel(),
        )

    def read(self, before: int, num_tokens: int) -> int:
        """Operations for tokens that follow `before` others, each seeing all up to itself."""
        seen = num_tokens * before + num_tokens * (num_tokens + 1) // 2
        return 2 * self.layer_weights * num_tokens + 4 * self.attention_width * seen

    def project(self, num_rows: int) -> int:
        """Operations for rows through the vocabulary head."""
        return 2 * self.head_weights * num_rows


@dataclass(frozen=True)
class Cost:
    """What a stage needs."""

    tokens: int = 0
    operations: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.tokens + other.tokens, self.operations + other.operations)


def layer_shapes(model: PreTrainedModel) -> list[tuple[int, int]]:
    """(in, out) of every matrix that every token is multiplied with, the head left out."""
    shapes = []
    for module in model.base_model.modules():
        if isinstance(module, nn.Linear):
            shapes.append((module.in_features, module.out_features))
        elif isinstance(module, Conv1D):
            shapes.append((module.weight.shape[0], module.weight.shape[1]))
    return shapes


def count_floor(model: ModelCost, work: Workload, tokenizer: TextTokenizer, found: Annotation) -> dict[str, Cost]:
    """What each stage of `bench.meter.STAGES` needs, all texts together."""
    shared = len(work.shared_ids)
    lengths = [len(text.own_ids) + len(text.text_ids) - 1 for text in work.texts]
    positions = (
        Cost(length, model.read(shared, length) + model.project(len(text.text_ids)))
        for length, text in zip(lengths, work.texts, strict=True)
    )
    return {
        "demonstrations": Cost(shared, model.read(0, shared)),
        "positions": _sum(positions),
        "loss without": _sum(_losses_without(model, work, tokenizer, found)),
        "samples": _sum(_samples(model, work, tokenizer, found)),
        "loss with result": _sum(_losses(model, work, found, range(len(found.calls)), with_result=True)),
        "loss with call": _sum(_losses(model, work, found, found.loss_with_call, with_result=False)),
    }


def _losses_without(model: ModelCost, work: Workload, tokenizer: TextTokenizer, found: Annotation) -> Iterable[Cost]:
    for text, places in zip(work.texts, found.places, strict=True):
        if union := weighted_union(places, len(text.text_ids)):
            length = len(tokenizer.bos_ids) + union[-1]
            yield Cost(length, model.read(0, length) + model.project(len(union)))


def _samples(model: ModelCost, work: Workload, tokenizer: TextTokenizer, found: Annotation) -> Iterable[Cost]:
    opening = len(tokenizer.open_ids)
    for (n, place), samples in found.samples.items():
        before = len(work.shared_ids) + len(work.texts[n].own_ids) + place
        yield Cost(opening, model.read(before, opening) + model.project(1))
        for sample in samples:
            read = len(sample.ids) - 1
            yield Cost(read, model.read(before + opening, read) + model.project(read))


def _losses(
    model: ModelCost, work: Workload, found: Annotation, indices: Iterable[int], *, with_result: bool
) -> Iterable[Cost]:
    calls = [found.calls[index] for index in indices]
    prefixes = [call.ids_with_result if with_result else call.ids_without_result for call in calls]
    for (n, prefix), members in equal_sequences(calls, prefixes).items():
        union = weighted_union([calls[index].token_index for index in members], len(work.texts[n].text_ids))
        length = len(prefix) + union[-1]
        yield Cost(length, model.read(0, length) + model.project(len(union)))


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())
