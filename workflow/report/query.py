"""`toolformer query RUN ["SQL"]`: the tables of a run in DuckDB, one view each.

A view reads the shards that are there when the query is made, so a run can be queried while it goes on. Files are
opened through the run folder's own file system, so `s3://` and `gs://` need no extension of DuckDB.
"""

import sys
from collections.abc import Iterable

import duckdb
import pyarrow.dataset

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record, arrow_schema
from toolformer_ray.records.stages import Dropped
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.text_table import text_table

PROMPT, CONTINUED = "sql> ", "...> "
MAX_ROWS_SHOWN = 100
MAX_CELL_CHARS = 120


def query_run(location: str, sql: str | None) -> int:
    """Answer one question, or as many as are typed. Raises ValueError for what DuckDB does not understand."""
    run = open_run(location)
    connection = duckdb.connect()
    if sql is None:
        _converse(run, connection)
        return 0
    try:
        print(_answer(run, connection, sql))
    except duckdb.Error as error:
        # What Arrow cannot read, and only that, comes back as invalid input; it is said which file that is.
        what = (
            "a table cannot be read" if isinstance(error, duckdb.InvalidInputException) else "the SQL is not understood"
        )
        raise ValueError(f"{what}: {_first_line(error)}") from error
    return 0


def open_tables(run: RunFolder) -> dict[str, pyarrow.dataset.Dataset]:
    """Every table of a run by its name; one that has no shard yet has its columns and no rows."""
    dropped = [path for stage in PIPELINE for path in run.paths(stage.drops_table)]
    tables = {stage.table: open_table(run, stage.writes, run.paths(stage.table)) for stage in PIPELINE}
    return tables | {"dropped": open_table(run, Dropped, dropped)}


def open_table(run: RunFolder, record: type[Record], paths: Iterable[str]) -> pyarrow.dataset.Dataset:
    """Shards of a table by their paths, for DuckDB. A page that has rotted is an error when it is read, no row."""
    reading = pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
    parquet = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=reading)
    return pyarrow.dataset.dataset(list(paths), schema=arrow_schema(record), filesystem=run.filesystem, format=parquet)


def _answer(run: RunFolder, connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    for name, table in open_tables(run).items():
        connection.register(name, table)
    result = connection.execute(sql)
    if not result.description:
        return "done"
    columns = [column[0] for column in result.description]
    rows = result.fetchmany(MAX_ROWS_SHOWN + 1)
    shown = text_table(columns, [[_shorten(value) for value in row] for row in rows[:MAX_ROWS_SHOWN]])
    return f"{shown}\nonly the first {MAX_ROWS_SHOWN} rows" if len(rows) > MAX_ROWS_SHOWN else shown


def _converse(run: RunFolder, connection: duckdb.DuckDBPyConnection) -> None:
    """Read questions until the end of the input; one may take several lines and ends with a semicolon."""
    import readline  # noqa: F401 - gives input() its history and cursor keys

    is_terminal = sys.stdin.isatty()
    if is_terminal:
        tables = ", ".join([*(stage.table for stage in PIPELINE), "dropped"])
        print(f"tables: {tables}; end a question with ; and the session with Ctrl-D")
    lines: list[str] = []
    while True:
        try:
            lines.append(input((CONTINUED if lines else PROMPT) if is_terminal else ""))
        except EOFError:
            break
        except KeyboardInterrupt:
            print()
            lines = []
            continue
        if not lines[-1].rstrip().endswith(";"):
            continue
        _reply(run, connection, "\n".join(lines))
        lines = []
    if any(line.strip() for line in lines):
        _reply(run, connection, "\n".join(lines))


def _reply(run: RunFolder, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    try:
        print(_answer(run, connection, sql))
    except duckdb.Error as error:
        print(_first_line(error), file=sys.stderr)


def _shorten(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    # One row is one line: white space that would break it is written as Python does.
    written = repr(value)[1:-1] if isinstance(value, str) else str(value)
    return written if len(written) <= MAX_CELL_CHARS else written[: MAX_CELL_CHARS - 1] + "…"


def _first_line(error: duckdb.Error) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())
