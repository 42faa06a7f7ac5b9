"""The keys and values of prefixes that many sequences share, such as a tool's demonstrations."""

from collections import OrderedDict
from collections.abc import Sequence

from toolformer_ray.lm.attention.packed import PackedTokens
from toolformer_ray.lm.attention.shared import Segment
from toolformer_ray.lm.network import Network

MAX_PREFIXES = 8


class PrefixCache:
    """Segments of the MAX_PREFIXES prefixes used last; one is computed at its first use."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._segments: OrderedDict[tuple[int, ...], Segment] = OrderedDict()

    def segment(self, ids: Sequence[int]) -> Segment | None:
        """What was kept of `ids`; None if there are none."""
        key = tuple(ids)
        if not key:
            return None
        if key not in self._segments:
            self._segments[key] = self._read(key)
        self._segments.move_to_end(key)
        if len(self._segments) > MAX_PREFIXES:
            self._segments.popitem(last=False)
        return self._segments[key]

    def _read(self, ids: Sequence[int]) -> Segment:
        own = PackedTokens([len(ids)], keep=True)
        self._network.read_packed([ids], [], own)
        return own.segments()[0]
