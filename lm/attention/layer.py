"""What a layer of the model says of its attention: the one place where it is decided which tokens it sees."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """One layer, as its model describes it to the engine."""

    index: int
    """Its number; layers attend in this order."""
    scale: float
    """What scores are multiplied by."""
    window: int | None = None
    """How many tokens each token sees, itself included; None: all before it."""

    def sees(self, distance: Tensor) -> Tensor:
        """Whether a token sees the one that stands so many tokens before it; itself is at distance 0.

        >>> import torch
        >>> Layer(0, 1.0, window=2).sees(torch.tensor([-1, 0, 1, 2])).tolist()
        [False, True, True, False]
        """
        visible = distance >= 0
        return visible if self.window is None else visible & (distance < self.window)
