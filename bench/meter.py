"""Measures seconds and tokens by stage. A token is counted where it enters the first decoder layer."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

STAGES = ("demonstrations", "positions", "loss without", "samples", "loss with result", "loss with call")
"""The stages in order. The demonstrations are read once a run, all others for every text."""
SCORE_STAGES = ("loss with result", "loss with call")


class Meter:
    """Seconds and, inside of `count`, tokens of each stage, for one run of one pipeline."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.tokens: dict[str, int] = defaultdict(int)
        """Tokens that went through the model, padding included."""
        self.padding: dict[str, int] = defaultdict(int)
        """How many of them were padding, or followed the end of a sample."""
        self.peak_bytes = 0
        """The most device memory allocated during the samples; 0 on CPU."""
        self._device = device
        self._on_cuda = device.type == "cuda"
        self._stage: str | None = None
        self._since = 0.0
        self._padding_there: list[Tensor] = []
        """Counts of the current stage that are still on the device: reading them in mid-stage would wait for it."""

    @property
    def total_seconds(self) -> float:
        """Seconds of all stages together."""
        return sum(self.seconds.values())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Attribute what runs inside to this stage; the clock of an enclosing stage stops meanwhile."""
        outer = self._stage
        self._lap()
        self._stage = name
        if name == "samples" and self._on_cuda:
            torch.cuda.reset_peak_memory_stats(self._device)
        try:
            yield
        finally:
            self._lap()
            if name == "samples" and self._on_cuda:
                self.peak_bytes = torch.cuda.max_memory_allocated(self._device)
            self._stage = outer

    def take_off(self, stage: str, part: str) -> None:
        """Subtract the costs of stage `part` from those of a stage that did the work of `part` once more."""
        for counts in (self.tokens, self.padding):
            counts[stage] -= counts[part]
        # Two measurements of the same work differ a little.
        self.seconds[stage] = max(0.0, self.seconds[stage] - self.seconds[part])

    @contextmanager
    def count(self, model: PreTrainedModel, *, finds_padding: bool) -> Iterator[None]:
        """Count the tokens that this model reads. With `finds_padding`, zeros at the end of a row count as padding;
        without it, the pipeline reports its padding through `add_padding`.
        """
        base: Any = model.base_model
        handles = [first_layer(model).register_forward_pre_hook(self._count_layer, with_kwargs=True)]
        if finds_padding:
            handles.append(base.register_forward_pre_hook(self._count_padding, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add_padding(self, num_tokens: int) -> None:
        """Add to the padding of the current stage; outside of stages nothing is counted."""
        if self._stage is not None:
            self.padding[self._stage] += num_tokens

    def _lap(self) -> None:
        """Attribute the time since the last lap to the current stage."""
        if self._on_cuda:
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.add_padding(sum(int(found) for found in self._padding_there))
        self._padding_there.clear()
        if self._stage is not None:
            self.seconds[self._stage] += now - self._since
        self._since = now

    def _count_layer(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        if self._stage is not None:
            self.tokens[self._stage] += hidden.shape[:-1].numel()

    def _count_padding(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs.get("input_ids")
        if ids is not None:
            self._padding_there.append((ids.flip(-1) != 0).cumsum(-1).eq(0).sum())


def first_layer(model: PreTrainedModel) -> nn.Module:
    """The decoder layer that every token enters first."""
    stacks = (module for module in model.base_model.modules() if isinstance(module, nn.ModuleList))
    return next(stacks)[0]
