"""A run that is killed at every joint and has its tools in trouble makes the rows of one that is left alone."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from tests.chaos.arena import REPOSITORY
from tests.chaos.blows import LONG, SHORT, STAGES_OF_WORKERS, Blow, plan
from tests.chaos.killer import Dealt
from tests.chaos.report import take_account
from tests.simulation.journal import Journal


def test_killed_workers_nodes_and_drivers_and_tools_in_trouble_change_no_row_and_cost_what_was_in_hand() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.chaos.run_chaos", "--short", "--seed", "3"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    assert "kills: 6, of which 6 hit a shard in flight; tools in trouble 2 times" in ended.stdout
    assert "done again without having been in the hands of one that was killed: 0" in ended.stdout
    assert "the same rows as the undisturbed run; everything is accounted for" in ended.stdout


def test_a_seed_says_what_is_done_and_when() -> None:
    assert plan(1, LONG, 1000) == plan(1, LONG, 1000) != plan(2, LONG, 1000)


def test_a_plan_holds_every_blow_in_rising_order_and_ends_before_the_run() -> None:
    for numbers in (LONG, SHORT):
        blows = plan(7, numbers, 1000)
        assert Counter(blow.kind for blow in blows) == Counter(numbers)
        assert [blow.after for blow in blows] == sorted(blow.after for blow in blows)
        assert blows[-1].after < 900
    assert sum(blow.is_kill for blow in plan(7, LONG, 1000)) >= 30


def test_workers_are_killed_at_every_stage_and_while_the_corpus_is_read_first() -> None:
    stages = [blow.stage for blow in plan(7, LONG, 1000) if blow.kind == "worker"]
    assert Counter(stages) == Counter(STAGES_OF_WORKERS * 3)
    assert stages[:3] == ["ingest"] * 3


def test_what_was_done_again_without_a_blow_or_was_not_in_hand_when_it_fell_is_told(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))
    lines = [(10, 0), (10, 1), (11, 2), (12, 0), (12, 1), (12, 2)]  # process 10 is killed, 11 ends by itself
    Path(journal.path).write_text(
        "".join(f'{{"what": "begin", "process": {p}, "stage": "score", "shard": {s}}}\n' for p, s in lines)
    )
    kill = Dealt(Blow(kind="worker", after=0), in_flight=[], processes={10})
    account = take_account(SimpleNamespace(arena=SimpleNamespace(journal=journal), dealt=[kill]))  # type: ignore[arg-type]
    assert (account.num_attempts, account.num_shards, account.lost) == (6, 3, Counter(worker=2))
    assert [(attempt.process, attempt.shard) for attempt in account.unexplained] == [(10, 0), (11, 2)]
