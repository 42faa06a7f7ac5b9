"""When a model is loaded, the engine's ways to compute logits are compared with the model's own forward pass.

Families whose positions, masks or heads are not as the engine takes them to be are found out here, not in the data.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from toolformer_ray.lm.attention.visibility import UnsupportedAttention
from toolformer_ray.lm.configuration import read_window
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Prompt
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.prompts import PromptReader
from toolformer_ray.lm.writing.sequences import CachedSequences
from toolformer_ray.records.errors import UnusableError, explain

AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""By what share of the largest logit two ways to compute a row may differ.

In bfloat16, two of transformers' own ways differ by up to 0.015 after 32 layers; a model that sees what it should not
is off by 0.1 and more.
"""

# What the ways are compared on. Each part of a prompt has PART tokens, unless the window is short: with a handful of
# tokens it hardly matters what a sequence sees.
SENTENCE = "The mill by the river ground 400 sacks of flour, 120 more than in May, and sold 35 of them in the town."
PART = 16

KNOWN_FAMILIES = "use a family of plain attention, such as Llama, GPT-2, GPT-NeoX, GPT-J, Qwen2"

logger = logging.getLogger(__name__)


@torch.inference_mode()
def check_and_prepare(network: Network, tokenizer: TextTokenizer) -> None:
    """Enable the KV cache if the logits are then the model's own; else leave it off, and log that.

    Raises ValueError if the engine's logits are wrong without it too, or if the model cannot be used at all.
    """
    family = network.model.config.model_type
    _refuse_unusable(network, tokenizer)
    prompt, other = _prompts(network, tokenizer)
    sequences = [
        [*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:index], *tokenizer.open_ids, *new]
        for new in ((), tokenizer.bos_ids)
        for index in _places(prompt)
    ]
    with _naming(tokenizer.name):
        expected = [network.model(network.pad([ids])).logits[0, -1].float() for ids in sequences]
    if any(logits_V.isnan().any() for logits_V in expected):
        raise UnusableError(
            f"model {tokenizer.name!r} ({family}) answers with what is no number (NaN); copy it again, or use `dtype` "
            "float32"
        )
    with _naming(tokenizer.name):
        if network.enable_kv_cache():
            if _agree(network, _cached_rows(network, tokenizer, prompt, other), expected):
                return
            network.disable_kv_cache()
        agrees = _agree(network, [hidden_TW[-1] for hidden_TW in network.read_whole(sequences)], expected)
    if not agrees:
        raise ValueError(f"model {tokenizer.name!r} ({family}) answers differently in a batch; {KNOWN_FAMILIES}")
    logger.warning(
        "samples of %s (%s) cannot share what they begin with: each is read whole for every token, which is slow",
        tokenizer.name,
        family,
    )


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """For a block that runs the model for the first time: what it raises is told as what is wrong with the model."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"model {name!r} breaks in its first pass ({explain(error)}); its weights and its configuration do not fit "
            "one another, or the device has too little memory"
        ) from error


def _prompts(network: Network, tokenizer: TextTokenizer) -> list[Prompt]:
    """Two prompts with equal shared ids and different texts."""
    window = read_window(network.model.config, tokenizer.name)
    length = max(1, min(PART, (window - len(tokenizer.bos_ids) - len(tokenizer.open_ids) - 1) // 3))
    ids = tokenizer.encode(SENTENCE) or tokenizer.open_ids
    shared, own, text = ([ids[(first + n) % len(ids)] for n in range(length)] for first in (0, 7, 13))
    return [
        Prompt(shared_ids=[*tokenizer.bos_ids, *shared], own_ids=own, text_ids=text),
        Prompt(shared_ids=[*tokenizer.bos_ids, *shared], own_ids=text, text_ids=shared),
    ]


def _places(prompt: Prompt) -> tuple[int, int]:
    """Token indices, the first and the last of the text."""
    return 0, len(prompt.text_ids) - 1


def _refuse_unusable(network: Network, tokenizer: TextTokenizer) -> None:
    if getattr(network.model, "_is_stateful", False):
        raise ValueError(
            f"model {tokenizer.name!r} ({network.model.config.model_type}) keeps a running state, which cannot be "
            f"shared between samples; {KNOWN_FAMILIES}"
        )
    if tokenizer.largest_id >= network.vocabulary_size:
        raise ValueError(
            f"model {tokenizer.name!r} has {network.vocabulary_size} tokens, its tokenizer ids up to "
            f"{tokenizer.largest_id}; give the tokenizer that the model was trained with"
        )


def _cached_rows(network: Network, tokenizer: TextTokenizer, prompt: Prompt, other: Prompt) -> list[Tensor]:
    """Hidden states of two samples of one prompt, before and after a token more of each; none if unsupported.

    The prompt is packed behind another, and neither the other nor the other sample may be seen.
    """
    reader = PromptReader(network, tokenizer)
    try:
        _, read = reader.read([other, prompt])
    except UnsupportedAttention:
        return []
    starts = [start for start, _ in reader.open([(read, index) for index in _places(prompt)])]
    slots = CachedSequences(network)
    for start, _ in starts:
        slots.enter(start)
    return [*(hidden_W for _, hidden_W in starts), *slots.write(tokenizer.bos_ids * len(starts))]


def _agree(network: Network, rows: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether hidden states (W,) give the expected logits (V,)."""
    if not rows:
        return False
    gaps = [
        (network.logits(hidden_W[None])[0] - logits_V).abs().max() / max(1.0, logits_V.abs().max().item())
        for hidden_W, logits_V in zip(rows, expected, strict=True)
    ]
    return all(gap.item() <= AGREEMENT[network.model.dtype] for gap in gaps)
