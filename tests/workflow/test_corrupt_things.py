"""Whatever lies in a run folder that is not what was written there: it is named, and no row comes of it.

`docs/storage.md` has the table of all these. Runs are of real Parquet files and, where they go on, on a real Ray.
"""

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.rows import make_row
from tests.support.small_jobs import SmallRecipe, make_job, read_rows, run_small_job
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import DamagedError, RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Document, Dropped, Scored
from toolformer_ray.workflow.book.lease import LEASE_FILE, hold_run
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.book.resume import admit_documents, end_ingest, forget_old_failures, open_ledger
from toolformer_ray.workflow.corpus import CorpusState, settle_corpus
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.progress import PROGRESS_FILE, take_snapshot
from toolformer_ray.workflow.report.status import read_status
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.shard.outputs import discard_damaged
from toolformer_ray.workflow.shard.work import StageWorker
from toolformer_ray.workflow.verify.files import find_faults

TABLES: dict[str, type[Record]] = {stage.table: stage.writes for stage in PIPELINE} | {"dropped/propose": Dropped}
SHARD_OF = {table: f"part-{number:05d}" for number, table in enumerate(TABLES)}
"""Each table is damaged at another shard, so that one run meets them all."""
RECIPE = SmallRecipe(num_shards=len(TABLES) + 1)


def make_all(folder: Path) -> Ledger:
    """What a driver does, as a plain loop: look at what is there, make what is missing; nothing is tried twice."""
    job = make_job(folder, RECIPE)
    settled = settle_corpus(job.run, job.corpus, may_change=False, may_forget=False)
    discard_damaged(job.run, job.pipeline)
    ledger = open_ledger(job.run, job.pipeline, job.stage_fingerprints, tool_fingerprints=job.tool_fingerprints)
    worker = StageWorker(job.run, RECIPE, "cpu")
    if not admit_documents(ledger, settled.shards):
        corpus = worker.read_corpus(job.pipeline[0], ledger.ingest_fingerprint)
        while report := corpus.next_shard():
            ledger.admit(report.shard, report.header)
        end_ingest(job.run, ledger, settled)
    for shard in ledger.shards:
        stage = ledger.next_stage(shard)
        while stage:
            try:
                done = worker.work(stage, shard, ledger.expected(stage, shard))
            except DamagedError as error:
                job.run.write_json(f"failed/{stage.name}/{shard}.json", {"error": str(error)})
                ledger.give_up(stage, shard)
                break
            assert done
            stage = ledger.finish(stage, shard, done.header)
    forget_old_failures(job.run, ledger)
    last = take_snapshot(ledger, state="finished", seconds=1.0, tools=job.tool_names, is_ingesting=False)
    job.run.write_json(PROGRESS_FILE, asdict(last))
    return ledger


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert make_all(folder).num_failed == 0
    job = make_job(folder, RECIPE)
    made_with = {"stage_fingerprints": job.stage_fingerprints, "tool_fingerprints": job.tool_fingerprints}
    job.run.write_json("run.json", made_with)
    return folder


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    """A finished run that a test may spoil."""
    return shutil.copytree(undisturbed, tmp_path / "finished")


def file_of(folder: Path, table: str) -> Path:
    return folder / table / f"{SHARD_OF[table]}.parquet"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_the_next_shard(path: Path) -> None:
    number = int(path.stem.removeprefix("part-"))
    shutil.copy(path.with_name(f"part-{number + 1:05d}.parquet"), path)


def replace_by_one_with_other_settings(path: Path) -> None:
    run, table = RunFolder(str(path.parents[len(Path(table_of(path)).parts)])), table_of(path)
    header, rows = run.header(table, path.stem), run.read_shard(table, path.stem, TABLES[table])
    assert header
    run.write_shard(
        table, path.stem, TABLES[table], rows, fingerprint="of other settings", counts=header.counts, parts={}
    )


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def table_of(path: Path) -> str:
    return "dropped/propose" if path.parent.name == "propose" else path.parent.name


def rot(path: Path) -> None:
    """Other bytes in the data pages; the footer is as it was."""
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)


HEALED = [truncate, empty, replace_by_the_next_shard, replace_by_one_with_other_settings, link_to_itself]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("spoil", [*HEALED, rot])
def test_verify_finds_it_in_the_folder_of_every_stage(
    spoil: Callable[[Path], None], table: str, finished: Path
) -> None:
    run = RunFolder(str(finished))
    assert list(find_faults(run)) == []
    spoil(file_of(finished, table))
    found = [f"{where}: {fault}" for where, fault in find_faults(run)]
    assert any(SHARD_OF[table] in line and table in line for line in found), found


@pytest.mark.parametrize("spoil", HEALED)
def test_the_same_command_makes_it_again_in_the_folder_of_every_stage(
    spoil: Callable[[Path], None], finished: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for table in reversed(TABLES):
        spoil(file_of(finished, table))
    assert make_all(finished).num_failed == 0
    if spoil in (truncate, empty, link_to_itself):
        told = capsys.readouterr().err
        assert all(f"{file_of(finished, table)} is damaged" in told for table in TABLES)
    assert read_rows(finished) == read_rows(undisturbed)
    assert list(find_faults(RunFolder(str(finished)))) == []


def test_a_run_with_all_of_it_at_once_is_healed_by_the_driver(
    workers_in_process: None, finished: Path, undisturbed: Path
) -> None:
    for table, spoil in zip(reversed(TABLES), itertools.cycle(HEALED)):
        spoil(file_of(finished, table))
    assert run_small_job(finished, RECIPE).last.state == "finished"
    assert read_rows(finished) == read_rows(undisturbed)


def test_bit_rot_behind_good_footers_fails_what_reads_it_and_the_same_command_heals_it(
    finished: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in PIPELINE[1:]:
        rot(file_of(finished, stage.reads[0].table))
        (finished / stage.table / f"{SHARD_OF[stage.reads[0].table]}.parquet").unlink()
    assert make_all(finished).num_failed == len(PIPELINE) - 1
    assert make_all(finished).num_failed == 0
    told = capsys.readouterr().err
    assert all(f"{file_of(finished, stage.reads[0].table)} is damaged" in told for stage in PIPELINE[1:])
    assert read_rows(finished) == read_rows(undisturbed)
    assert list(find_faults(RunFolder(str(finished)))) == []


def test_no_byte_of_a_shard_can_change_without_its_rows_being_the_same_or_refused(
    undisturbed: Path, tmp_path: Path
) -> None:
    run = RunFolder(str(tmp_path))
    content = (undisturbed / "scored/part-00000.parquet").read_bytes()
    rows = RunFolder(str(undisturbed)).read_shard("scored", "part-00000", Scored)
    (tmp_path / "scored").mkdir()
    num_refused = 0
    for place in range(0, len(content), 5):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << place % 8
        (tmp_path / "scored/part-00000.parquet").write_bytes(spoilt)
        try:
            read = run.read_shard("scored", "part-00000", Scored)
        except DamagedError:
            num_refused += 1
        else:
            assert [replace(row, seconds=0.0, from_cache=False) for row in read] == rows, place
    assert num_refused > 100


def test_a_half_written_temporary_file_is_no_shard_is_named_and_removed(finished: Path) -> None:
    run, left = RunFolder(str(finished)), finished / "scored/.part-00000.parquet.1a2b3c4d.tmp"
    left.write_bytes(b"PAR1")
    assert list(find_faults(run)) == [(str(left), "was left by a run that was killed; annotate removes it")]
    run.remove_leftovers()
    assert list(find_faults(run)) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_folder_named_like_a_shard_is_named_and_left_alone(table: str, finished: Path) -> None:
    run, path = RunFolder(str(finished)), file_of(finished, table)
    path.unlink()
    (path / "keep").mkdir(parents=True)
    assert (str(path), "is named like a shard and is no file") in find_faults(run)
    with (
        pytest.raises(UnusableError, match=rf"Is a directory: .*{path}.*; move away what"),
        blaming_run_folder(run),
    ):
        run.write_shard(table, path.stem, TABLES[table], [], fingerprint="", counts={})
    assert run.leftovers() == [] and (path / "keep").exists()


def test_a_folder_named_like_a_shard_ends_the_run_with_one_line(workers_in_process: None, finished: Path) -> None:
    path = file_of(finished, "executed")
    path.unlink()
    path.mkdir()
    with pytest.raises(UnusableError, match=rf"run is {finished}; it cannot be .*{path}.*; move away what"):
        run_small_job(finished, RECIPE)


def test_a_link_to_a_folder_above_is_not_followed_round_and_round(finished: Path) -> None:
    (finished / "scored/round").symlink_to("..")
    (finished / "scored/.x.tmp").touch()
    run = RunFolder(str(finished))
    assert run.leftovers() == [str(finished / "scored/.x.tmp")]
    assert len(run.shards("scored")) == RECIPE.num_shards


@pytest.mark.parametrize("name", ["run.json", "ingest.json"])
@pytest.mark.parametrize("content", ["", '{"settings": {"tau'])
def test_what_the_run_was_made_with_cut_short_is_refused_by_name(name: str, content: str, finished: Path) -> None:
    (finished / name).write_text(content)
    with pytest.raises(ValueError, match=rf"^{finished}/{name} is not JSON \(.*\); delete it or use another `run`$"):
        RunFolder(str(finished)).read_json(name)


@pytest.mark.parametrize("told", [{"files": [], "readings": [], "tomorrow": 1}, {"readings": 3}])
def test_a_corpus_as_another_version_wrote_it_down_is_refused_by_name(told: object, finished: Path) -> None:
    run = RunFolder(str(finished))
    run.write_json("ingest.json", told)
    now = CorpusState(fingerprint="", files=[], shards={})
    with pytest.raises(ValueError, match=rf"^{finished}/ingest.json was written by another version; delete it"):
        settle_corpus(run, now, may_change=False, may_forget=False)


@pytest.mark.parametrize("content", ["", '{"state": "run', "3", '{"state": "running", "tomorrow": 1}'])
def test_progress_that_cannot_be_read_leaves_a_state_that_the_shards_tell(content: str, finished: Path) -> None:
    (finished / "progress.json").write_text(content)
    status = read_status(RunFolder(str(finished)), lambda _: None)
    assert [stage.shards_done for stage in status.stages] == [RECIPE.num_shards] * len(PIPELINE)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of its own whose options a test may change: `size=40k`, `ro`."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str) -> Path:
        more = "remount," if disk.is_mount() else ""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", more + options, "tmpfs", disk], capture_output=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
        return disk

    yield mount
    if disk.is_mount():
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_fills_up_ends_the_run_and_with_room_it_goes_on(
    workers_in_process: None, small_disk: Callable[[str], Path], undisturbed: Path
) -> None:
    folder = small_disk("size=64k") / "run"
    with pytest.raises(UnusableError, match=rf"run is {folder}; it cannot be .*No space left on device.*; make room"):
        run_small_job(folder, RECIPE)
    assert RunFolder(str(folder)).leftovers() == []
    small_disk("size=4m")
    assert make_all(folder).num_failed == 0
    assert read_rows(folder) == read_rows(undisturbed)


def write_drops(run: RunFolder) -> None:
    drop = make_row(Dropped, stage="ingest", reason="duplicate")
    run.write_shard("dropped/ingest", "part-00000", Dropped, [drop], fingerprint="", counts={})


WRITES: dict[str, Callable[[RunFolder], object]] = {
    "a shard": lambda run: run.write_shard("documents", "part-00000", Document, [], fingerprint="", counts={}),
    "what was dropped": write_drops,
    "run.json": lambda run: run.write_json("run.json", {}, is_lasting=True),
    "the lease": lambda run: hold_run(run, lambda _: None).__enter__(),
    "the folder": lambda run: run.create(),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_full_disk_is_blamed_and_nothing_half_written_is_left(write: str, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=16k")
    (disk / "filler").write_bytes(bytes(4 * 4096))
    run = RunFolder(str(disk / "run"))
    with pytest.raises(UnusableError, match="No space left on device.*; make room"), blaming_run_folder(run):
        WRITES[write](run)
    assert run.leftovers() == []


@pytest.mark.parametrize("write", WRITES)
def test_a_read_only_disk_is_blamed(write: str, small_disk: Callable[[str], Path]) -> None:
    run = RunFolder(str(small_disk("size=1m") / "run"))
    run.create()
    small_disk("ro")
    with pytest.raises(UnusableError, match="Read-only file system.*; make it writable"), blaming_run_folder(run):
        WRITES[write](run)


def test_a_run_on_a_read_only_disk_can_be_looked_at(small_disk: Callable[[str], Path], undisturbed: Path) -> None:
    folder = shutil.copytree(undisturbed, small_disk("size=4m") / "run")
    small_disk("ro")
    run = RunFolder(str(folder))
    assert list(find_faults(run)) == []
    assert read_status(run, lambda _: None).state == "finished"


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_changes_nothing(
    jump: float, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(1e9 + jump * step for step in range(1_000_000))
    monkeypatch.setattr("toolformer_ray.workflow.report.progress.time.time", lambda: next(clock))
    folder = tmp_path / "run"
    run = make_job(folder, RECIPE).run
    with hold_run(run, lambda _: None) as holder:
        make_all(folder)
        assert holder.beat() and holder.taken_by is None
        run.write_json("progress.json", run.read_json("progress.json") | {"state": "running"})
        assert read_status(run, lambda _: None).is_running
    assert run.read_json(LEASE_FILE) is None
    assert read_rows(folder) == read_rows(undisturbed)
