"""What a worker does for each stage of the real pipeline: the stages' functions with the model and the tools opened."""

import functools
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.ingest import Shard, ingest
from toolformer_ray.annotate.propose import propose
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.filter.score import score
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored
from toolformer_ray.tools.asking.answer_store import AnswerStore, open_store
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.model_files import model_folder
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.pipeline import Needs
from toolformer_ray.workflow.shard.work import Compute, StageOutput

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class AnnotateRecipe:
    """Makes the rows of `toolformer annotate`."""

    options: AnnotateOptions
    max_text_tokens: int
    """Longer texts are cut."""
    model_revision: str | None = None
    """The commit of a model on the Hugging Face Hub."""

    def ingest(self, readings: Sequence[Sequence[str]]) -> Iterator[Shard]:
        """The shards of the corpus, cut to the model's window."""
        from toolformer_ray.lm.tokenizer import TextTokenizer

        tokenizer = TextTokenizer.load(model_folder(self.options.model.model, self.model_revision))
        return ingest(self.options.ingest, tokenizer, self.max_text_tokens, readings)

    def open(self, needs: Needs) -> Compute:
        """Load the model or the tools, once."""
        tools = self._tools
        if needs == "model":
            return model_stages(load_model(self.options, self.model_revision), self.options, tools)
        if needs == "tools":
            return tool_stages(tools, open_store(self.options.tools.answers))
        return _plain_stages

    def judge(self, row: Scored) -> Scored | None:
        """The row with today's verdict; None where that needs losses that are computed alone."""
        rule = KeepRule.of(self._tools[row.tool])
        return None if rule.is_close(row) else replace(row, is_kept=rule.keeps(row))

    @functools.cached_property
    def _tools(self) -> dict[str, Tool]:
        return {tool.name: tool for tool in self.options.tools.make().values()}


def load_model(options: AnnotateOptions, revision: str | None) -> "LanguageModel":
    """The model as every worker has it, on as many threads as OMP_NUM_THREADS says."""
    import torch

    from toolformer_ray.lm.model import LanguageModel

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return LanguageModel.load(
        model_folder(options.model.model, revision),
        device=options.model.device,
        dtype=options.model.dtype,
        token_budget=options.model.token_budget,
        # Layer by layer over the GPUs that Ray lets this worker see.
        device_map="balanced" if options.model.on_gpu and options.workers.gpus_per_worker > 1 else None,
    )


def model_stages(model: "LanguageModel", options: AnnotateOptions, tools: dict[str, Tool]) -> Compute:
    """The stages that ask the model."""

    def compute(stage: str, inputs: Sequence[list[Any]], wanted: Collection[str]) -> StageOutput:
        if stage == "propose":
            (documents,) = inputs
            return propose(documents, model, {name: tools[name] for name in wanted}, options.propose)
        executed, documents = inputs
        rows = score(
            executed,
            documents,
            model,
            tools,
            prune_below=options.propose.prune_below,
            in_place=options.propose.second_round,
            screen_options=options.screen,
        )
        return rows, []

    return compute


def tool_stages(tools: dict[str, Tool], store: AnswerStore | None) -> Compute:
    """The stage that asks the tools, which are opened unless a recording answers for them."""
    if store is None or not store.is_replayed:
        for tool in tools.values():
            tool.open()
    # One executor for the worker's whole life: it remembers which tools are down, and how many of their calls hang.
    executor = ToolExecutor(tools, store)

    def compute(_: str, inputs: Sequence[list[Any]], __: Collection[str]) -> StageOutput:
        candidates, documents = inputs
        return execute(candidates, documents, executor), []

    return compute


def _plain_stages(_: str, inputs: Sequence[list[Any]], __: Collection[str]) -> StageOutput:
    scored, documents = inputs
    return interleave(scored, documents)
