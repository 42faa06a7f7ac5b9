"""Is everything accounted for? This is `toolformer verify RUN`.

Reads every table, shard by shard. Every file has to hold what its footer tells, made with the settings of the run. Each
text has to be in C* or, for each tool, in `scored` or `dropped`, or in a shard that failed; each candidate has to be
executed and scored, once, or dropped as broken; each kept call has to stand in C* or be dropped at its place; and
removing the calls from a text of C* has to give back the document to the letter. Exit code 1 if not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Candidate, Document, Dropped, Executed, Scored
from toolformer_ray.workflow.book.settings import read_tool_names
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.status import open_run
from toolformer_ray.workflow.shard.broken import BROKEN
from toolformer_ray.workflow.shard.outputs import read_drops
from toolformer_ray.workflow.verify.files import find_faults

MAX_FINDINGS_SHOWN = 20
_STAGES = {stage.name: stage for stage in PIPELINE}


@dataclass
class Tally:
    """What was counted, and what was found wrong."""

    texts: int = 0
    in_failed_shards: int = 0
    with_calls: int = 0
    calls: int = 0
    findings: list[str] = field(default_factory=list)


def verify_run(location: str) -> int:
    """Check one run and say what was found; 0 if nothing is wrong. Raises ValueError if there is no run."""
    tally = check_run(location)
    without = tally.texts - tally.with_calls - tally.in_failed_shards
    print(
        f"{tally.texts:,} texts: {tally.with_calls:,} in C* with {tally.calls:,} calls, {without:,} without a call, "
        f"{tally.in_failed_shards:,} in failed shards"
    )
    for finding in tally.findings[:MAX_FINDINGS_SHOWN]:
        print(finding)
    print(f"{len(tally.findings):,} findings" if tally.findings else "everything is accounted for")
    return 1 if tally.findings else 0


def check_run(location: str) -> Tally:
    """Check all shards of a run. Raises ValueError if there is no run."""
    run = open_run(location)
    tools = read_tool_names(run)
    failed = {shard for stage in PIPELINE for shard in run.shards(f"failed/{stage.name}", ".json")}
    faults = list(find_faults(run))
    faulty = {shard for shard, _ in faults}
    tally, seen = Tally(findings=[f"{shard}: {fault}" for shard, fault in faults]), set[str]()
    for shard in run.shards("documents"):
        if shard in faulty:
            continue
        documents = run.read_shard("documents", shard, Document)
        tally.texts += len(documents)
        tally.findings += [f"{shard}: text {text_id} occurs twice" for text_id in _repeated(documents, seen)]
        if shard in failed:
            tally.in_failed_shards += len(documents)
        elif missing := [stage.writes for stage in PIPELINE if run.header(stage.writes, shard) is None]:
            tally.findings.append(f"{shard}: has no {', '.join(missing)}, and has not failed")
        else:
            augmented = run.read_shard("augmented", shard, Augmented)
            tally.with_calls += len(augmented)
            tally.calls += sum(row.num_calls for row in augmented)
            found = _check_shard(run, shard, documents, augmented, tools)
            tally.findings += [f"{shard}: {finding}" for finding in found]
    return tally


def _repeated(rows: Iterable[Document | Augmented], seen: set[str]) -> Iterator[str]:
    for row in rows:
        if row.text_id in seen:
            yield row.text_id
        seen.add(row.text_id)


def _check_shard(
    run: RunFolder, shard: str, documents: Sequence[Document], augmented: Sequence[Augmented], tools: Sequence[str]
) -> Iterator[str]:
    candidates = run.read_shard("candidates", shard, Candidate)
    executed = run.read_shard("executed", shard, Executed)
    scored = run.read_shard("scored", shard, Scored)
    drops = {name: read_drops(run, stage, shard) for name, stage in _STAGES.items()}
    yield from _check_calls(candidates, executed, drops["execute"], "executed")
    yield from _check_calls(executed, scored, drops["score"], "scored")
    yield from _check_repeated(candidates=candidates, executed=executed, scored=scored)
    left = [drop for stage in ("propose", "execute", "score") for drop in drops[stage]]
    spoken_for = {(call.text_id, call.tool) for call in scored} | {(drop.text_id, drop.tool) for drop in left}
    for document in documents:
        for tool in tools:
            if (document.text_id, tool) not in spoken_for:
                yield f"text {document.text_id} has neither a call of {tool} nor a reason why not"
    yield from _check_texts(augmented, documents)
    yield from _check_kept(augmented, scored, drops["interleave"])


def _check_repeated(**tables: Sequence[Candidate]) -> Iterator[str]:
    for table, rows in tables.items():
        if repeated := [name for name, count in Counter(map(_name, rows)).items() if count > 1]:
            yield f"{len(repeated)} calls are more than once in {table}, such as {min(repeated)}"


def _check_calls(
    before: Sequence[Candidate], after: Sequence[Candidate], drops: Sequence[Dropped], lost: str
) -> Iterator[str]:
    """Every call goes on, or was dropped at its place."""
    names, later, dropped = set(map(_name, before)), set(map(_name, after)), Counter(map(_place, drops))
    missing = []
    for name in sorted(names ^ later):
        if name in names and dropped[name[:3]]:
            dropped[name[:3]] -= 1
        else:
            missing.append(name)
    if missing:
        yield f"{len(missing)} calls are not {lost}, or from nowhere, such as {missing[0]}"
    if still_there := [*dropped.elements()]:
        yield f"{len(still_there)} calls were dropped and are {lost} all the same, such as {min(still_there)}"


def _check_texts(augmented: Sequence[Augmented], documents: Sequence[Document]) -> Iterator[str]:
    texts = {document.text_id: document.text for document in documents}
    yield from (f"text {text_id} is more than once in C*" for text_id in _repeated(augmented, set()))
    for row in augmented:
        try:
            text = remove_calls(row.text, row.calls)
        except ValueError as error:
            yield f"text {row.text_id} of C* does not hold its calls: {error}"
            continue
        if text != texts.get(row.text_id):
            yield f"text {row.text_id} of C* without its calls is not the document"


def _check_kept(augmented: Sequence[Augmented], scored: Sequence[Scored], drops: Sequence[Dropped]) -> Iterator[str]:
    kept = Counter(_name(row)[:3] for row in scored if row.is_kept)
    inserted = Counter((row.text_id, call.tool, call.char_offset) for row in augmented for call in row.calls)
    gave_way = Counter(_place(drop) for drop in drops if drop.reason != BROKEN)
    # A broken call may be one that was not kept.
    broken = Counter(_place(drop) for drop in drops if drop.reason == BROKEN)
    if (inserted + gave_way) - kept or kept - inserted - gave_way - broken:
        yield (
            f"{kept.total()} calls were kept, {inserted.total()} stand in C*, {gave_way.total()} gave way to another"
        )


def _place(drop: Dropped) -> tuple[str, str, int]:
    return drop.text_id, drop.tool or "", drop.char_offset or 0


def _name(call: Candidate) -> tuple[str, str, int, str]:
    return call.text_id, call.tool, call.char_offset, call.call_input
