"""Attention with log sum exp on other devices than the CPU: by a kernel where nothing is masked, else from the formula.

A kernel is compared with the formula before its first answer counts, and given up with one warning if it fails or
differs. Shapes: N sequences, H heads, L queries, S keys, D head width.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Attended = tuple[Tensor, Tensor]
"""What a part answers: the values (N, H, L, D), and log sum exp of its scores (N, H, L), float32."""

# PyTorch's kernels take nothing wider or finer.
KERNEL_DTYPES = (torch.bfloat16, torch.float16)
KERNEL_WIDTHS = range(8, 257, 8)
# Share of the largest number by which a kernel may differ from the formula in float32.
AGREEMENT = 0.02
# Queries and keys of the numbers that a kernel is tried on; more than the blocks that kernels work in.
PROBE = (130, 200)

Kernel = Callable[[Tensor, Tensor, Tensor, float], Attended]
"""Queries (N, H, L, D), keys and values (N, H, S, D), the scale."""

logger = logging.getLogger(__name__)


def attend_on_device(
    query: Tensor, keys: Tensor, values: Tensor, *, scale: float, is_causal: bool, visible: Tensor | None
) -> Attended:
    """As `lm.attention.shared.attend`."""
    if is_causal or visible is not None:
        return attend_plainly(query, keys, values, scale=scale, is_causal=is_causal, visible=visible)
    return _unmasked.attend(query, keys, values, scale)


def attend_plainly(
    query: Tensor, keys: Tensor, values: Tensor, *, scale: float, is_causal: bool = False, visible: Tensor | None = None
) -> Attended:
    """The same from the formula, for devices without a kernel that says log sum exp."""
    scores = (query @ keys.transpose(-1, -2)).float() * scale
    if is_causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    lse = scores.logsumexp(-1)
    return (scores - lse[..., None]).exp().to(values.dtype) @ values, lse


class UnmaskedAttention:
    """Every query sees every key. A kernel does not write the scores down, on which the formula spends its time."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel: Kernel | None = kernel
        self._checked: set[tuple[int, int, torch.dtype]] = set()

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """By the kernel, if it takes such numbers and is right."""
        is_for_kernel = query.dtype in KERNEL_DTYPES and query.shape[-1] in KERNEL_WIDTHS
        if self._kernel is not None and is_for_kernel:
            try:
                if self._is_right(self._kernel, query, scale):
                    return self._kernel(query, keys, values, scale)
                self._give_up("it answers differently")
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._give_up(str(error).strip().partition("\n")[0])
        return attend_plainly(query, keys, values, scale=scale)

    def _is_right(self, kernel: Kernel, like: Tensor, scale: float) -> bool:
        """Whether the kernel answers as the formula does, for so many heads of that width."""
        shape = like.shape[1], like.shape[3], like.dtype
        if shape not in self._checked:
            num_queries, num_keys = PROBE
            lengths = (num_queries, num_keys, num_keys)
            query, keys, values = random_numbers([(1, shape[0], length, shape[1]) for length in lengths], like)
            expected = attend_plainly(query.float(), keys.float(), values.float(), scale=scale)
            if not agree(kernel(query, keys, values, scale), expected):
                return False
            self._checked.add(shape)
        return True

    def _give_up(self, reason: str) -> None:
        self._kernel = None
        logger.warning("attention to what all see writes its scores down, which is slower: %s", reason)


def flash_kernel(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
    """PyTorch's flash attention."""
    found = torch.ops.aten._scaled_dot_product_flash_attention(query, keys, values, 0.0, False, False, scale=scale)  # noqa: FBT003
    return found[0], found[1]


# What a machine's kernel can is the same for all models that are loaded there.
_unmasked = UnmaskedAttention(flash_kernel)


def random_numbers(sizes: Iterable[Sequence[int]], like: Tensor) -> list[Tensor]:
    """What a kernel is tried on, always the same; the program's own draws stay as they are."""
    numbers = torch.Generator().manual_seed(0)
    return [torch.randn(tuple(size), generator=numbers).to(like.device, like.dtype) for size in sizes]


def agree(found: Attended, expected: Attended) -> bool:
    """Whether a kernel's answer is that of the formula, up to the rounding of half precision."""
    gaps = [
        (one.float() - other).abs().max() / other.abs().max().clamp(min=1)
        for one, other in zip(found, expected, strict=True)
    ]
    return all(gap.item() <= AGREEMENT for gap in gaps)
