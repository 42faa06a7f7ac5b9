"""Routes a model's attention to the engine: through transformers' attention interface, or GPT-J's one method.

Not every family passes further arguments on to its attention, so the layout is not an argument but a context that is
set around a forward pass. Shapes as in `lm.attention.visibility`.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, cast

from torch import Tensor
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from toolformer_ray.lm.attention.layer import Layer
from toolformer_ray.lm.attention.visibility import Layout, UnsupportedAttention

_NAME = "toolformer_ray"
# Arguments by which a family asks for more than softmax(q k * scale) v.
_UNSUPPORTED_ARGUMENTS = ("softcap", "s_aux", "position_bias")

_layout: ContextVar[Layout | None] = ContextVar("layout", default=None)


@contextlib.contextmanager
def using(layout: Layout) -> Iterator[None]:
    """Within the context, a model whose attention is routed here attends as the layout says."""
    token = _layout.set(layout)
    try:
        yield
    finally:
        _layout.reset(token)


def route_attention(model: PreTrainedModel) -> Callable[[], None] | None:
    """Route the model's attention here; None if its family has neither transformers' interface nor GPT-J's method.

    Outside of `using` the model attends as before, by SDPA. The function that is returned undoes the routing.
    """
    if model.config.model_type == "gptj":
        return _route_gptj(model)
    if not getattr(model, "_supports_attention_backend", False):
        return None
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, _mask)
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation(_NAME)
    return lambda: model.set_attn_implementation(before)


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer; the query is (N, H, L, D), the output (N, L, H, D)."""
    layout = _layout.get()
    if layout is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    if unsupported := [name for name in _UNSUPPORTED_ARGUMENTS if kwargs.get(name) is not None]:
        raise UnsupportedAttention(f"attention with {unsupported[0]}")
    if value.shape[-1] != query.shape[-1]:
        raise UnsupportedAttention(f"values of width {value.shape[-1]} for queries of width {query.shape[-1]}")
    if getattr(module, "layer_idx", None) is None:
        raise UnsupportedAttention("layers without a number")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = Layer(module.layer_idx, scale, _window(module, kwargs))
    return layout.attend(layer, query, key, value).transpose(1, 2), None


def _window(module: Any, kwargs: Mapping[str, Any]) -> int | None:
    """The sliding window of a layer, in tokens; unsupported where a family masks one without telling its attention."""
    config = getattr(module, "config", None)
    layer_types = getattr(config, "layer_types", None)
    if layer_types:
        is_windowed = layer_types[module.layer_idx] != "full_attention"
    else:
        is_windowed = bool(getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True))
    window: int | None = kwargs.get("sliding_window")
    if is_windowed and window is None:
        raise UnsupportedAttention("a layer that does not see everything and does not say how much")
    return window


def _mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """A layout needs no mask; without one the model gets the mask that it always had."""
    return sdpa_mask(*args, **kwargs) if _layout.get() is None else None


def _route_gptj(model: PreTrainedModel) -> Callable[[], None]:
    """GPT-J, the paper's model, does not use transformers' interface; its attention has one method to replace."""
    modules = [layer.attn for layer in cast(Any, model.base_model).h]
    for module in modules:
        module._attn = _gptj_attention(module)

    def undo() -> None:
        for module in modules:
            del module._attn

    return undo


def _gptj_attention(module: Any) -> Callable[..., Any]:
    original = module._attn

    def attention(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None) -> Any:
        layout = _layout.get()
        if layout is None:
            return original(query, key, value, attention_mask)
        return layout.attend(Layer(module.layer_idx, 1 / float(module.scale_attn)), query, key, value), None

    return attention
