"""What people judged of a run's calls: a table of the run beside those of its stages, and the precision it tells.

Produced by `toolformer review`; consumed by `status`, `report` and users' SQL. A call is judged by looking at it in its
text, so a judgement holds for the call and its result: if the run is made again, it stays with what was judged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.run_folder import RunFolder, shard_name
from toolformer_ray.records.schema import Record
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.totals import Total, estimate_share

VERDICTS = ("right", "wrong", "useless")
"""The call is due and its answer true; the answer or the place is wrong; it is true and nobody needs it there."""
_SHARD = shard_name(0)


@dataclass(frozen=True, kw_only=True)
class Judgement(Record):
    """One person's verdict on one kept call. The columns but the last name the call, as in `scored`."""

    table = "judgements"

    text_id: str
    tool: str
    char_offset: int
    call_input: str
    result: str
    verdict: str
    """One of VERDICTS."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How many of one tool's judged calls are right."""

    tool: str
    judged: int
    right: int
    wrong: int
    useless: int
    share: Total
    """Right of judged, with its interval."""


def read_judgements(run: RunFolder) -> list[Judgement]:
    """All judgements on a run, in the order in which they were made; none if nobody has judged it."""
    if _SHARD not in run.shards(Judgement.table):
        return []
    return run.read_shard(Judgement.table, _SHARD, Judgement)


def write_judgements(run: RunFolder, judgements: Sequence[Judgement]) -> None:
    """Replace the judgements on a run. The file is never half written, so it may be done after each of them."""
    counts = {ROWS: len(judgements)}
    for judgement in judgements:
        name = Count("judged", judgement.verdict, judgement.tool)
        counts[name] = counts.get(name, 0) + 1
    run.write_shard(Judgement.table, _SHARD, Judgement, judgements, fingerprint="judged", counts=counts)


def precisions(judgements: Iterable[Judgement]) -> list[Precision]:
    """The precision of each tool that was judged, by its name."""
    by_tool: dict[str, list[str]] = {}
    for judgement in judgements:
        by_tool.setdefault(judgement.tool, []).append(judgement.verdict)
    return [
        Precision(
            tool=tool,
            judged=len(verdicts),
            **{verdict: verdicts.count(verdict) for verdict in VERDICTS},
            share=estimate_share(verdicts.count("right"), len(verdicts)),
        )
        for tool, verdicts in sorted(by_tool.items())
    ]


def precision_table(found: Sequence[Precision]) -> str:
    """One line per tool; empty if nothing was judged."""
    rows = [[row.tool, row.judged, row.right, row.wrong, row.useless, *describe_precision(row)] for row in found]
    return text_table(["judged by people", "calls", *VERDICTS, "precision", "95 %"], rows) if rows else ""


def describe_precision(row: Precision) -> tuple[str, str]:
    """The share of right calls and its interval, such as `92%` and `81% to 97%`."""
    return f"{row.share.expected:.0%}", f"{row.share.low:.0%} to {row.share.high:.0%}"
