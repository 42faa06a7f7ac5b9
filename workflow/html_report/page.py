"""`toolformer report RUN --out FILE`: one HTML file about a run, which asks nothing of a network or a server.

Each panel answers one question with the SQL of docs/report.md. Texts are a sample of fixed size and numbers are counted
over all rows, so the file is as large for a run of a million calls as for one of a thousand.
"""

import contextlib
import importlib.resources
import time
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.locations import without_keys
from toolformer_ray.workflow.calls.opened import OpenedRun, open_for_looking
from toolformer_ray.workflow.html_report.markup import element, join, text
from toolformer_ray.workflow.html_report.panel import Panel, paragraph
from toolformer_ray.workflow.html_report.panels import about, counted, gains, looked_at

PANELS: tuple[Panel, ...] = (
    counted.PANELS["funnel"],
    gains.PANELS["yield"],
    gains.PANELS["thresholds"],
    looked_at.PANELS["texts"],
    about.PANELS["judged"],
    looked_at.PANELS["edges"],
    looked_at.PANELS["places"],
    counted.PANELS["inputs"],
    counted.PANELS["tools"],
    counted.PANELS["kinds"],
    about.PANELS["cost"],
    about.PANELS["settings"],
)
"""In the order in which they are read."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser asks nobody for anything, whatever a text of the run contains."""
_HATCH = Markup(
    '<svg width="0" height="0" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line y2="6" class="hatch"/></pattern></defs></svg>'
)


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Where the report is written."""

    out: Path
    """The HTML file to write; one that is there is replaced."""

    def __post_init__(self) -> None:
        if self.out.is_dir():
            raise OptionError("out", self.out, "it is a folder; name a file in it, such as report.html")
        if not self.out.parent.is_dir():
            raise OptionError("out", self.out, "its folder is not there")


def write_report(location: str, options: ReportOptions) -> int:
    """Write the report on a run and say where it is. Raises UnusableError if there is no run, or a table is damaged."""
    opened = open_for_looking(location, to_memory=True)
    page = render_page(opened)
    whole = options.out.with_name(f".{options.out.name}.tmp")
    try:
        whole.write_text(page, encoding="utf-8")
        whole.replace(options.out)
    finally:
        with contextlib.suppress(FileNotFoundError):
            whole.unlink()
    print(f"{options.out}: {len(PANELS)} panels, {len(page.encode()) / 1e6:.1f} MB; open it in a browser")
    return 0


SUMMARY = """
SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM scored WHERE is_kept),
       (SELECT coalesce(sum(num_calls), 0)::BIGINT FROM augmented), (SELECT count(*) FROM augmented)
"""


def render_page(opened: OpenedRun) -> str:
    """The page, as HTML."""
    links = join(element("a", panel.title, href=f"#{panel.key}") for panel in PANELS)
    body = join([_HATCH, _head(opened), element("nav", links), *(_section(opened, panel) for panel in PANELS)])
    script = element("script", Markup(_file("page.js")))  # noqa: S704 - a file of ours
    style = element("style", Markup(_file("page.css")))  # noqa: S704 - a file of ours
    told = Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">')
    head = told + Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(POLICY)
    title = element("title", text(f"{opened.run.shown}: toolformer report"))
    return Markup('<!doctype html>\n<html lang="en"><head>{}{}{}</head>\n<body>{}{}</body></html>\n').format(
        head, title, style, body, script
    )


def _head(opened: OpenedRun) -> Markup:
    shards = (
        f"{opened.num_shards:,} of {opened.num_shards_read:,} shards are through all stages; the page is about these."
    )
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    told = paragraph(f"{shards} Made {made}. Counts are of all rows, texts and lists a sample.")
    return element("header", element("h1", text(opened.run.shown)), paragraph(_summary(opened)), told)


def _summary(opened: OpenedRun) -> str:
    """What the run is, in two sentences."""
    settings = opened.made_with.get("settings", {})
    ((texts, kept, inserted, texts_with_calls),) = opened.ask(SUMMARY).rows
    tools = ", ".join(map(str, settings.get("tools", ())))
    return (
        f"The model {without_keys(str(settings.get('model')))} annotated {texts:,} texts with calls of {tools}; by the "
        f"filter {opened.filter}, {kept:,} calls were kept. C* has {inserted:,} of them, in {texts_with_calls:,} "
        "of the texts: of several calls at one place the one that helps most stays."
    )


def _section(opened: OpenedRun, panel: Panel) -> Markup:
    says = paragraph(panel.says, kind="says")
    return element("section", element("h2", panel.title), says, panel.content(opened), id=panel.key)


def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
