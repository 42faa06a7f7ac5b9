"""Seconds and tokens by stage. A token is counted where it enters the first decoder layer, padding included."""

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
    """Seconds and, after `count`, tokens of each stage, of one run of one pipeline."""

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
        """What was found of the stage at hand and is still on the device, which nobody waits for in mid-stage."""

    @property
    def total_seconds(self) -> float:
        """Seconds of all stages together."""
        return sum(self.seconds.values())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside is put down to this stage; a stage around it stands still meanwhile."""
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
        """A stage did another stage's work once more: what that took is taken off it."""
        for counts in (self.tokens, self.padding):
            counts[stage] -= counts[part]
        # Two clocks of the same work never agree wholly.
        self.seconds[stage] = max(0.0, self.seconds[stage] - self.seconds[part])

    @contextmanager
    def count(self, model: PreTrainedModel, *, finds_padding: bool) -> Iterator[None]:
        """Count the tokens that this model reads. With `finds_padding` a row's last ids 0 are taken for padding,
        else the pipeline reports its padding itself.
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
        """Tokens of the stage at hand that nothing needed; outside of stages they do not count."""
        if self._stage is not None:
            self.padding[self._stage] += num_tokens

    def _lap(self) -> None:
        """Put the time since the last lap down to the stage at hand."""
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
