"""Panels about the run itself: what people judged, what it cost, with what it was made."""

import json
from typing import Any

from markupsafe import Markup

from toolformer_ray.records.locations import without_keys
from toolformer_ray.workflow.calls.opened import OpenedRun
from toolformer_ray.workflow.html_report.markup import join, table
from toolformer_ray.workflow.html_report.panel import Panel, paragraph
from toolformer_ray.workflow.report.estimated import beside_estimate, read_estimate, tokens_read
from toolformer_ray.workflow.report.judgements import VERDICTS, describe_precision, precisions, read_judgements
from toolformer_ray.workflow.report.progress import PROGRESS_FILE, describe_seconds

ASKED = """
SELECT tool, count(*) FILTER (NOT from_cache AND coalesce(note, '') NOT IN ('not_asked', 'not_recorded')) AS asked,
       count(*) FILTER (from_cache) AS "known before", sum(seconds)::DOUBLE AS "seconds in the tool"
FROM scored GROUP BY tool ORDER BY tool
"""

CALLS = "SELECT tool, count(*), count(*) FILTER (is_kept) FROM scored GROUP BY tool"


def show_judged(opened: OpenedRun) -> Markup:
    """Precision per tool."""
    found = precisions(read_judgements(opened.run))
    if not found:
        return paragraph("Nobody has judged this run; toolformer review does it by keyboard.", kind="none")
    rows = [[row.tool, row.judged, row.right, row.wrong, row.useless, *describe_precision(row)] for row in found]
    return table(["tool", "judged", *VERDICTS, "precision", "95 %"], rows)


def show_cost(opened: OpenedRun) -> Markup:
    """Time by the driver's last report, and calls."""
    progress = _progress(opened)
    texts, rate = progress.get("finished_texts", 0), progress.get("texts_per_second", 0)
    rows = [
        ["state", progress.get("state", "not begun")],
        ["texts that are through", texts],
        ["texts read from the corpus", progress.get("texts", 0)],
        ["texts a second, since the driver was last started", rate],
        ["time that all of these texts take at this speed", describe_seconds(texts / rate) if rate else None],
        ["time that the run has worked, all its starts together", _worked(progress)],
        ["time left", describe_seconds(progress["seconds_left"]) if progress.get("seconds_left") else None],
        ["shards that failed", progress.get("failed_shards", 0)],
    ]
    tokens, asked = tokens_read(opened.run), opened.ask(ASKED)
    rows.append(["tokens through the model", tokens or "not counted"])
    shown = [table(["", "value"], rows), table(asked.columns, asked.rows)]
    estimate = read_estimate(opened.run)
    if estimate is None:
        told = "Nothing was estimated before: toolformer estimate --run does it."
        return join([*shown, paragraph(told, kind="none")])
    calls = {tool: (made, kept) for tool, made, kept in opened.ask(CALLS).rows}
    texts = opened.ask_one("SELECT count(*) FROM documents")
    compared = [list(row) for row in beside_estimate(estimate, texts, tokens, calls)]
    return join([*shown, table(["against the estimate", "estimated for all", "so far"], compared)])


def show_settings(opened: OpenedRun) -> Markup:
    """All options that decide rows, and versions."""
    settings, versions = opened.made_with.get("settings", {}), opened.made_with.get("versions", {})
    rows = [[name, without_keys(_shown(value))] for name, value in settings.items()]
    return join([table(["setting", "value"], rows), table(["package", "version"], [*versions.items()])])


def _progress(opened: OpenedRun) -> dict[str, Any]:
    try:
        progress = opened.run.read_json(PROGRESS_FILE)
    except ValueError:
        return {}  # It was cut short; the next one will be complete.
    return progress if isinstance(progress, dict) else {}


def _worked(progress: dict[str, Any]) -> str:
    seconds = progress.get("seconds_worked")
    return describe_seconds(seconds) if isinstance(seconds, int | float) else "not counted"


def _shown(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


PANELS = {
    "judged": Panel(
        key="judged",
        title="What people judged",
        says="Kept calls that someone looked at, and the share of right ones with Wilson's interval.",
        content=show_judged,
    ),
    "cost": Panel(
        key="cost",
        title="What it cost",
        says="Time, tokens, calls for which tools were asked, and the estimate that was made before.",
        content=show_cost,
    ),
    "settings": Panel(
        key="settings",
        title="Settings and versions",
        says="Everything that decides the run's rows; the same settings on the same corpus give the same rows.",
        content=show_settings,
    ),
}
