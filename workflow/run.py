"""A run, read in Python: its tables as Arrow, pandas and DuckDB, its kept calls, its status."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RUN_FILE
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.html_report.page import ReportOptions, write_report
from toolformer_ray.workflow.report.query import open_tables
from toolformer_ray.workflow.report.status import RunStatus, read_status

KEPT = """
SELECT text_id, documents.doc_id, call.tool, call.call_input, call.result, call.char_offset, call.loss_reduction,
       documents.text
FROM (SELECT text_id, unnest(calls) AS call FROM augmented) JOIN documents USING (text_id)
WHERE ? IS NULL OR call.tool = ?
ORDER BY call.loss_reduction DESC, text_id, call.char_offset
"""


class Run:
    """One run folder. Each question reads the shards that are there by then, so a run can be read while it works."""

    def __init__(self, location: str | Path) -> None:
        """`location`: a local path or a URI such as s3://bucket/runs/one. Raises UnusableError if no run is there."""
        self._folder = open_run(str(location))
        self.location = self._folder.shown
        """Where it is, without keys."""

    def __repr__(self) -> str:
        return f"Run({self.location!r})"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decided the rows, by the names of the command line, without secrets."""
        settings: Mapping[str, Any] = self._folder.read_json(RUN_FILE)["settings"]
        return settings

    @property
    def tables(self) -> Sequence[str]:
        """The names of its tables; their columns, with units, are in records/stages.py."""
        return list(open_tables(self._folder))

    def arrow(self, table: str) -> pa.Table:
        """All rows of a table. Raises UnusableError for a name that no table has."""
        known = open_tables(self._folder)
        if table not in known:
            raise UnusableError(f"a run has no table {table}; choose among {', '.join(known)}")
        return known[table].to_table()

    def pandas(self, table: str) -> Any:
        """All rows of a table as a pandas.DataFrame. Raises UnusableError for a name that no table has."""
        return self.arrow(table).to_pandas()

    def duckdb(self) -> DuckDBPyConnection:
        """A connection of its own to DuckDB, in memory, with the run's tables as views; nothing is read before it is
        asked for."""
        connection = duckdb.connect()
        for name, table in open_tables(self._folder).items():
            connection.register(name, table)
        return connection

    def kept(self, tool: str | None = None) -> pa.Table:
        """The calls of C*, those first that lower the loss most, of one tool (as named in calls) or of all.

        Columns: text_id, doc_id, tool, call_input, result, char_offset (in code points of the text), loss_reduction (in
        nats, as the run's filter measures it), text (as it was before the calls).
        """
        with self.duckdb() as connection:
            return cast("pa.Table", connection.sql(KEPT, params=[tool, tool]).to_arrow_table())

    def status(self) -> RunStatus:
        """How far it is, its yield, and its failures: what `toolformer status` shows."""
        return read_status(self._folder)

    def report(self, out: str | Path) -> Path:
        """Write the report of `toolformer report` to a file, and return its path."""
        write_report(self._folder.location, ReportOptions(out=Path(out)))
        return Path(out)
