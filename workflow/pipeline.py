"""The pipeline: what is done to a corpus until it is C*, as a list (paper, section 2, figure 2).

    corpus (Parquet, JSON Lines, text, a Hugging Face data set)
      ingest      -> documents/    one text per row, fits the model's window        a plain process
      propose     -> candidates/   where a call could start, and which calls        workers with the model
      execute     -> executed/     + what the tool answered                         workers with the tools
      score       -> scored/       + the weighted losses, kept or not               workers with the model
      interleave  -> augmented/    C*, one row per text with at least one call      a plain process

The list drives everything: workers run a stage's function, the ledger knows from it what is done, and `status`, `query`
and `verify` what there is to show and to check. To add a stage, write its function, declare its rows
(`records.stages`), and add an entry.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from toolformer_ray.annotate.execute import execute, with_decoys
from toolformer_ray.annotate.ingest import Shard, ingest
from toolformer_ray.annotate.needs import with_needs
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_by_endpoint import propose_by_endpoint
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.filter.score import score
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import DROP_REASONS, Augmented, Candidate, Document, Executed, Scored
from toolformer_ray.workflow.book import fingerprints
from toolformer_ray.workflow.recipe import Opened, OpenedModel, OpenedTools
from toolformer_ray.workflow.shard.accounts import check_calls, check_proposals, check_texts
from toolformer_ray.workflow.shard.counts import count_answers, count_candidates, count_inserted, count_verdicts
from toolformer_ray.workflow.shard.reuse import PerCall, PerTool, StageOutput
from toolformer_ray.workflow.shard.stage import Stage


def run_ingest(opened: Opened, groups: Sequence[Mapping[str, str]]) -> Iterator[Shard]:
    """The shards of the corpus, cut to the model's window."""
    return ingest(opened.options.ingest, opened.load_tokenizer(), opened.max_text_tokens, groups)


def run_propose(opened: OpenedModel, tools: Sequence[str], documents: list[Document]) -> StageOutput:
    """The calls of the wanted tools, sampled from the model, another one, or an endpoint."""
    wanted, options = {name: opened.tools[name] for name in tools}, opened.options
    asked = documents, opened.model, wanted, options.propose, options.filter.filter
    if opened.endpoint:
        candidates, drops = propose_by_endpoint(*asked, opened.endpoint)
    else:
        candidates, drops = propose(*asked, scorer=opened.scorer, is_chat=options.proposer.proposer_chat)
    return with_needs(candidates, wanted), drops


def run_execute(
    opened: OpenedTools, _: Sequence[str], candidates: list[Candidate], documents: list[Document]
) -> StageOutput:
    """The calls with their tools' answers, and with decoys of these."""
    num_decoys = opened.options.filter.decoys_needed
    executed = execute(candidates, documents, opened.executor)
    return [with_decoys(call, opened.tools, num_decoys) for call in executed], []


def renew_answer(opened: Opened, call: Candidate, known: Executed, ask_again: Collection[str]) -> Executed | None:
    """The earlier answer to a call, with as many decoys as are needed now, unless it is asked for again, or behind
    other calls."""
    if known.status in ask_again or known.needs != call.needs:
        return None
    return with_decoys(Executed(**vars(known) | vars(call)), opened.tools, opened.options.filter.decoys_needed)


def run_score(
    opened: OpenedModel, _: Sequence[str], executed: list[Executed], documents: list[Document]
) -> StageOutput:
    """The calls with their losses and verdicts."""
    rows = score(
        executed,
        documents,
        opened.model,
        opened.tools,
        prune_below=opened.options.propose.prune_below,
        in_place=opened.options.propose.second_round,
        options=opened.options.filter,
    )
    return rows, []


def renew_losses(call: Executed, known: Scored) -> Scored | None:
    """The earlier losses of a call, if they belong to the same answer and decoys, with the earlier verdict."""
    if (known.status, known.result, known.decoys) != (call.status, call.result, call.decoys):
        return None
    losses = {name: getattr(known, name) for name in ("loss_without", "loss_with_call")}
    return Scored(**vars(known) | vars(call) | losses)


def renew_verdict(opened: Opened, call: Executed, known: Scored, _: Collection[str]) -> Scored | None:
    """The earlier losses with today's verdict; None where that needs losses that are computed alone."""
    row, rule = renew_losses(call, known), KeepRule.of(opened.tools[call.tool], opened.options.filter.filter)
    return None if row is None or rule.is_close_verdict(row) else rule.judge(row)


def run_interleave(_: Opened, __: Sequence[str], scored: list[Scored], documents: list[Document]) -> StageOutput:
    """The texts with their kept calls."""
    return interleave(scored, documents)


PIPELINE = (
    Stage(
        name="ingest",
        run=run_ingest,
        reads=(),
        writes=Document,
        needs="cpu",
        drops=DROP_REASONS["ingest"],
        settings=fingerprints.corpus_settings,
    ),
    Stage(
        name="propose",
        run=run_propose,
        reads=(Document,),
        writes=Candidate,
        needs="model",
        drops=DROP_REASONS["propose"],
        reuse=PerTool(),
        counts=count_candidates,
        check=check_proposals,
        tool_settings=fingerprints.proposal_settings,
        version=2,
    ),
    Stage(
        name="execute",
        run=run_execute,
        reads=(Candidate, Document),
        writes=Executed,
        needs="tools",
        reuse=PerCall(renew_answer),
        counts=count_answers,
        check=check_calls,
        settings=fingerprints.decoy_settings,
        tool_settings=fingerprints.answer_settings,
        version=2,
    ),
    Stage(
        name="score",
        run=run_score,
        reads=(Executed, Document),
        writes=Scored,
        needs="model",
        reuse=PerCall(renew_verdict),
        counts=count_verdicts,
        check=check_calls,
        settings=fingerprints.verdict_settings,
        tool_settings=fingerprints.loss_settings,
        version=2,
    ),
    Stage(
        name="interleave",
        run=run_interleave,
        reads=(Scored, Document),
        writes=Augmented,
        needs="cpu",
        drops=DROP_REASONS["interleave"],
        counts=count_inserted,
        check=check_texts,
    ),
)
