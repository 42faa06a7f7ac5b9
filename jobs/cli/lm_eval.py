"""`python -m jobs.run_lm_eval run --model toolformer --model_args model=PATH,tools=calculator --tasks TASK …`.

lm-evaluation-harness's own command line, with the model class `toolformer` registered. Its arguments are `model`,
`tools` (separated by `+`), `dtype`, the options of decoding such as `max_calls`, `today` and `barred` (separated by
`+`), and those of tools such as `search.index=DIR`: what `toolformer generate` takes, and checked as there.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.jobs.cli.main import EXIT_BAD_INPUT, EXIT_CTRL_C, describe_error
from toolformer_ray.jobs.decoding.decoder import DecoderOptions, open_decoder, refuse_missing_tools

if TYPE_CHECKING:
    from toolformer_ray.decode.decoder import Decoder
    from toolformer_ray.lm.model import LanguageModel

SEVERAL = ("barred", "stop", "tools")
"""Arguments that may have several values, separated by `+`."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HarnessOptions:
    """What `--model_args` may name."""

    decoder: DecoderOptions
    decode: Annotated[DecodeOptions, Parameter(name="*")] = field(default_factory=DecodeOptions)


_APP = App(default_parameter=Parameter(negative=()), help_flags=(), version_flags=())


@_APP.default
def _accept(options: HarnessOptions) -> HarnessOptions:
    """What arguments of the model are read as."""
    return options


def open_model(**arguments: Any) -> "tuple[LanguageModel, Decoder, DecodeOptions]":
    """What the harness's `--model_args` name. Raises ValueError, one line, for an argument that is not understood."""
    import torch

    if str(arguments.get("device", "")).startswith("cuda") and not torch.cuda.is_available():
        # The harness asks for CUDA unless it is given another device.
        print("there is no CUDA device; the model runs on the CPU", file=sys.stderr)
        arguments["device"] = "cpu"
    options = read_arguments(arguments)
    refuse_missing_tools(options.decoder, options.decode)
    opened = open_decoder(options.decoder)
    return opened.model, opened, options.decode


def read_arguments(arguments: Mapping[str, Any]) -> HarnessOptions:
    """The options that the model's arguments name. Raises ValueError, one line, as the command line would."""
    if not arguments.get("model"):
        raise ValueError("--model_args has no model; give model=FOLDER, or model=NAME of one on the Hugging Face Hub")
    try:
        _, bound, _ = _APP.parse_args(list(_as_options(arguments)), exit_on_error=False, print_error=False)
    except (CycloptsError, ValueError) as error:
        raise ValueError(f"--model_args: {describe_error(error)}") from error
    return bound.arguments["options"]


def main() -> int:
    """Run the harness; the exit code."""
    from lm_eval.__main__ import cli_evaluate  # type: ignore[import-untyped]

    from toolformer_ray.evals.harness import register

    register(open_model)
    try:
        cli_evaluate()
    except (ValueError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    return 0


def _as_options(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The arguments as a command line has them; without `tools` no tool is loaded."""
    for name, value in ({"tools": ""} | dict(arguments)).items():
        for one in str(value).split("+") if name in SEVERAL else [str(value)]:
            yield f"--{name.replace('_', '-')}={one}"
