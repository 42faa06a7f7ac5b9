"""The options of `toolformer annotate`, which are checked before any work begins."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Group, Parameter

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.in_paper import as_in_paper
from toolformer_ray.workflow.log import ProgressOptions
from toolformer_ray.workflow.tool_choice import TaughtTools
from toolformer_ray.workflow.workers import WorkerOptions


def _group(title: str, place: int) -> Parameter:
    """Shows a record's fields as options in a group of their own; `place` orders the groups."""
    return Parameter(name="*", group=Group(title, sort_key=place))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that annotates or writes, and how it is run."""

    model: str
    """The causal language model: a folder with its files, a GGUF file, or its name on the Hugging Face Hub."""
    device: str = "cpu"
    """The torch device that it runs on: cpu or cuda."""
    dtype: str = "float32"
    """The type of its numbers, float32 or bfloat16."""
    token_budget: int | None = None
    """Tokens that go through the model at once, by default 1,024 on a CPU and 16,384 on a GPU; less needs less memory
    and changes no row."""

    def __post_init__(self) -> None:
        if self.token_budget is not None and self.token_budget < 1:
            raise OptionError("token_budget", self.token_budget, "it must be at least 1 token")
        if self.dtype not in ("float32", "bfloat16"):
            raise OptionError("dtype", self.dtype, "it must be float32 or bfloat16")

    @property
    def on_gpu(self) -> bool:
        """Whether each model worker asks the cluster for a GPU."""
        return self.device.startswith("cuda")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AnnotateOptions:
    """One run: the options of `toolformer annotate`. Those that have no group stand first on its help page."""

    run: str
    """The run folder: a local path, or a URI such as s3://bucket/runs/one."""
    ingest: Annotated[IngestOptions, Parameter(name="*", consume_multiple=True)]
    model: ModelOptions
    tools: TaughtTools = field(default_factory=TaughtTools)
    propose: Annotated[ProposeOptions, _group("Proposing", 1)] = field(default_factory=ProposeOptions)
    proposer: Annotated[ProposerOptions, _group("Proposing", 1)] = field(default_factory=ProposerOptions)
    filter: Annotated[FilterOptions, _group("Filter", 2)] = field(default_factory=FilterOptions)
    workers: Annotated[WorkerOptions, _group("Workers", 4)] = field(default_factory=WorkerOptions)
    progress: Annotated[ProgressOptions, _group("Progress", 5)] = field(default_factory=ProgressOptions)
    change_settings: bool = False
    """Go on with a run folder that was made with other settings: what depends on them is made again, nothing else."""
    forget_missing_files: bool = False
    """Go on with a run folder whose corpus has lost files: all that came of them is removed."""
    retry_failed: bool = False
    """Ask calls again that had no answer in time or whose tool crashed or could not be reached, and try texts and calls
    again that broke a stage. Shards that failed are always tried again."""

    as_in_paper: bool = False
    """Do as the paper does wherever our defaults differ; what is set to something else than its default stays."""

    def __post_init__(self) -> None:
        if self.as_in_paper:
            for name, record in vars(self).items():
                if dataclasses.is_dataclass(record) and not isinstance(record, type):
                    object.__setattr__(self, name, as_in_paper(record))
