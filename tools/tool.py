"""What every tool is: how it is taught, which texts it wants, its thresholds, and how it answers.

To add a tool, add one file to this folder with one subclass of `Tool`; nothing else changes. The file's stem is the
tool's key on the command line (`tools/calculator.py` -> `--tools calculator`, `--calculator.num-samples 10`).
"""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from toolformer_ray.records.calls import remove_found_calls
from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint, fingerprint_files
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.options import Asking, Teaching, ToolOptions


class BadInput(ValueError):  # noqa: N818  named for the status
    """Raised by a tool for an input that it refuses; the call's status becomes `bad_input`."""


class Unavailable(RuntimeError):  # noqa: N818  named for the status
    """Raised by a tool whose backend cannot be reached; if no repetition helps, the status is `unavailable`."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """For so many seconds the backend asks to be left alone; None if it said nothing."""


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """What a call may know beside its input."""

    today: datetime.date | None = None
    """The document's own date while annotating; None at inference, where the clock's day counts."""


class Tool(ABC):
    """One tool. Construction is cheap and checks options; `open` loads what is heavy, in the process that calls."""

    Options: ClassVar[type[ToolOptions]] = ToolOptions
    """The record of the tool's own options."""
    teaching: Teaching = Teaching()
    """The paper's thresholds; those of the class are the defaults."""
    asking: Asking = Asking()
    """How the tool is asked."""
    name: ClassVar[str]
    """As it is written in a call, e.g. `Calculator`."""
    version: ClassVar[int] = 1
    """Raise it when answers change, so that old results are not mistaken for new ones."""
    instruction: ClassVar[str]
    """The first lines of the prompt: what the tool does and how a call is written."""
    demonstrations: ClassVar[Sequence[str]]
    """Texts with their calls, no results. The prompt's `Input:` is the same text without the calls."""
    reads_today: ClassVar[bool] = False
    """Whether the answer depends on CallContext.today; if not, equal inputs are one call."""
    one_at_a_time: bool = False
    """Whether the pool waits for an answer before it asks again: calls that share one model or one interpreter lock
    gain nothing from being in flight together, and their time limit would run while they queue."""
    is_expensive: bool = False
    """Whether a call costs more than a pass of the model over a text: if so, calls that no answer could save are
    dropped before the tool is asked."""
    answers_at_once: ClassVar[bool] = False
    """Whether an answer takes less time than looking one up, so that a cache leaves the tool out."""
    wants_by_data: ClassVar[bool] = True
    """Whether `wants` may depend on the tool's own options or data, so that other data mean other proposals too."""
    changes_no_answer: ClassVar[frozenset[str]] = frozenset()
    """Names of options that change no answer, such as the device on which a model runs."""
    locates_data: ClassVar[frozenset[str]] = frozenset()
    """Names of options that only say where data lie; what they hold is in `data_version`."""
    strikes_future_inputs: ClassVar[bool] = False
    """Whether a call is struck whose input occurs only after it (paper, appendix A: machine translation)."""

    def __init__(self, options: ToolOptions | None = None) -> None:
        self.options = options or self.Options()

    def open(self) -> None:  # noqa: B027  most tools have nothing to load
        """Load indexes and models. Raises ValueError, naming the option, if something is missing or unusable."""

    def data_version(self) -> str:
        """Identifies the data behind the answers, such as an index's content hash; empty if there is none.

        Readable before `open`. What it says belongs into the fingerprint of results, beside `version` and the options.
        """
        return ""

    @abstractmethod
    def wants(self, document: Document) -> bool:
        """Whether the tool is offered this text (paper, appendix A.1)."""

    @abstractmethod
    def run(self, call_input: str, context: CallContext) -> str:
        """The answer to one call; an empty string if the tool has none.

        `call_input` is what stands between the parentheses. Called from several threads at once.
        Raises BadInput for an input it refuses and Unavailable if a backend cannot be reached.
        """


def full_data_version(tool: Tool) -> str:
    """The tool's own data, such as an index, and the files of the model behind it if that is a folder."""
    model = getattr(tool.options, "model", None)
    if isinstance(model, str) and Path(model).is_dir():
        return f"{tool.data_version()}+{fingerprint_files(Path(model), MODEL_FILES)}"
    return tool.data_version()


def is_only_location(tool: Tool, option: str) -> bool:
    """Whether an option is given that only says where data lie, of which `full_data_version` has the content."""
    value = getattr(tool.options, option)
    if option == "model":
        return isinstance(value, str) and Path(value).is_dir()
    return option in tool.locates_data and value is not None


def answer_fingerprint(tool: Tool) -> str:
    """Identifies what decides a tool's answers: its name and version, its data, and its own options.

    Where data lie is not among them, nor are keys in URLs.
    """
    deciding = {
        name: without_keys(value) if isinstance(value, str) else value
        for name, value in vars(tool.options).items()
        if name not in tool.changes_no_answer and not is_only_location(tool, name)
    }
    return fingerprint(tool.name, tool.version, full_data_version(tool), deciding)


def demonstration_input(demonstration: str) -> str:
    """The text of a demonstration, without its calls."""
    return remove_found_calls(demonstration)
