"""`toolformer finetune`, also `python -m jobs.finetune_model`: C* goes in, a model that calls tools comes out.

The texts are chosen and tokenised here, written into the folder of the result, and read there by the workers that Ray
Train starts. Typed again on the same folder it resumes from the last checkpoint.
"""

import contextlib
import datetime
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from toolformer_ray.finetune.choose import Choice, ChooseOptions, choose
from toolformer_ray.finetune.model_card import CARD_FILE, TOOLS_FILE, render_card
from toolformer_ray.finetune.options import TrainOptions
from toolformer_ray.finetune.result_folder import (
    RESULT_FILE,
    STATE_FILE,
    refuse_foreign_folder,
    refuse_other_fine_tuning,
)
from toolformer_ray.jobs.driver.cluster import ray_session
from toolformer_ray.jobs.driver.failures import describe
from toolformer_ray.jobs.driver.interrupts import SECONDS_TO_END, Interrupted, Interrupts
from toolformer_ray.jobs.training.beside import run_beside
from toolformer_ray.records.errors import OptionError, UnusableError, one_line
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.whole_json import write_json
from toolformer_ray.tools.brought.declared import places_of_declared
from toolformer_ray.workflow.model_files import ModelFiles, look_at_model
from toolformer_ray.workflow.paths import refuse_lost_output
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.workers import WorkerOptions

SECONDS_BETWEEN_LINES = 10.0
BFLOAT16_IS_SLOW = "many CPUs are ten times slower in bfloat16: float32 is chosen by --dtype float32"
NO_PACKING = "every text has a row of its own: this model would read the texts of one row as a single text"


@dataclass(frozen=True, kw_only=True)
class TrainWorkerOptions:
    """How the training is spread. The result is the same, up to rounding."""

    num_workers: int = 1
    """Processes that train together, one GPU each with --device cuda."""
    device: str = "cpu"
    """Where they train: cpu or cuda."""
    threads_per_worker: int = 1
    """CPU threads of each."""
    max_failures: int = 3
    """How often training goes on from the last checkpoint after a worker died."""
    address: str | None = None
    """The Ray cluster to run on; by default RAY_ADDRESS, else a Ray of its own."""

    def __post_init__(self) -> None:
        for name, least in (("num_workers", 1), ("threads_per_worker", 1), ("max_failures", 0)):
            if getattr(self, name) < least:
                raise OptionError(name, getattr(self, name), f"it must be at least {least}")
        if self.device not in ("cpu", "cuda"):
            raise OptionError("device", self.device, "it must be cpu or cuda")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """One fine-tuning: on which texts, how, and by how many workers."""

    choice: Annotated[ChooseOptions, Parameter(name="*", group="Texts to learn from", consume_multiple=True)]
    training: Annotated[TrainOptions, Parameter(name="*")]
    workers: Annotated[TrainWorkerOptions, Parameter(name="*", group="Workers")] = field(
        default_factory=TrainWorkerOptions
    )


def finetune(options: FinetuneOptions) -> int:
    """Fine-tune and print the losses; the exit code: 0, or 130 or 143 if stopped.

    Raises ValueError, one line, for what the user has to change.
    """
    with Interrupts(seconds_to_end=SECONDS_TO_END) as interrupts:
        try:
            _finetune(options, interrupts)
        except Interrupted:
            print("stopped; run the same command again to go on from the last checkpoint", file=sys.stderr)
            return interrupts.exit_code
    return 0


def _finetune(options: FinetuneOptions, interrupts: Interrupts) -> None:
    choice, training, workers = options.choice, options.training, options.workers
    training.gradient_accumulation_steps(workers.num_workers)
    refuse_lost_output(training.out, choice.run)
    refuse_foreign_folder(training, choice.run)
    out = Path(training.out).absolute()
    if Path(training.model).exists():
        # The workers work in another folder, where a relative path would lead elsewhere.
        training = replace(training, model=str(Path(training.model).absolute()))
    model = look_at_model(training.model)
    training.check_window(model.window)
    _begin(out, choice, training, model)
    if (out / RESULT_FILE).exists():
        print(f"the fine-tuning in {training.out} was finished before; nothing was trained", file=sys.stderr)
    else:
        _train(out, training, workers, interrupts)
    result = json.loads((out / RESULT_FILE).read_bytes())
    provenance = json.loads((out / STATE_FILE).read_bytes())
    (out / CARD_FILE).write_text(render_card(training, provenance, result), encoding="utf-8")
    taught: dict[str, Any] = {"tools": sorted(provenance["num_calls"])}
    if places := places_of_declared(choice.run, taught["tools"]):
        taught["places"] = places
    (out / TOOLS_FILE).write_text(json.dumps(taught, indent=2), encoding="utf-8")
    _print_losses(result, training)


def _begin(out: Path, choice_options: ChooseOptions, options: TrainOptions, model: ModelFiles) -> None:
    """Choose and tokenise, unless an earlier call has. Raises ValueError if that one was another fine-tuning."""
    from toolformer_ray.finetune.texts_file import TrainingTexts, write_texts
    from toolformer_ray.finetune.tokens import shorten, tokenise

    identity = _identity(choice_options, options, model)
    state = out / STATE_FILE
    if state.exists():
        refuse_other_fine_tuning(options, identity)
        return
    tokenizer = model.tokenizer
    choice = choose(choice_options)
    texts, num_cut = shorten((tokenise(e, tokenizer, tokenizer.end_ids) for e in choice.examples), options.max_length)
    held_out, _ = shorten((tokenise(e, tokenizer, tokenizer.end_ids) for e in choice.held_out), options.max_length)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_texts(out, TrainingTexts(texts=texts, held_out=held_out))
        write_json(state, {"fingerprint": identity, **_provenance(choice, choice_options)})
    except OSError as error:
        raise OptionError("out", options.out, f"it cannot be written ({one_line(error)})") from error
    calls = ", ".join(f"{tool} {number:,}" for tool, number in choice.num_calls.items()) or "none"
    print(f"{len(texts):,} texts to learn from ({num_cut:,} cut), {len(held_out):,} held out; calls: {calls}")


def _identity(choice_options: ChooseOptions, options: TrainOptions, model: ModelFiles) -> str:
    """A hash of all that decides the result: the options, the model's files, the rows of the runs."""
    runs = [RunFolder(location) for location in choice_options.run]
    rows = [
        {shard: header.content for shard, header in run.headers(table).by_shard.items()}
        for run in runs
        for table in ("documents", "scored")
    ]
    return fingerprint(asdict(choice_options), {**asdict(options), "out": None}, model.fingerprint, rows)


def _provenance(choice: Choice, options: ChooseOptions) -> dict[str, Any]:
    return {
        "chosen_by": asdict(options),
        "num_texts": len(choice.examples),
        "num_without_calls": sum(not example.calls for example in choice.examples),
        "num_held_out": len(choice.held_out),
        "num_calls": choice.num_calls,
    }


def _train(out: Path, options: TrainOptions, workers: TrainWorkerOptions, interrupts: Interrupts) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    use_gpu = workers.device == "cuda"
    if not use_gpu and options.dtype == "bfloat16":
        print(BFLOAT16_IS_SLOW, file=sys.stderr)
    session = WorkerOptions(
        address=workers.address, model_workers=workers.num_workers, threads_per_worker=workers.threads_per_worker
    )
    with contextlib.ExitStack() as stack:
        with interrupts.deferred():
            stack.enter_context(ray_session(session, on_gpu=use_gpu))
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={"out": str(out), "options": asdict(options), "workers": asdict(workers)},
            scaling_config=ScalingConfig(
                num_workers=workers.num_workers,
                use_gpu=use_gpu,
                resources_per_worker={"CPU": workers.threads_per_worker, **({"GPU": 1} if use_gpu else {})},
            ),
            run_config=RunConfig(
                name="ray_train", storage_path=str(out), failure_config=FailureConfig(max_failures=workers.max_failures)
            ),
        )
        try:
            with printing_progress(out, options):
                run_beside(trainer.fit)
        except TrainingFailedError as error:
            causes = getattr(error, "worker_failures", None) or {0: error}
            raise UnusableError(f"the training failed: {describe(next(iter(causes.values())))}") from error


@contextlib.contextmanager
def printing_progress(out: Path, options: TrainOptions) -> Iterator[None]:
    """Print to stderr, every few seconds and at the end, how far the workers are, and once that they pack no rows."""
    from toolformer_ray.finetune.progress import read_progress

    ended, before = threading.Event(), read_progress(out)

    def tell() -> None:
        told, is_over, is_packing_told = before, False, False
        while not is_over:
            is_over = ended.wait(SECONDS_BETWEEN_LINES)
            now = read_progress(out)
            if not now or now == told:
                continue
            if not (now.shares_rows or is_packing_told):
                is_packing_told = True
                print(NO_PACKING, file=sys.stderr)
            left = datetime.timedelta(seconds=round((options.max_steps - now.step) * now.seconds_per_step))
            pace = f"{now.seconds_per_step:.1f} s a step; {left} left"
            print(f"step {now.step:,} of {options.max_steps:,}; loss {now.loss:.3f}; {pace}", file=sys.stderr)
            told = now

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def _train_worker(config: dict[str, Any]) -> None:
    """Train in one worker; Ray Train has made its process part of a torch process group."""
    import ray.train
    import torch

    from toolformer_ray.finetune.texts_file import read_texts
    from toolformer_ray.finetune.train import train

    workers = TrainWorkerOptions(**config["workers"])
    torch.set_num_threads(workers.threads_per_worker)
    out = Path(config["out"])
    options = TrainOptions(**{**config["options"], "out": config["out"]})
    result = train(options, read_texts(out), num_workers=workers.num_workers, use_gpu=workers.device == "cuda")
    if ray.train.get_context().get_world_rank() == 0:
        write_json(out / RESULT_FILE, asdict(result))


def _print_losses(result: dict[str, Any], options: TrainOptions) -> None:
    losses = dict(result["losses"])
    rows = [[step, f"{losses.get(step, float('nan')):.3f}", f"{value:.2f}"] for step, value in result["perplexities"]]
    print(text_table(["step", "loss", "perplexity of held-out texts"], rows))
    best = f", the best is of step {result['best_step']:,}" if result["best_step"] else ""
    print(f"{options.max_steps:,} steps{best}; the model is in {options.out}")
