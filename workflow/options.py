"""What the user can say about a run: everything that `toolformer annotate` takes, checked before any work begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose import ProposeOptions
from toolformer_ray.filter.score import ScoreOptions
from toolformer_ray.filter.screening.screen import ScreenOptions
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.catalog import find_tools, make_tool
from toolformer_ray.tools.options import Asking, Teaching, ToolOptions
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.report.progress import ProgressOptions
from toolformer_ray.workflow.workers import WorkerOptions

DEFAULT_TOOLS = "calculator,calendar"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that annotates, and how it is run."""

    model: str
    """The causal language model: a folder with its files, or its name on the Hugging Face Hub."""
    device: str = "cpu"
    """Where it runs, as torch names it: cpu or cuda."""
    dtype: str = "float32"
    """The type of its numbers, float32 or bfloat16."""
    token_budget: int | None = None
    """Tokens that go through the model at once, by default 1,024 on a CPU and 16,384 on a GPU; less needs less memory
    and changes no row."""

    def __post_init__(self) -> None:
        if self.token_budget is not None and self.token_budget < 1:
            raise ValueError(f"token_budget is {self.token_budget}; it must be at least 1 token")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is {self.dtype}; it must be float32 or bfloat16")

    @property
    def on_gpu(self) -> bool:
        """Whether each model worker asks the cluster for a GPU."""
        return self.device.startswith("cuda")


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions:
    """One run."""

    run: str
    """The run folder: a local path, or a URI such as s3://bucket/runs/one."""
    tools: tuple[str, ...]
    """Keys of the tools, as in `tools/<key>.py`, in the order in which they are proposed."""
    ingest: IngestOptions
    model: ModelOptions
    propose: ProposeOptions = field(default_factory=ProposeOptions)
    screen: ScreenOptions = field(default_factory=ScreenOptions)
    tool_options: Mapping[str, ToolOptions] = field(default_factory=dict)
    """Tools' own options by key; a tool that is not there has its defaults, here as in the next two."""
    teaching: Mapping[str, Teaching] = field(default_factory=dict)
    """The paper's thresholds by key of the tool."""
    asking: Mapping[str, Asking] = field(default_factory=dict)
    """How tools are asked, by key of the tool."""
    answers: AnswerOptions = field(default_factory=AnswerOptions)
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    progress: ProgressOptions = field(default_factory=ProgressOptions)
    change_settings: bool = False
    """Whether a run folder that was made with other settings may go on with these."""
    forget_missing_files: bool = False
    """Whether a run folder whose corpus has lost files may go on without all that came of them."""
    retry_failed: bool = False
    """Whether calls that no tool answered (timeout, unavailable, crashed) are asked again, and texts and calls that
    broke a stage tried again."""

    def __post_init__(self) -> None:
        _ = self.score  # Options that exclude each other are refused before a worker starts.

    @property
    def score(self) -> ScoreOptions:
        """The filter's options: what proposing pruned by and what scoring goes by must be the same."""
        propose = self.propose
        return ScoreOptions(prune_below=propose.prune_below, screen=self.screen, in_place=propose.second_round)

    def make_tools(self) -> dict[str, Tool]:
        """The chosen tools, not yet opened. Raises ValueError if one lacks an option that it cannot do without."""
        return {
            key: make_tool(key, self.tool_options.get(key), self.teaching.get(key), self.asking.get(key))
            for key in self.tools
        }


def parse_tools(written: str) -> tuple[str, ...]:
    """The keys in `calculator,calendar`. Raises ValueError for one that is not a tool, or none at all."""
    keys = tuple(dict.fromkeys(key.strip() for key in written.split(",") if key.strip()))
    known = ", ".join(find_tools())
    for key in keys:
        if key not in find_tools():
            raise ValueError(f"--tools names {key!r}, which is no tool; there are {known}")
    if not keys:
        raise ValueError(f"--tools is empty; choose among {known}")
    return keys
