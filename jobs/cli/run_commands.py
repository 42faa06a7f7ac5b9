"""The commands that look at a run, and the one that makes an index, as functions of what is typed."""

from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from toolformer_ray.records.errors import UnusableError

if TYPE_CHECKING:
    from toolformer_ray.workflow.report.answers import Form


def status(run: str, *, watch: float | bool = False, json: bool = False) -> int:
    """Show how far a run is.

    Parameters
    ----------
    run
        The run folder.
    watch
        Show it again until the run ends: `--watch` every 5 seconds, `--watch 60` every 60; Ctrl-C ends only the watch.
    json
        Print one JSON object, for scripts; with --watch one a line.
    """
    from toolformer_ray.workflow.report.show import StatusOptions, show_status

    return show_status(run, StatusOptions(watch=watch, json=json))


def query(
    run: str,
    sql: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    *,
    full: bool = False,
    csv: bool = False,
    json: bool = False,
) -> int:
    """Answer a question about a run's tables.

    Parameters
    ----------
    run
        The run folder.
    sql
        The question; without one, a prompt.
    full
        Show all rows, and cells to their ends.
    csv
        Write all rows as CSV.
    json
        Write all rows as JSON, one object a line.
    """
    from toolformer_ray.workflow.report.query import query_run

    chosen = [name for name, is_chosen in (("full", full), ("csv", csv), ("json", json)) if is_chosen]
    if len(chosen) > 1:
        raise UnusableError(f"{' and '.join(f'`{name}`' for name in chosen)} were given; choose one of them")
    return query_run(run, sql, cast("Form", chosen[0] if chosen else "table"))


def verify(run: str) -> int:
    """Check a run that has ended.

    Parameters
    ----------
    run
        The run folder.
    """
    from toolformer_ray.workflow.verify.check import verify_run

    return verify_run(run)


def build_index(passages: str, index: str, *, title_column: str = "title", text_column: str = "text") -> int:
    """Make an index of passages.

    Parameters
    ----------
    passages
        File with a title and a text column: .jsonl, .tsv, .csv (plain, .gz or .zst) or .parquet.
    index
        The folder to make; an index that is there is replaced.
    title_column
        The column that holds the titles.
    text_column
        The column that holds the texts.
    """
    from toolformer_ray.tools.backends.passage_index import build_index as build

    num_passages = build(passages, index, title_column=title_column, text_column=text_column)
    print(f"{num_passages:,} passages in {index}")
    return 0
