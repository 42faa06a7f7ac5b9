"""The commands by which people look at the calls of a run and judge them, as functions of what is typed."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def report(run: str, *, out: Path) -> int:
    """Write a report on a run.

    Parameters
    ----------
    run
        The run folder.
    out
        The HTML file to write; it needs no network and no server.
    """
    from toolformer_ray.workflow.html_report.page import ReportOptions, write_report

    return write_report(run, ReportOptions(out=out))


def show(
    run: str,
    *,
    tool: str | None = None,
    rejected: bool = False,
    near: bool = False,
    text: str | None = None,
    number: int = 10,
    svg: Path | None = None,
) -> int:
    """Show calls of a run in their texts.

    Parameters
    ----------
    run
        The run folder.
    tool
        Only calls of this tool, by its name in calls or on the command line: `Calculator` or `calculator`.
    rejected
        Show calls that were answered and not kept.
    near
        Show the calls that were kept or missed by the least.
    text
        Show one text with all its calls, by its `text_id` or `doc_id`.
    number
        How many calls are shown at most.
    svg
        An SVG file to write: a picture of what is shown.
    """
    from toolformer_ray.workflow.calls.show import ShowOptions, show_calls

    return show_calls(run, ShowOptions(tool=tool, rejected=rejected, near=near, text=text, number=number, svg=svg))


def review(run: str, *, sample: int = 50, tool: str | None = None, page: bool = False) -> int:
    """Judge kept calls of a run, one key each; run it again to go on.

    Parameters
    ----------
    run
        The run folder; what is judged is written to its table `judgements`.
    sample
        How many kept calls there are to judge, those judged before included; they are the same ones each time.
    tool
        Only calls of this tool, by its name in calls or on the command line: `Calculator` or `calculator`.
    page
        Judge in a browser of this machine, with the same keys, instead of the terminal.
    """
    from toolformer_ray.workflow.calls.review import ReviewOptions, review_calls

    options = ReviewOptions(sample=sample, tool=tool)
    if page:
        from toolformer_ray.workflow.calls.review_page import review_in_page

        return review_in_page(run, options)
    return review_calls(run, options)


def card(run: str, *, licence: Annotated[str | None, Parameter(name="--license")] = None) -> int:
    """Write the data card of a run.

    Parameters
    ----------
    run
        The run folder, in which the card is README.md.
    licence
        The licence of the corpus, by the name that hubs know it by, such as `cc-by-sa-4.0`.
    """
    from toolformer_ray.workflow.publish.card import CardOptions, write_card

    return write_card(run, CardOptions(licence=licence))


def push(
    run: str,
    repo: str,
    *,
    licence: Annotated[str | None, Parameter(name="--license")] = None,
    private: bool = False,
) -> int:
    """Send C* and its card to the Hugging Face Hub.

    Parameters
    ----------
    run
        The run folder.
    repo
        The repository of data sets, as OWNER/NAME; it is made if it is not there.
    licence
        The licence of the corpus, by the name that hubs know it by, such as `cc-by-sa-4.0`.
    private
        Make the repository one that only its owner sees, if it is not there.
    """
    from toolformer_ray.workflow.publish.card import CardOptions
    from toolformer_ray.workflow.publish.push import PushOptions, push_run

    return push_run(run, PushOptions(repository=repo, private=private, card=CardOptions(licence=licence)))
