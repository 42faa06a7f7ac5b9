"""One shard at one stage, tried until it is done or given up, as the retry rule says (`jobs.driver.retry`).

A shard that has no attempt left is written without the rows that break it (`jobs.driver.isolation`), or put aside in
`failed/` if that does not help. It is tried again whenever the command is repeated.
"""

import asyncio
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray.exceptions import RayError

from toolformer_ray.jobs.driver.failures import GivenUpError, describe, unusable, what_happened
from toolformer_ray.jobs.driver.isolation import leave_out_broken_rows
from toolformer_ray.jobs.driver.retry import Tries, delay_after
from toolformer_ray.jobs.driver.splitting import NotToBlameError
from toolformer_ray.jobs.driver.worker import ShardTask
from toolformer_ray.jobs.driver.worker_pool import WorkerPool
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.shard.outputs import ShardReport
from toolformer_ray.workflow.shard.stage import Needs, Stage
from toolformer_ray.workflow.workers import WorkerOptions


class Attempts:
    """Has the workers of the pools do shards. All methods raise UnusableError if the run has to end."""

    def __init__(
        self,
        run: RunFolder,
        ledger: Ledger,
        pipeline: Sequence[Stage],
        pools: Mapping[Needs, WorkerPool],
        options: WorkerOptions,
    ) -> None:
        self._run, self._ledger, self._pipeline, self._pools, self._options = run, ledger, pipeline, pools, options

    async def next_shard(self, tries: Tries) -> ShardReport | None:
        """Have the next shard of documents written; None if the corpus has no more."""
        ingest, fingerprint = self._pipeline[0], self._ledger.ingest_fingerprint
        self._pools[ingest.needs].want(1)
        try:
            return await self._try(
                ingest, "", ingest.needs, tries, lambda actor: actor.next_shard.remote(ingest.name, fingerprint)
            )
        except GivenUpError as failed:
            raise UnusableError(f"the corpus cannot be read: {failed}") from failed

    async def do(self, shard: str, stage: Stage) -> ShardReport | None:
        """Do a shard at a stage; None if it failed each time and is put aside in `failed/`."""
        expected = self._ledger.expected(stage, shard)
        task = ShardTask(stage=stage.name, shard=shard, expected=expected, ask_again=self._ledger.ask_again)
        if report := await self._reuse(stage, task):
            return report
        self._want_workers_from(stage)
        tries = self.tries()
        try:
            return await self._work(stage, task, stage.needs, tries)
        except GivenUpError as failed:
            try:
                return await self._isolate(stage, task, failed)
            except NotToBlameError as reason:
                await self._put_aside(task, failed, tries, str(reason))
        return None

    def tries(self) -> Tries:
        """As many as the user wants."""
        return Tries(self._options.max_attempts, self._options.retry_delay)

    def _want_workers_from(self, stage: Stage) -> None:
        """Have workers opened for a stage and those after it, no more of a kind than there are shards to do.

        Workers are not opened earlier, so a run that turns out to be done, a corpus that cannot be read and a shard of
        which all can be reused load no model.
        """
        for following in self._pipeline[self._pipeline.index(stage) :]:
            self._pools[following.needs].want(max(1, self._ledger.num_open))

    async def _reuse(self, stage: Stage, task: ShardTask) -> ShardReport | None:
        """If an output for other settings may hold all that is needed, have a plain worker see, without a model."""
        if stage.needs == "cpu" or not self._ledger.may_reuse(stage, task.shard):
            return None
        self._pools["cpu"].want(1)
        try:
            return await self._work(stage, replace(task, only_reuse=True), "cpu", self.tries())
        except GivenUpError:
            return None

    async def _work(self, stage: Stage, task: ShardTask, needs: Needs, tries: Tries) -> ShardReport | None:
        def ask(actor: Any) -> Any:
            return actor.work.remote(replace(task, may_be_done=tries.total > 0))

        return await self._try(stage, task.shard, needs, tries, ask)

    async def _isolate(self, stage: Stage, task: ShardTask, failed: GivenUpError) -> ShardReport:
        """Have a shard that failed written without the rows that break it. Raises NotToBlameError."""

        async def ask(call: Callable[[Any], Any]) -> Any:
            # A trial that fails is an answer: only the loss of a node has it tried again.
            tries = Tries(1, self._options.retry_delay)
            return await self._try(stage, task.shard, stage.needs, tries, call)

        # A row is tried alone as often as a shard is, and with as much patience.
        pauses = [delay_after(number, self._options.retry_delay) for number in range(self._options.max_attempts)]
        return await leave_out_broken_rows(task, failed, ask, pauses)

    async def _put_aside(self, task: ShardTask, failed: GivenUpError, tries: Tries, reason: str) -> None:
        stage, shard, told = task.stage, task.shard, describe(failed.error)
        warn("shard_failed", stage=stage, shard=shard, attempt=tries.total, error=told)
        failure = {
            "stage": stage,
            "shard": shard,
            "attempts": tries.num_attempts,
            "error": without_keys(told),
            "not_without_some_rows": reason,
            "traceback": without_keys("".join(traceback.format_exception(failed.error))),
        }
        with blaming_run_folder(self._run):
            await asyncio.to_thread(self._run.write_json, f"failed/{stage}/{shard}.json", failure)

    async def _try(self, stage: Stage, shard: str, needs: Needs, tries: Tries, ask: Callable[[Any], Any]) -> Any:
        """Have a worker do something, again as often as the retry rule allows; else raise GivenUpError."""
        rank = (-self._pipeline.index(stage), shard)
        while True:
            try:
                return await self._pools[needs].call(rank, stage.name, ask)
            except RayError as error:
                verdict = tries.count(what_happened(error, is_users=not stage.reads))
                if verdict == "end_run":
                    raise unusable(error, self._run) from error
                if verdict != "retry":
                    raise GivenUpError(error, verdict) from error
                self._ledger.tried_again[stage.name] += 1
                warn("retry", stage=stage.name, shard=shard, attempt=tries.total, error=describe(error))
            await asyncio.sleep(tries.delay)
