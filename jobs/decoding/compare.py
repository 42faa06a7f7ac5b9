"""`toolformer compare-results`: the differences between two results of `evaluate`, with intervals."""

from pathlib import Path

from toolformer_ray.evals.compare import Comparison, compare_results, compare_ways, differences, read_results
from toolformer_ray.evals.paired import Paired
from toolformer_ray.workflow.report.text_table import text_table


def compare(first: Path, second: Path | None = None) -> int:
    """Compare two results on the questions that both were asked, or the two ways of asking of one result.

    Parameters
    ----------
    first
        A Parquet file that `toolformer evaluate --out` wrote.
    second
        Another; without it, tools are compared with calls disabled, in the first.
    """
    found = compare_ways(read_results(first)) if second is None else compare_results(first, second)
    rows = [_row(each) for each in [*found, *_all_of(found)]]
    titles = ("calls disabled", "with tools") if second is None else ("first", "second")
    header = ["task", "way", "questions", *titles, "difference", "95 %", "only first right", "only second right", "p"]
    print(text_table(header, rows))
    if num_unshared := sum(each.num_unshared for each in found):
        print(f"questions that only one of the two was asked, and that do not count: {num_unshared:,}")
    for line in differences(first, second) if second else []:
        print(f"made with other {line}")
    return 0


def describe_difference(paired: Paired) -> tuple[str, str]:
    """The difference in percentage points, and its 95 % interval."""
    low, high = paired.interval
    return f"{100 * paired.difference:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"


def _all_of(found: list[Comparison]) -> list[Comparison]:
    """The benchmarks together, each question counted once, for each way that more than one of them has."""
    ways = dict.fromkeys(each.way for each in found)
    parts = {way: [each for each in found if each.way == way] for way in ways}
    return [
        Comparison(task="all", way=way, paired=sum((each.paired for each in of_way), Paired()), num_unshared=0)
        for way, of_way in parts.items()
        if len(of_way) > 1
    ]


def _row(each: Comparison) -> list[object]:
    paired = each.paired
    shares = [f"{share:.1%}" for share in (paired.share_first, paired.share_second)]
    differing = [paired.only_first, paired.only_second]
    return [
        *(each.task, each.way, paired.num_questions, *shares),
        *(*describe_difference(paired), *differing, paired.p_value),
    ]
