"""What a worker opens for the functions of its stages: the options, and the model or the tools if they need them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.tools.asking.answer_store import open_store
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.model_files import model_folder
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.shard.stage import Needs

if TYPE_CHECKING:
    from toolformer_ray.annotate.endpoint.endpoint import Endpoint
    from toolformer_ray.lm.model import LanguageModel
    from toolformer_ray.lm.tokenizer import TextTokenizer


@dataclass(frozen=True, kw_only=True)
class AnnotateRecipe:
    """Opens what the stages of `toolformer annotate` work with."""

    options: AnnotateOptions
    max_text_tokens: int
    """Longer texts are cut."""
    model_revision: str | None = None
    """The commit of a model on the Hugging Face Hub."""
    proposer_revision: str | None = None
    """The same of the model that proposes, if it is another one."""

    def open(self, needs: Needs) -> "Opened":
        """Load the model or the tools, once. Raises ValueError if an option cannot be used."""
        tools = {tool.name: tool for tool in self.options.tools.make().values()}
        if needs == "model":
            model = _load_model(self.options, self.options.model.model, self.model_revision)
            return OpenedModel(recipe=self, tools=tools, model=model)
        if needs == "proposer":
            return self._open_proposer(tools)
        if needs == "tools":
            return OpenedTools(recipe=self, tools=tools, executor=_open_executor(self.options, tools))
        return Opened(recipe=self, tools=tools)

    def load_tokenizer(self) -> "TextTokenizer":
        """The tokenizer of the model that scores."""
        from toolformer_ray.lm.tokenizer import TextTokenizer

        return TextTokenizer.load(model_folder(self.options.model.model, self.model_revision))

    def _open_proposer(self, tools: Mapping[str, Tool]) -> "OpenedModel":
        options = self.options
        if options.proposer.proposer is not None:
            model = _load_model(options, options.proposer.proposer, self.proposer_revision)
            return OpenedModel(recipe=self, tools=tools, model=model, scorer=self.load_tokenizer())
        from toolformer_ray.annotate.endpoint.endpoint import Endpoint

        # First, since it fails sooner than a model is loaded.
        endpoint = Endpoint.open(options.proposer, RunFolder(options.run) if options.run else None)
        model = _load_model(options, options.model.model, self.model_revision)
        return OpenedModel(recipe=self, tools=tools, model=model, endpoint=endpoint)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What all workers have. The tools are not open: only their options are used."""

    recipe: AnnotateRecipe
    tools: Mapping[str, Tool]
    """By their names in calls."""

    @property
    def options(self) -> AnnotateOptions:
        """All options of the run."""
        return self.recipe.options

    @property
    def max_text_tokens(self) -> int:
        """Longer texts are cut."""
        return self.recipe.max_text_tokens

    @property
    def done(self) -> Mapping[str, int]:
        """What was answered so far, counted while a shard is worked on; nothing without a model."""
        return {}

    def load_tokenizer(self) -> "TextTokenizer":
        """The tokenizer of the model that scores."""
        return self.recipe.load_tokenizer()


@dataclass(frozen=True, kw_only=True)
class OpenedModel(Opened):
    """What workers with the model have."""

    model: "LanguageModel"
    scorer: "TextTokenizer | None" = None
    """Of a model that only proposes, the tokenizer of the one that scores."""
    endpoint: "Endpoint | None" = None
    """Where calls are sampled instead, for this model to judge."""

    @property
    def num_tokens_read(self) -> int:
        """Tokens that went through the model since it was loaded."""
        return self.model.num_tokens_read

    @property
    def done(self) -> Mapping[str, int]:
        """Prompts, samples and losses."""
        return self.model.done


@dataclass(frozen=True, kw_only=True)
class OpenedTools(Opened):
    """What workers with the tools have: one executor for all shards, since it remembers which tools are down."""

    executor: ToolExecutor


def _load_model(options: AnnotateOptions, name: str, revision: str | None) -> "LanguageModel":
    """A model, on as many threads as OMP_NUM_THREADS says."""
    import torch

    from toolformer_ray.lm.model import LanguageModel

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return LanguageModel.load(
        model_folder(name, revision),
        device=options.model.device,
        dtype=options.model.dtype,
        token_budget=options.model.token_budget,
        # Layer by layer over the GPUs that Ray makes visible to this worker.
        device_map="balanced" if options.model.on_gpu and options.workers.gpus_per_worker > 1 else None,
    )


def _open_executor(options: AnnotateOptions, tools: Mapping[str, Tool]) -> ToolExecutor:
    """The tools, which are opened unless a recording has their answers."""
    store = open_store(options.tools.answers)
    if store is None or not store.is_replayed:
        for tool in tools.values():
            tool.open()
    return ToolExecutor(tools, store)
