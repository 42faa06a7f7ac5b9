"""`python -m jobs.run_lm_eval run --model toolformer --model_args model=PATH,tools=calculator --tasks TASK …`.

lm-evaluation-harness's own command line, with the model class `toolformer` registered. Its arguments are `model`,
`tools` (separated by `+`), `dtype`, the options of decoding such as `max_calls`, `today` and `barred` (separated by
`+`), and those of tools such as `search.index=DIR`: what `toolformer generate` takes, and checked as there.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.jobs.cli.main import EXIT_BAD_INPUT, EXIT_CTRL_C, describe_error
from toolformer_ray.jobs.cli.tool_options import read_tool_options
from toolformer_ray.jobs.decoding.decoder import DecoderOptions, open_decoder, refuse_missing_tools
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.options import Asking
from toolformer_ray.workflow.options import ModelOptions, parse_tools

if TYPE_CHECKING:
    from toolformer_ray.decode.decoder import Decoder
    from toolformer_ray.lm.model import LanguageModel

SEVERAL = ("barred", "stop")
"""Arguments that may have several values, separated by `+`."""


def open_model(**arguments: Any) -> "tuple[LanguageModel, Decoder, DecodeOptions]":
    """What the harness's `--model_args` name. Raises ValueError, one line, for an argument that is not understood."""
    import torch

    if str(arguments.get("device", "")).startswith("cuda") and not torch.cuda.is_available():
        # The harness says so unless --device is given.
        print("there is no CUDA device; the model runs on the CPU", file=sys.stderr)
        arguments["device"] = "cpu"
    options, decode = read_arguments(arguments)
    refuse_missing_tools(options, decode)
    opened = open_decoder(options)
    return opened.model, opened, decode


def read_arguments(arguments: Mapping[str, Any]) -> tuple[DecoderOptions, DecodeOptions]:
    """The options that the model's arguments name. Raises ValueError, one line, as the command line would."""
    from cyclopts.exceptions import CycloptsError

    from toolformer_ray.jobs.cli.commands import app

    if not arguments.get("model"):
        raise ValueError("--model_args has no model; give model=FOLDER, or model=NAME of one on the Hugging Face Hub")
    keys = parse_tools(str(arguments["tools"]).replace("+", ",")) if arguments.get("tools") else ()
    written = list(_as_options(arguments, keys))
    try:
        _, bound, _ = app.parse_args(["generate", *written], exit_on_error=False, print_error=False)
    except (CycloptsError, ValueError) as error:
        raise ValueError(f"--model_args: {describe_error(error, written)}") from error
    found = bound.arguments
    options = DecoderOptions(
        model=found["model"],
        tools=keys,
        **read_tool_options(found, found.get("asking", Asking()), is_taught=False),
        answers=found.get("answers", AnswerOptions()),
    )
    return options, found.get("decode", DecodeOptions())


def main() -> int:
    """Run the harness; the exit code."""
    from lm_eval.__main__ import cli_evaluate  # type: ignore[import-untyped]

    from toolformer_ray.evals.harness import register

    register(open_model)
    try:
        cli_evaluate()
    except (ValueError, OSError) as error:
        print(f"{' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    return 0


def _as_options(arguments: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    """The arguments as `toolformer generate` has them. Raises ValueError for one that is none of a model's."""
    records = (ModelOptions, DecodeOptions, AnswerOptions, Asking)
    known = {field.name for record in records for field in dataclasses.fields(record)}
    for name, value in arguments.items():
        if name != "tools" and name not in known and not ("." in name and name.partition(".")[0] in keys):
            raise ValueError(f"--model_args {name} is not understood; give model, tools, or an option of one of them")
        written = str(value).replace("+", ",") if name == "tools" else str(value)
        for one in written.split("+") if name in SEVERAL else [written]:
            yield f"--{name.replace('_', '-')}={one}"
