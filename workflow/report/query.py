"""`toolformer query RUN ["SQL"]`: the tables of a run in DuckDB, one view each.

A view reads the shards that are there when the query is made, so a run can be queried while it goes on. Files are
opened through the run folder's own file system, so `s3://` and `gs://` need no extension of DuckDB.
"""

import sys
from collections.abc import Collection, Iterable

import duckdb
import pyarrow.dataset

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RunFolder, shard_of
from toolformer_ray.records.schema import Record, arrow_schema
from toolformer_ray.records.stages import Dropped
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.answers import Form, write_answer
from toolformer_ray.workflow.report.judgements import Judgement

PROMPT, CONTINUED = "sql> ", "...> "
MAX_QUOTED_CHARS = 40
LEAVING = ("quit", "exit", "q", ".quit", ".exit", ".q", "\\q")
ASKING_FOR_HELP = ("help", ".help", "?", "\\?", "\\h")
LISTING = (".tables", "\\d", "\\dt")


def query_run(location: str, sql: str | None, form: Form = "table") -> int:
    """Answer one question, or as many as are typed. Raises ValueError for what DuckDB does not understand."""
    run = open_run(location)
    connection = duckdb.connect()
    if sql is None:
        _converse(run, connection, form)
        return 0
    if not _asks(sql):
        raise UnusableError("the question is empty; write SQL, such as SHOW TABLES, or leave it out for a prompt")
    try:
        _answer(run, connection, sql, form)
    except duckdb.Error as error:
        # What Arrow cannot read, and only that, comes back as invalid input; it is said which file that is.
        what = (
            "a table cannot be read" if isinstance(error, duckdb.InvalidInputException) else "the SQL is not understood"
        )
        raise ValueError(f"{what}: {_told(error)}") from error
    return 0


def open_tables(run: RunFolder, only: Collection[str] | None = None) -> dict[str, pyarrow.dataset.Dataset]:
    """Every table of a run by its name, and what people judged; one that has no shard yet has its columns and no rows.

    `only` names the shards to open, all if None.
    """

    def paths(table: str) -> list[str]:
        return [path for path in run.paths(table) if only is None or shard_of(path) in only]

    tables = {stage.table: open_table(run, stage.writes, paths(stage.table)) for stage in PIPELINE}
    dropped = open_table(run, Dropped, [path for stage in PIPELINE for path in paths(stage.drops_table)])
    judged = open_table(run, Judgement, run.paths(Judgement.table))
    return tables | {"dropped": dropped, Judgement.table: judged}


def open_table(run: RunFolder, record: type[Record], paths: Iterable[str]) -> pyarrow.dataset.Dataset:
    """Shards of a table by their paths, for DuckDB. A page that has rotted is an error when it is read, no row."""
    reading = pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
    parquet = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=reading)
    return pyarrow.dataset.dataset(list(paths), schema=arrow_schema(record), filesystem=run.filesystem, format=parquet)


def _answer(run: RunFolder, connection: duckdb.DuckDBPyConnection, sql: str, form: Form) -> None:
    for name, table in open_tables(run).items():
        connection.register(name, table)
    write_answer(connection.execute(sql), form, sys.stdout)


def _asks(sql: str) -> bool:
    """Whether there is a statement, and not only white space, semicolons and comments."""
    try:
        return bool(duckdb.extract_statements(sql))
    except duckdb.Error:
        return True  # What is wrong is told by the attempt to answer it.


def _converse(run: RunFolder, connection: duckdb.DuckDBPyConnection, form: Form) -> None:
    """Read questions until the end of the input; one may take several lines and ends with a semicolon."""
    import readline  # noqa: F401 - gives input() its history and cursor keys

    is_terminal = sys.stdin.isatty()
    if is_terminal:
        print(_help(run))
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
        command = lines[0].strip().rstrip(";").lower() if len(lines) == 1 else ""
        if command in LEAVING:
            return
        if command in ASKING_FOR_HELP or command in LISTING:
            print(_help(run))
            lines = []
        elif lines[-1].rstrip().endswith(";"):
            _reply(run, connection, "\n".join(lines), form)
            lines = []
    if any(line.strip() for line in lines):
        _reply(run, connection, "\n".join(lines), form)


def _help(run: RunFolder) -> str:
    tables = ", ".join([*(stage.table for stage in PIPELINE), "dropped", Judgement.table])
    return f"tables of {without_keys(run.shown)}: {tables}\nend a question with ; and the session with quit or Ctrl-D"


def _reply(run: RunFolder, connection: duckdb.DuckDBPyConnection, sql: str, form: Form) -> None:
    if not _asks(sql):
        return
    try:
        _answer(run, connection, sql, form)
    except duckdb.Error as error:
        print(_told(error), file=sys.stderr)


def _told(error: duckdb.Error) -> str:
    """The message in one line. DuckDB underlines the place in a line below; here the words from there on are quoted."""
    lines = str(error).splitlines()
    caret = next((number for number, line in enumerate(lines) if number and set(line.strip()) == {"^"}), None)
    if caret is None:
        return _joined(lines)
    line, _, _ = lines[caret - 1].partition(":")
    rest = lines[caret - 1][lines[caret].index("^") :].strip()
    place = f"at: {rest[:MAX_QUOTED_CHARS]}" if rest else "at its end"
    return f"{_joined([*lines[: caret - 1], *lines[caret + 1 :]])} ({line.lower()}, {place})"


def _joined(lines: Iterable[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())
