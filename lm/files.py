"""The weights of a causal LM: loads them, refusing what the engine would not run exactly, and fingerprints them."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from toolformer_ray.lm.adapters import base_model, is_adapter, merge_adapter, without_adapter
from toolformer_ray.lm.configuration import read_config
from toolformer_ray.lm.sources import is_gguf, loading_arguments
from toolformer_ray.records.errors import OptionError, UnusableError, explain

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_LOADING = threading.Lock()
"""While it loads a model, transformers replaces functions of its classes, and puts them back as it found them. Of two
loads that overlap in a process, the second would leave the first one's there: no model would get its tied weights."""


def load_network(
    name_or_path: str, *, device: str, dtype: str, device_map: str | Mapping[str, Any] | None = None
) -> PreTrainedModel:
    """The model on the device, or laid over several as `device_map` says.

    Raises ValueError, one line that names the value and the remedy.
    """
    if dtype not in DTYPES:
        raise OptionError("dtype", dtype, f"it must be one of {', '.join(DTYPES)}")
    target = _check_device(device)
    config = read_config(name_or_path)
    try:
        with _LOADING, _without_tables(), _whole_model(name_or_path) as arguments:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                **arguments,
                config=config,
                dtype=DTYPES[dtype],
                device_map=device_map,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except Exception as error:  # weights and configuration that do not fit raise whatever first finds out
        raise ValueError(_describe_failure(name_or_path, config, error)) from error
    model, report = loaded
    _refuse_misfits(report, name_or_path)
    if is_gguf(base_model(name_or_path)):
        _forget_quantisation(model)
    if is_adapter(name_or_path):
        model = merge_adapter(model, name_or_path)
    _refuse_weights_that_are_no_numbers(model, name_or_path)
    if device_map is None:
        return model.to(target)
    if target.type != "cpu" and not {"cpu", "disk"}.isdisjoint(map(str, model.hf_device_map.values())):
        raise UnusableError(
            f"model {name_or_path!r} does not fit the {torch.cuda.device_count()} GPUs that it is laid over; give it "
            "more with `gpus_per_worker`, or use `dtype` bfloat16"
        )
    return model


def fingerprint_weights(model: PreTrainedModel) -> str:
    """A hash of a model in memory: its type, configuration and weights, in the dtype that they have."""
    total = hashlib.sha256(f"{model.config.model_type} {model.config.to_json_string(use_diff=False)}".encode())
    for name, weight in sorted(model.state_dict().items()):
        # Viewed as bytes: numpy has no bfloat16.
        content = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
        total.update(name.encode() + content.numpy().tobytes())
    return total.hexdigest()


def _check_device(device: str) -> torch.device:
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device not in known and not (device == "cuda" and len(known) > 1):
        raise ValueError(f"device {device!r} is not available; this machine has {', '.join(known)}")
    return torch.device(device)


def _describe_failure(name: str, config: PreTrainedConfig, error: Exception) -> str:
    if quantisation := getattr(config, "quantization_config", None):
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else quantisation.quant_method
        return (
            f"model {name!r} is quantised ({method}), which this installation of torch cannot run ({explain(error)}); "
            "give its weights as they were before, or as a GGUF file"
        )
    return (
        f"model {name!r} cannot be loaded ({explain(error)}); give the folder of a Hugging Face causal language model "
        "with safetensors weights, a GGUF file, or its name on the Hub"
    )


def _forget_quantisation(model: Any) -> None:
    """The weights of a GGUF file are plain numbers once they are loaded, and are trained and saved as such."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _refuse_weights_that_are_no_numbers(model: PreTrainedModel, name: str) -> None:
    for key, weight in model.named_parameters():
        if weight.is_meta or not weight.is_floating_point():
            continue  # Of a model that is laid out over the disk, not all is here.
        # A sum is several times cheaper than a test of each number, and finite numbers seldom have one that is not.
        if not weight.sum(dtype=torch.float32).isfinite() and not weight.isfinite().all():
            raise ValueError(
                f"model {name!r} has weights that are no numbers (NaN or infinite) in {key}; copy it again, or take an "
                "earlier checkpoint"
            )


@contextlib.contextmanager
def _whole_model(name_or_path: str) -> Iterator[dict[str, str]]:
    """`loading_arguments`, where an adapter that lies beside the weights is not seen: it is merged afterwards."""
    arguments = loading_arguments(name_or_path)
    place = arguments["pretrained_model_name_or_path"]
    if not is_adapter(place):
        yield arguments
        return
    with without_adapter(place) as folder:
        yield arguments | {"pretrained_model_name_or_path": folder}


@contextlib.contextmanager
def _without_tables() -> Iterator[None]:
    """Keep transformers from printing tables of the weights that do not fit: they are refused in one line, by name."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def _refuse_misfits(report: Mapping[str, Any], name_or_path: str) -> None:
    """Raise ValueError if weights are missing or of another shape: transformers makes up random ones."""
    if missing := sorted(report["missing_keys"]):
        raise ValueError(
            f"model {name_or_path!r} lacks {len(missing)} of its weights, such as {missing[0]}; "
            "save it as the causal language model that it is"
        )
    if mismatched := sorted(report["mismatched_keys"]):
        key, saved, wanted = mismatched[0]
        raise ValueError(
            f"weight {key} of model {name_or_path!r} has the shape {tuple(saved)}, where its configuration asks for "
            f"{tuple(wanted)}; give the configuration that the model was saved with"
        )
