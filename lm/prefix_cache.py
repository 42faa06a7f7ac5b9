"""The key-value caches of prefixes that many sequences share, such as a tool's demonstrations."""

from collections import OrderedDict
from collections.abc import Sequence

import torch

from lm.network import KeyValues, Network

MAX_PREFIXES = 8


class PrefixCache:
    """Caches of the MAX_PREFIXES prefixes used last; one is computed at its first use."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._caches: OrderedDict[tuple[int, ...], KeyValues] = OrderedDict()

    def key_values(self, ids: Sequence[int]) -> KeyValues | None:
        """The cache after `ids`, for one sequence; None if there are no ids."""
        key = tuple(ids)
        if not key:
            return None
        if key not in self._caches:
            with torch.inference_mode():
                _, self._caches[key] = self._network.read(self._network.pad([key]))
        self._caches.move_to_end(key)
        if len(self._caches) > MAX_PREFIXES:
            self._caches.popitem(last=False)
        return self._caches[key]
