"""Before anything is annotated, the engine's ways to a row of logits are compared with the model's own forward pass.

Families whose positions, masks or heads are not as the engine takes them to be are found out here, not in the data.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from toolformer_ray.lm.attention.shared import UnservedAttention
from toolformer_ray.lm.loading import read_window
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Place, Prompt
from toolformer_ray.lm.scoring.prompt_reading import PromptReader
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.slots import SharedSlots

# Share of the largest logit by which two ways of computing a row may differ. Between two of transformers' own ways the
# rounding of bfloat16 makes up to 0.015 in 32 layers; a model that sees what it should not is off by 0.1 and more.
AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 0.05}

# What the ways are compared on. Each part of a prompt has so many tokens, fewer only where the window is short: in a
# handful of tokens it hardly shows what a sequence sees.
_SENTENCE = "The mill by the river ground 400 sacks of flour, 120 more than in May, and sold 35 of them in the town."
_PART = 16

_KNOWN_FAMILIES = "use a family of plain attention, such as Llama, GPT-2, GPT-NeoX, GPT-J, Qwen2"

logger = logging.getLogger(__name__)


@torch.inference_mode()
def prepare(network: Network, tokenizer: TextTokenizer) -> None:
    """Serve the model if the engine's answers are then its own; else have sequences read whole, and say so.

    Raises ValueError if not even those agree.
    """
    family = network.model.config.model_type
    _refuse_unusable(network, tokenizer)
    prompt, other = _prompts(network, tokenizer)
    sequences = [
        [*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:index], *tokenizer.open_ids, *new]
        for new in ((), tokenizer.bos_ids)
        for index in _places(prompt)
    ]
    own = [network.model(network.pad([ids])).logits[0, -1].float() for ids in sequences]
    if network.serve():
        if _agree(network, _shared_rows(network, tokenizer, prompt, other), own):
            return
        network.unserve()
    if not _agree(network, [hidden_TW[-1] for hidden_TW in network.read_whole(sequences)], own):
        raise ValueError(f"model {tokenizer.name!r} ({family}) answers differently in a batch; {_KNOWN_FAMILIES}")
    logger.warning(
        "samples of %s (%s) cannot share what they begin with: each is read whole for every token, which is slow",
        tokenizer.name,
        family,
    )


def _prompts(network: Network, tokenizer: TextTokenizer) -> list[Prompt]:
    """Two prompts with equal shared ids, of different texts."""
    window = read_window(network.model.config, tokenizer.name)
    length = max(1, min(_PART, (window - len(tokenizer.bos_ids) - len(tokenizer.open_ids) - 1) // 3))
    ids = tokenizer.encode(_SENTENCE) or tokenizer.open_ids
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
            f"shared between samples; {_KNOWN_FAMILIES}"
        )
    if tokenizer.largest_id >= network.vocabulary_size:
        raise ValueError(
            f"model {tokenizer.name!r} has {network.vocabulary_size} tokens, its tokenizer ids up to "
            f"{tokenizer.largest_id}; give the tokenizer that the model was trained with"
        )


def _agree(network: Network, rows: Sequence[Tensor], own: Sequence[Tensor]) -> bool:
    """Whether hidden states (W,) give the model's own logits."""
    if not rows:
        return False
    gaps = [
        (network.logits(hidden_W[None])[0] - logits_V).abs().max() / max(1.0, logits_V.abs().max().item())
        for hidden_W, logits_V in zip(rows, own, strict=True)
    ]
    return all(gap.item() <= AGREEMENT[network.model.dtype] for gap in gaps)


def _shared_rows(network: Network, tokenizer: TextTokenizer, prompt: Prompt, other: Prompt) -> list[Tensor]:
    """Two branches of one prompt, of which neither may see the other, and a token more for each; none if unserved.

    The prompt stands behind the other in its batch, of which it may see nothing either.
    """
    reader = PromptReader(network, tokenizer)
    try:
        _, read = reader.read([other, prompt])
    except UnservedAttention:
        return []
    branches = reader.open([(read, Place(token_index=index, keys=[])) for index in _places(prompt)])
    slots = SharedSlots(network, len(branches), len(tokenizer.open_ids) + 1)
    for branch in branches:
        slots.enter(branch)
    return [*(branch.hidden for branch in branches), *slots.write(tokenizer.bos_ids * len(branches))]
