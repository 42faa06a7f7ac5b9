"""The interface of a tool: how it is taught, which texts it is offered, and how it answers.

To add a tool, add one file to this folder with one subclass of `Tool`; nothing else changes. The file's stem is the
tool's key on the command line (`tools/calculator.py` -> `--tools calculator`, `--calculator.num-samples 10`).
"""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint, fingerprint_files
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.decoys.shapes import shaped_decoys
from toolformer_ray.tools.options import IN_PAPER, Asking, Teaching, ToolOptions
from toolformer_ray.tools.wanted_places import before_new_words


class BadInput(ValueError):  # noqa: N818  named for the status
    """Raised by a tool for an input that it refuses; the call's status becomes `bad_input`."""

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument
        """The name of the argument that is wrong; None if the input has no names, or nobody can tell."""


class Unavailable(RuntimeError):  # noqa: N818  named for the status
    """Raised by a tool whose backend cannot be reached; if no retry helps, the status is `unavailable`."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds for which the backend asks not to be called; None if it does not say."""


class TimedOut(RuntimeError):  # noqa: N818  named for the status
    """Raised by a tool that ended a call itself because it took too long; the call's status becomes `timeout`.

    Unlike a call that hangs it says nothing against the tool, which goes on answering others.
    """


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """What a tool may know about a call besides its input."""

    today: datetime.date | None = None
    """The document's own date in annotation; None at inference, where the clock's day counts."""
    earlier: Sequence[str] = ()
    """Inputs of the calls before it in its text that define what it uses, in their order (`Tool.uses`)."""


class Tool(ABC):
    """One tool. Construction is cheap and checks options; `open` loads what is heavy, in the process that calls."""

    Options: ClassVar[type[ToolOptions]] = ToolOptions
    """The record of the tool's own options."""
    teaching: Teaching = Teaching()
    """Our thresholds; the class has the defaults."""
    teaching_in_paper: ClassVar[Teaching] = IN_PAPER
    """The paper's (appendix A)."""
    asking: Asking = Asking()
    """Time limits, retries and rate limits."""
    name: ClassVar[str]
    """The name written in calls, such as `Calculator`."""
    version: ClassVar[int] = 1
    """To be raised when answers change, so that old answers are not taken for new ones."""
    description: ClassVar[str] = ""
    """What the tool does, in a sentence, for chat models, which are told of their tools; by default only its name."""
    parameters: ClassVar[Mapping[str, str]] = {"input": "What stands between the parentheses of a call."}
    """For the same models: the name of a call's one input, a string, and what it is; empty if a call has none."""
    schema: ClassVar[Mapping[str, Any] | None] = None
    """The JSON schema of named arguments, `Convert(amount=26, unit="km")`, as `tools.schema_check` gives it; None for
    a tool whose calls have one text, which `parameters` tells."""
    instruction: str
    """The first lines of the prompt: what the tool does and how a call is written."""
    demonstrations: Sequence[str]
    """Texts with their calls, without results. The prompt shows each text without calls first."""
    has_drafted_prompt: ClassVar[bool] = False
    """Whether nobody wrote instruction and demonstrations: they were made from the schema and the examples."""
    examples: ClassVar[Sequence[tuple[str, str]]] = ()
    """Inputs, as they stand between the parentheses, each with the answer that it has to get."""
    source: ClassVar[str] = ""
    """The hash of the file from which a user's tool was loaded; empty for the tools of this package."""
    reads_today: ClassVar[bool] = False
    """Whether the answer depends on `CallContext.today`. If not, equal inputs are one call."""
    one_at_a_time: bool = False
    """Whether a worker makes one call at a time. Calls that share a model or the interpreter lock would gain nothing
    from running together, and their time limit would run while they wait for each other."""
    is_expensive: bool = False
    """Whether a call costs more than a forward pass over a text. Calls that no result could save are then dropped
    before the tool is asked."""
    answers_at_once: ClassVar[bool] = False
    """Whether an answer takes less time than a look-up in a cache, which then leaves the tool out."""
    wants_by_data: ClassVar[bool] = True
    """Whether `wants` may depend on the tool's own options or data, so that other data also mean other proposals."""
    changes_no_answer: ClassVar[frozenset[str]] = frozenset()
    """Names of own options that change no answer, such as the device on which a model runs."""
    locates_data: ClassVar[frozenset[str]] = frozenset()
    """Names of own options that only say where data lie, the content of which is in `data_version`."""
    strikes_future_inputs: ClassVar[bool] = False
    """Whether a call is struck if its input occurs only after it (paper, appendix A: machine translation)."""

    def __init__(self, options: ToolOptions | None = None) -> None:
        self.options = options or self.Options()

    def open(self) -> None:  # noqa: B027  most tools have nothing to load
        """Load indexes and models. Raises ValueError, naming the option, if something is missing or unusable."""

    def data_version(self) -> str:
        """Identifies the data behind the answers, such as an index's content hash; empty if there are none.

        Can be called before `open`. It is part of what identifies the tool's answers, beside `version` and the options.
        """
        return ""

    @abstractmethod
    def wants(self, document: Document) -> bool:
        """Whether calls of the tool are proposed for this text (paper, appendix A.1)."""

    def wanted_places(self, text: str) -> Iterable[int]:
        """Before which words or numbers of a text a call could help at all: the char offsets where these begin.

        Linear in the text. By default before words that are new; no place is inside a word or a number.
        """
        return before_new_words(text)

    @abstractmethod
    def run(self, call_input: str, context: CallContext) -> str:
        """The answer to one call; an empty string if the tool has none.

        `call_input` is the text between the parentheses. Called from several threads at once.
        Raises BadInput for an input it refuses, TimedOut for one that it gave up, and Unavailable if a backend cannot
        be reached.
        """

    def defines(self, call_input: str) -> Collection[str]:
        """Names that later calls of the same text may use, where the tool has such; a function of the input alone."""
        return ()

    def uses(self, call_input: str) -> Collection[str]:
        """Names that a call does not define itself. For each the nearest call before it that `defines` it, if there
        is one, is among `CallContext.earlier`, and the call stands in a text only behind that one."""
        return ()

    def decoys(self, result: str, key: str, num_decoys: int) -> list[str]:
        """Up to so many other answers of the same kind and shape as a result, none of which says the same.

        They are a function of the arguments and of the tool's data, which are read here if the tool is not open.
        """
        return shaped_decoys(result, key, num_decoys)


def full_data_version(tool: Tool) -> str:
    """Identifies what is behind the tool's answers beside its options: its data, such as an index, the files of its
    model if that is a folder, and the file of a user's tool."""
    model = getattr(tool.options, "model", None)
    version = tool.data_version()
    if isinstance(model, str) and Path(model).is_dir():
        version = f"{version}+{fingerprint_files(Path(model), MODEL_FILES)}"
    return f"{version}@{tool.source}" if tool.source else version


def is_only_location(tool: Tool, option: str) -> bool:
    """Whether an option only says where data lie whose content is in `full_data_version`."""
    value = getattr(tool.options, option)
    if option == "model":
        return isinstance(value, str) and Path(value).is_dir()
    return option in tool.locates_data and value is not None


def answer_fingerprint(tool: Tool) -> str:
    """Identifies what decides a tool's answers: its name and version, its data, and its own options.

    The locations of data and keys in URLs are left out.
    """
    deciding = {
        name: without_keys(value) if isinstance(value, str) else value
        for name, value in vars(tool.options).items()
        if name not in tool.changes_no_answer and not is_only_location(tool, name)
    }
    return fingerprint(tool.name, tool.version, full_data_version(tool), deciding)
