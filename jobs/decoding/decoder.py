"""What `toolformer generate` and `toolformer serve` have in common: a model and opened tools become a decoder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.finetune.model_card import TOOLS_FILE
from toolformer_ray.tools.asking.answer_store import AnswerOptions, open_store
from toolformer_ray.tools.catalog import find_tools, make_tool
from toolformer_ray.tools.options import Asking, ToolOptions
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.model_files import look_at_model, model_folder
from toolformer_ray.workflow.options import ModelOptions

if TYPE_CHECKING:
    from toolformer_ray.decode.decoder import Decoder


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """The model that writes, the tools that it may ask, and how many texts are written at a time."""

    model: ModelOptions
    tools: tuple[str, ...]
    """Keys of the tools, as in `tools/<key>.py`."""
    tool_options: Mapping[str, ToolOptions] = field(default_factory=dict)
    """Tools' own options by key; a tool that is not there has its defaults."""
    asking: Mapping[str, Asking] = field(default_factory=dict)
    """How tools are asked, by key of the tool."""
    answers: AnswerOptions = field(default_factory=AnswerOptions)
    batch_size: int = 64
    """How many texts are written at a time; texts that wait for a tool do not count."""
    barred: tuple[str, ...] = ()
    """Names of tools, as in calls, that no text may ask, whatever else it may not."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; it must be at least 1 text")

    def make_tools(self) -> dict[str, Tool]:
        """The tools by the name written in calls, not yet opened. Raises ValueError for an option that is missing."""
        made = [make_tool(key, self.tool_options.get(key), asking=self.asking.get(key)) for key in self.tools]
        return {tool.name: tool for tool in made}


def open_decoder(options: DecoderOptions) -> "Decoder":
    """Load the model and open the tools. Raises ValueError, one line, for what the user has to change.

    The tools come first: a missing index is found before seconds go into weights.
    """
    tools, store = options.make_tools(), open_store(options.answers)
    if store is None or not store.is_replayed:
        for tool in tools.values():
            tool.open()
    files = look_at_model(options.model.model)
    # Torch and transformers take seconds to import; `toolformer --help` does without.
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
    return Decoder(model, tools, batch_size=options.batch_size, store=store, barred=options.barred)


def check_recording(opened: "Decoder", options: DecoderOptions) -> None:
    """Ends a command. Raises ValueError if `--record` lacks calls that were asked: a replay would not be the same."""
    try:
        opened.check_recording()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--record {options.answers.record} lacks calls that were asked ({error}); make room there or give another "
            "folder, and run the same command again"
        ) from error


def refuse_missing_tools(options: DecoderOptions, decode: DecodeOptions) -> None:
    """Raise ValueError if the model was taught a tool that is neither loaded nor barred: its calls would go nowhere."""
    if decode.max_calls and (missing := find_missing_tools(options, decode.barred)):
        keys = ",".join([*options.tools, *missing.values()])
        raise ValueError(
            f"--model {options.model.model} was taught to call {', '.join(missing)}, which --tools does not load; load "
            f"all with --tools {keys}, or leave calls out with {' '.join(f'--barred {name}' for name in missing)}"
        )


def find_missing_tools(options: DecoderOptions, barred: Sequence[str] = ()) -> dict[str, str]:
    """Tools that fine-tuning taught the model, by the name in calls, with their keys; not those loaded or barred."""
    from toolformer_ray.lm.files import find_folder

    folder = find_folder(options.model.model)
    taught = (
        json.loads((folder / TOOLS_FILE).read_bytes())["tools"] if folder and (folder / TOOLS_FILE).is_file() else []
    )
    keys = {tool.name: key for key, tool in find_tools().items()}
    loaded = {find_tools()[key].name for key in options.tools}
    return {name: keys[name] for name in taught if name in keys and name not in {*loaded, *barred}}


def describe_unknown_tools(names: Sequence[str], loaded: Sequence[str]) -> str:
    """One line about tools that texts name and the command did not load."""
    keys = {tool.name: key for key, tool in find_tools().items()}
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    said = [f"{name} ({number}{' time' if number == 1 else ' times'})" for name, number in counts.items()]
    here = [keys[name] for name in counts if name in keys]
    remedy = f"load {'it' if len(here) == 1 else 'them'} with --tools {','.join([*loaded, *here])}" if here else ""
    line = f"calls of tools that were not loaded were left out: {', '.join(said)}"
    return f"{line}; {remedy}" if remedy else line
