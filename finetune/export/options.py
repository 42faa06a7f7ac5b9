"""As what C* is exported, and where to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolformer_ray.records.errors import OptionError

Format = Literal["text", "tokens", "chat", "sharegpt", "preference"]
Arguments = Literal["dict", "json"]
Calls = Literal["messages", "inline"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written, and as what."""

    out: str
    """The file to write: .jsonl or .parquet. What its consumers are told of it is written beside it."""
    format: Format = "text"
    """text: C* as plain text. tokens: ids and labels, for axolotl and TRL. chat: messages with tools and tool_calls,
    for TRL and axolotl. sharegpt: turns and function calls, for LLaMA-Factory. preference: kept calls against others at
    their places, as prompt, chosen and rejected, all up to the arrow."""
    model: str | None = None
    """The model whose tokenizer makes the ids of `tokens`, or with whose chat template the messages of `chat` are
    checked: a folder, or a name on the Hugging Face Hub."""
    instruction: str | None = None
    """The user's message in chat and sharegpt; by default it asks for the text by its title or its first sentence."""
    arguments: Arguments = "dict"
    """The arguments of a call in chat: dict, as templates take them, or json, a string, as OpenAI's interface has
    them."""
    calls: Calls = "messages"
    """Where calls stand in chat: in messages of their own, or inline, in the text as in C*, for templates that know no
    tools or leave out what stands before a call."""
    split: bool = False
    """Whether the held-out texts, without calls, are written too, to a file of their own beside the first."""

    def __post_init__(self) -> None:
        if Path(self.out).suffix not in (".jsonl", ".parquet"):
            raise OptionError("out", self.out, "its name must end in .jsonl or .parquet")
        if self.format == "tokens" and self.model is None:
            raise OptionError("model", self.model, "`format` tokens needs `model`, whose tokenizer makes the ids")
        if self.instruction is not None and not self.instruction.strip():
            raise OptionError("instruction", repr(self.instruction), "say what the user asks for, or leave it out")
        if self.split and self.format == "preference":
            raise OptionError("split", self.split, "held-out texts have no calls, and so no pairs: leave it out")

    @property
    def held_out_file(self) -> Path:
        """Where the held-out texts go: `x.held_out.jsonl` beside `x.jsonl`."""
        out = Path(self.out)
        return out.with_name(f"{out.stem}.held_out{out.suffix}")
