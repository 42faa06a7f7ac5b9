"""The segments that sequences see now, in pages of equal size in one buffer.

The buffer is as large from the beginning as a stream needs (lm.graphs.static_room): where it grows it moves, and
what was recorded of the old one is lost. A long segment takes more pages, and no room from others.

Shapes: L layers, G pages, K key heads, E entries of a page, D head width.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import pad

from toolformer_ray.lm.attention.shared import Segment
from toolformer_ray.lm.graphs.static_attention import PAGE


class PageArena:
    """Pages by segment, as long as some sequence sees it."""

    def __init__(self, num_pages: int) -> None:
        self.entries = torch.empty(0)
        """(2 L, G, K, E, D): keys and values of each layer in turn. Zeros where nothing was written."""
        self._num_pages = num_pages
        self._pages: dict[Segment, np.ndarray] = {}
        self._num_seeing: dict[Segment, int] = {}
        self._free: list[int] = []
        self.clear()

    @property
    def is_full(self) -> bool:
        """Whether a segment as long as the longest here may find no room, so that the buffer would have to grow."""
        return len(self._free) < max(map(len, self._pages.values()), default=1)

    def enter(self, segment: Segment, on_growth: Callable[[], None]) -> np.ndarray:
        """One sequence more sees the segment; its pages in order. `on_growth` is called if the buffer has moved."""
        if segment not in self._pages:
            self._pages[segment] = self._write(segment, on_growth)
        self._num_seeing[segment] = self._num_seeing.get(segment, 0) + 1
        return self._pages[segment]

    def leave(self, segment: Segment) -> None:
        """One sequence less; what nobody sees gives up its pages."""
        self._num_seeing[segment] -= 1
        if not self._num_seeing[segment]:
            del self._num_seeing[segment]
            self._free.extend(self._pages.pop(segment).tolist()[::-1])

    def clear(self) -> None:
        """Nobody sees anything any more."""
        self._pages.clear()
        self._num_seeing.clear()
        self._free = list(range(self._num_pages))[::-1]

    def _write(self, segment: Segment, on_growth: Callable[[], None]) -> np.ndarray:
        """A copy or two, whatever the number of layers."""
        parts = torch.stack([part for layer in segment.layers for part in layer])
        num_parts, num_heads, length, width = parts.shape
        num_pages = -(-length // PAGE)
        if self.entries.dim() != 5:
            self.entries = parts.new_zeros(num_parts, self._num_pages, num_heads, PAGE, width)
        if num_pages > len(self._free):
            self._grow(num_pages)
            on_growth()
        pages = [self._free.pop() for _ in range(num_pages)]
        filled = pad(parts, (0, 0, 0, num_pages * PAGE - length))
        by_page = filled.view(num_parts, num_heads, num_pages, PAGE, width).transpose(1, 2)
        self.entries[:, torch.tensor(pages, device=parts.device)] = by_page
        return np.array(pages, dtype=np.int64)

    def _grow(self, num_pages: int) -> None:
        more = max(self._num_pages, num_pages)
        self.entries = pad(self.entries, (0, 0, 0, 0, 0, 0, 0, more))
        self._free = [*range(self._num_pages, self._num_pages + more)[::-1], *self._free]
        self._num_pages += more
