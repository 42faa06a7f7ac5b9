"""`python -m jobs.run_lm_eval run --model toolformer --model_args model=PATH,tools=calculator --tasks TASK …`.

lm-evaluation-harness's own command line, with the model class `toolformer` registered. Its arguments are `model`,
`tools` (separated by `+`), `dtype`, the options of decoding such as `max_calls` and `barred` (separated by `+`), and
those of tools such as `search.index=DIR`.
"""

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from decode.options import DecodeOptions
from jobs.command_line import EXIT_BAD_INPUT
from jobs.decoding import DecoderOptions, open_decoder, refuse_missing_tools
from jobs.options import ModelOptions, parse_tools
from tools.catalog import find_tools

if TYPE_CHECKING:
    from decode.decoder import Decoder
    from lm.model import LanguageModel


def open_model(
    *, model: str, tools: str = "", device: str = "cpu", dtype: str = "float32", **others: Any
) -> "tuple[LanguageModel, Decoder, DecodeOptions]":
    """What the harness's `--model_args` name. Raises ValueError, one line, for an argument that is not understood."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        # The harness says so unless --device is given.
        print("there is no CUDA device; the model runs on the CPU", file=sys.stderr)
        device = "cpu"
    keys = parse_tools(tools.replace("+", ",")) if tools else ()
    names = {field.name for field in dataclasses.fields(DecodeOptions)}
    others |= {name: tuple(str(others[name]).split("+")) for name in ("barred", "stop") if name in others}
    decode = DecodeOptions(**{name: value for name, value in others.items() if name in names})
    tool_options = {key: find_tools()[key].Options(**_options_of(key, others)) for key in keys}
    for name in others:
        if name not in names and name.partition(".")[0] not in keys:
            raise ValueError(f"--model_args {name} is not understood; give model, tools, or an option of one of them")
    options = DecoderOptions(
        model=ModelOptions(model=model, device=device, dtype=dtype), tools=keys, tool_options=tool_options
    )
    refuse_missing_tools(options, decode)
    opened = open_decoder(options)
    return opened.model, opened, decode


def main() -> int:
    """Run the harness; the exit code."""
    from lm_eval.__main__ import cli_evaluate  # type: ignore[import-untyped]

    from evals.harness import register

    register(open_model)
    try:
        cli_evaluate()
    except ValueError as error:
        print(f"{' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def _options_of(key: str, others: dict[str, Any]) -> dict[str, Any]:
    return {
        name.partition(".")[2].replace("-", "_"): value
        for name, value in others.items()
        if name.partition(".")[0] == key and "." in name
    }


if __name__ == "__main__":
    sys.exit(main())
