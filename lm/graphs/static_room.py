"""The memory of steps of repeating shapes: buffers that stay where they are, and the recordings that read them.

A model keeps its room from one stream of samples to the next, so that a shape is recorded once and not once a shard.
"""

import weakref
from collections.abc import Sized

import torch
from torch import Tensor
from torch.nn.functional import pad

from toolformer_ray.lm.graphs.page_arena import PageArena
from toolformer_ray.lm.graphs.static_attention import PAGE, StepShape
from toolformer_ray.lm.graphs.step_capture import Recorder, Steps

# Prompts that are being sampled from have up to so many times the tokens that the slots begin with.
SHARED_OVER_OWN = 4


class Room:
    """For so many sequences, of one user at a time."""

    def __init__(self, num_slots: int, num_tokens: int, device: torch.device, recorder: Recorder) -> None:
        """`num_tokens` of each sequence's own, to begin with."""
        self.num_slots = num_slots
        self.num_tokens = num_tokens
        self.own = torch.empty(0)
        """(2 L, slots, K, M, D): keys and values of each layer in turn; M is `num_tokens`."""
        self.arena = PageArena(max(4, SHARED_OVER_OWN * num_slots * num_tokens // PAGE))
        self.steps: Steps[StepShape] = Steps(device, recorder)
        self._user: weakref.ref[Sized] | None = None

    def suits(self, user: Sized, num_slots: int, num_tokens: int) -> bool:
        """Whether the room has the size, and no other user has sequences here."""
        holder = self._user() if self._user is not None else None
        is_free = holder is None or holder is user or not len(holder)
        return is_free and self.has_size(num_slots, num_tokens)

    def has_size(self, num_slots: int, num_tokens: int) -> bool:
        """Whether it is for so many sequences, and for their own tokens at least to begin with."""
        return self.num_slots == num_slots and self.num_tokens >= num_tokens

    def take(self, user: Sized) -> None:
        """Nothing is left of what was here."""
        self._user = weakref.ref(user)
        self.arena.clear()

    def make_own(self, marker: Tensor) -> None:
        """The buffer for own tokens, for keys and values like these (2 L, K, tokens, D), if there is none yet."""
        if self.own.dim() != 5:
            num_parts, num_heads, _, width = marker.shape
            self.own = marker.new_zeros(num_parts, self.num_slots, num_heads, self.num_tokens, width)

    def double_own(self) -> None:
        """Twice as many own tokens for each sequence."""
        self.own = pad(self.own, (0, 0, 0, self.num_tokens))
        self.num_tokens *= 2
        self.steps.forget()
