"""What the commands that write texts have in common: a model and opened tools become a decoder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cyclopts import Group, Parameter

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.finetune.model_card import TOOLS_FILE
from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.tools.asking.answer_store import open_store
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.workflow.model_files import look_at_model, model_folder
from toolformer_ray.workflow.options import ModelOptions
from toolformer_ray.workflow.tool_choice import ToolChoice

if TYPE_CHECKING:
    from toolformer_ray.decode.decoder import Decoder

WRITING = Group("Writing", sort_key=1)
"""Where the options of decoding stand on the help pages."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """The model that writes, the tools that it may ask, and how many texts are written at a time."""

    model: ModelOptions
    tools: ToolChoice = field(default_factory=ToolChoice)
    batch_size: int = 64
    """How many texts are written at a time; texts that wait for a tool do not count."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError("batch_size", self.batch_size, "it must be at least 1 text")


def open_decoder(options: DecoderOptions, barred: Sequence[str] = ()) -> "Decoder":
    """Load the model and open the tools. Raises ValueError, one line, for what the user has to change.

    `barred`: names of tools, as in calls, that no text may ask. The tools are opened first, as a missing index is then
    found before seconds go into weights.
    """
    tools = {tool.name: tool for tool in options.tools.make().values()}
    if options.tools.answers.replay is None:
        for tool in tools.values():
            tool.open()
    files = look_at_model(options.model.model)
    # This makes a folder, so it comes after what is most often refused.
    store = open_store(options.tools.answers)
    # Torch and transformers take seconds to import, and most that can be wrong is found without them.
    from transformers.utils.logging import disable_progress_bar

    from toolformer_ray.decode.decoder import Decoder
    from toolformer_ray.lm.model import LanguageModel

    disable_progress_bar()
    model = LanguageModel.load(
        model_folder(options.model.model, files.revision),
        device=options.model.device,
        dtype=options.model.dtype,
        token_budget=options.model.token_budget,
    )
    return Decoder(model, tools, batch_size=options.batch_size, store=store, barred=barred)


def check_recording(opened: "Decoder", options: DecoderOptions) -> None:
    """Ends a command. Raises OptionError if a recording lacks calls that were asked, so that no replay is the same."""
    try:
        opened.check_recording()
    except (OSError, ValueError) as error:
        remedy = "make room there or give another folder, and run the same command again"
        folder = options.tools.answers.record
        raise OptionError("record", folder, f"it lacks calls that were asked ({one_line(error)}); {remedy}") from error


def refuse_missing_tools(options: DecoderOptions, decode: DecodeOptions) -> None:
    """Raise OptionError if the model was taught a tool that is neither loaded nor barred: its calls go nowhere."""
    if decode.max_calls and (missing := _missing_tools(options, decode.barred)):
        keys = ",".join([*options.tools.written, *missing.values()])
        raise OptionError(
            "model",
            options.model.model,
            f"it was taught to call {', '.join(missing)}, which `tools` does not load; load all with `tools` {keys}, "
            f"or leave calls out with {' '.join(f'`barred` {name}' for name in missing)}",
        )


def _missing_tools(options: DecoderOptions, barred: Sequence[str]) -> dict[str, str]:
    """Tools that fine-tuning taught the model, by the name in calls, with their keys or places; not those loaded or
    barred."""
    from toolformer_ray.lm.sources import find_folder

    folder = find_folder(options.model.model)
    if folder is None or not (folder / TOOLS_FILE).is_file():
        return {}
    told = json.loads((folder / TOOLS_FILE).read_bytes())
    # A place is only told: a file is never run because a model's folder names it.
    keys = {**told.get("places", {}), **{tool.name: key for key, tool in find_tools().items()}}
    loaded = {tool.name for tool in options.tools.classes.values()}
    return {name: keys[name] for name in told["tools"] if name in keys and name not in {*loaded, *barred}}
