"""A run opened for looking at its calls: its tables in DuckDB, and the rules by which its tools' calls were judged.

Only shards that are through all stages are opened, so that every table is about the same texts, also while a run works.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset

from toolformer_ray.losses.options import FilterName
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.errors import UnusableError, one_line
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.brought.declared import tools_known_to
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.query import open_tables

WORTH: Mapping[FilterName, str] = {
    "paper": "loss_reduction",
    # DuckDB's least() passes over NULL, so a call without decoys would be worth its L(epsilon).
    "decoys": "CASE WHEN contrast IS NOT NULL THEN least(contrast, loss_without) END",
    "both": "CASE WHEN contrast IS NOT NULL THEN least(contrast, loss_without) END",
}
"""By filter, the highest threshold at which a call of `scored` would be kept; NULL if at none."""
LEFT_OUT: Mapping[str, Collection[str]] = {"documents": (), "scored": (), "augmented": ("text",), "dropped": ()}
"""Tables that are read into memory for many questions, without these columns: to open thousands of files takes longer
than to answer. The text of C* is that of the document with its calls."""
CALLS = """
CREATE TEMP VIEW calls AS
SELECT scored.*, {worth} AS worth, coalesce(loss_reduction, loss_without - loss_in_place) AS gain,
       list_avg(losses_of_decoys) AS loss_with_decoys, threshold,
       coalesce(strikes_future_inputs, FALSE) AS strikes_future_inputs
FROM scored LEFT JOIN rules USING (tool)
"""
"""A row per scored call, with what it is worth to the filter, the least worth that keeps it, and what it gains against
no call at all."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a question in SQL brought."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run whose tables can be asked."""

    run: RunFolder
    connection: duckdb.DuckDBPyConnection
    made_with: Mapping[str, Any]
    """The content of run.json."""
    rules: Mapping[str, KeepRule]
    """By a tool's name in calls. Tools that are not here any more, or whose thresholds nobody wrote, have none."""
    num_shards: int
    """Shards that are through all stages; of these are the rows."""
    num_shards_read: int
    """Shards that were made of the corpus so far."""

    @property
    def filter(self) -> FilterName:
        """By which filter calls were judged."""
        name: FilterName = self.made_with.get("settings", {}).get("filter", "paper")
        return name if name in WORTH else "paper"

    def ask(self, sql: str, **values: object) -> Answer:
        """Answer a question. Raises UnusableError if a file of the run cannot be read."""
        try:
            result = self.connection.execute(sql, values or None)
            return Answer(columns=[column[0] for column in result.description or ()], rows=result.fetchall())
        except (duckdb.InvalidInputException, duckdb.IOException, pa.ArrowException, OSError) as error:
            remedy = "`toolformer verify` tells which file it is, and annotate makes it again"
            raise UnusableError(f"a table of {self.run.shown} cannot be read ({one_line(error)}); {remedy}") from error

    def ask_one(self, sql: str, **values: object) -> Any:
        """The single value of an answer."""
        ((value,),) = self.ask(sql, **values).rows
        return value


def open_for_looking(location: str, *, to_memory: bool = False) -> OpenedRun:
    """Open a run. With `to_memory` its calls are read once and not at every question.

    Raises UnusableError if there is no run.
    """
    run = open_run(location)
    connection = duckdb.connect()
    through = set(run.shards(PIPELINE[-1].table))
    made_with = run.read_json(RUN_FILE)
    opened = OpenedRun(
        run=run,
        connection=connection,
        made_with=made_with,
        rules=dict(_rules(made_with)),
        num_shards=len(through),
        num_shards_read=len(run.shards(Document.table)),
    )
    for name, table in open_tables(run, through).items():
        if to_memory and name in LEFT_OUT:
            _copy(opened, name, table)
        else:
            connection.register(name, table)
    connection.register("rules", _rule_table(opened))
    opened.ask(CALLS.format(worth=WORTH[opened.filter]))
    return opened


def _copy(opened: OpenedRun, name: str, table: pyarrow.dataset.Dataset) -> None:
    """Read a table into memory. Arrow is not to remember the footer of each file, which is up to 100 kB a shard."""
    columns = [column for column in table.schema.names if column not in LEFT_OUT[name]]
    rows = table.scanner(columns=columns, cache_metadata=False).to_reader()
    opened.connection.register("rows_on_disk", rows)
    opened.ask(f"CREATE TEMP TABLE {name} AS SELECT * FROM rows_on_disk")  # noqa: S608 - a name of ours
    opened.connection.unregister("rows_on_disk")


def _rule_table(opened: OpenedRun) -> pa.Table:
    thresholds = [min(rule.least_values.values()) for rule in opened.rules.values()]
    strikes = [rule.strikes_future_inputs for rule in opened.rules.values()]
    columns = {"tool": list(opened.rules), "threshold": thresholds, "strikes_future_inputs": strikes}
    types = {"tool": pa.string(), "threshold": pa.float32(), "strikes_future_inputs": pa.bool_()}
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
    return pa.table(columns, schema=schema)


def _rules(made_with: Mapping[str, Any]) -> Sequence[tuple[str, KeepRule]]:
    """The rules of the run's tools, as far as its settings tell them."""
    found, known, settings = [], tools_known_to(made_with), made_with.get("settings", {})
    for key in settings.get("tools", ()):
        tool = known.get(key)
        try:
            if tool:
                found.append((tool.name, KeepRule.of_settings(settings, key, tool)))
        except (KeyError, ValueError):
            continue  # The run was made by another version; what it kept is in its rows.
    return found
