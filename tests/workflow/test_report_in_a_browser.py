"""The page of `toolformer report` in a browser: what a person sees and moves, and that nobody is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, browser_page
from tests.support.small_run import write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.workflow.html_report.page import PANELS

SETTINGS = {
    "tools": ["calculator", "translation"],
    "filter": "decoys",
    "calculator.min-contrast": 1.0,
    "translation.min-contrast": 1.0,
}
LIVE = "document.querySelector('.tool .live').textContent"
THRESHOLD = "Number(document.querySelector('.tool .threshold').getAttribute('x1'))"
KEPT_BARS = "document.querySelectorAll('.tool .bar.kept').length"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    run = write_small_run(str(folder / "run"))
    run.write_json("run.json", {"settings": SETTINGS})
    assert main(["report", run.location, "--out", str(folder / "report.html")]) == 0
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with browser_page() as page:
        yield page


@pytest.fixture
def page(browser: Page, report: str) -> Page:
    browser.complaints.clear()
    browser.show_in(1280)
    browser.open(report)
    return browser


def test_every_panel_is_seen(page: Page) -> None:
    heights = "[...document.querySelectorAll('section')].map((one) => [one.id, one.getBoundingClientRect().height])"
    seen = dict(page.tell(heights))
    assert [*seen] == [panel.key for panel in PANELS]
    assert min(seen.values()) > 50


def test_moving_the_slider_by_key_changes_the_counts_the_line_and_the_bars(page: Page) -> None:
    # Kept at 1.00: the call of 2.5 nats; the one of 0.75 comes with 0.75 and less.
    assert page.tell(LIVE).startswith("at 1.00 nats: 1 calls")
    line, bars = page.tell(THRESHOLD), page.tell(KEPT_BARS)
    page.tell("document.querySelector('input[type=range]').focus()")
    for _ in range(25):
        page.press("ArrowLeft")
    assert page.tell(LIVE).startswith("at 0.75 nats: 2 calls")
    assert page.tell(THRESHOLD) < line
    page.press("Home")
    assert page.tell(LIVE).startswith("at 0.00 nats: 2 calls") and page.tell(KEPT_BARS) > bars


def test_no_request_leaves_and_the_browser_has_nothing_to_complain_of(page: Page, report: str) -> None:
    assert page.requests == [report]
    assert page.complaints == []


def test_a_request_of_a_page_would_be_noticed(page: Page, tmp_path: Path) -> None:
    asking = tmp_path / "asking.html"
    asking.write_text("<img src='http://127.0.0.1:1/a.png'>", encoding="utf-8")
    page.open(asking.as_uri())
    assert page.requests == [asking.as_uri(), "http://127.0.0.1:1/a.png"]


def test_the_browser_forbids_the_page_to_ask(page: Page) -> None:
    page.tell("document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:1/a.png' }))")
    page.wait_for("new Promise((go) => requestAnimationFrame(() => go(true)))")
    assert any("Content Security Policy" in one for one in page.complaints)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(width: int, page: Page) -> None:
    page.show_in(width)
    assert page.tell("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_dark_screen_gets_a_dark_page(page: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page.show_in(1280, dark=True)
    dark = page.tell(paper)
    page.show_in(1280)
    assert (page.tell(paper), dark) == ("rgb(255, 255, 255)", "rgb(20, 24, 31)")
