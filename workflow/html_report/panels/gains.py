"""Panels of what calls gain: yield with its interval, the histogram with a movable threshold, the false share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from toolformer_ray.losses.false_share import Chance
from toolformer_ray.workflow.calls.opened import OpenedRun
from toolformer_ray.workflow.html_report.charts import histogram, lines
from toolformer_ray.workflow.html_report.markup import answer_table, element, folded, join, table, text, written
from toolformer_ray.workflow.html_report.panel import Panel, paragraph
from toolformer_ray.workflow.totals import Total, estimate_total

YIELD = """
SELECT call.tool AS tool, count(*) AS calls, sum(call.loss_reduction) AS nats
FROM (SELECT text_id, unnest(calls) AS call FROM augmented) GROUP BY text_id, call.tool
"""
GAINS = """
SELECT tool, count(*) AS kept, avg(contrast) AS "nats against other answers",
       avg(coalesce(loss_reduction, loss_without - loss_in_place)) AS "nats against no call",
       avg((coalesce(loss_reduction, loss_without - loss_in_place) > 0)::INT) AS "share better than no call"
FROM scored WHERE is_kept GROUP BY tool ORDER BY tool
"""
EXAMPLES = """
SELECT tool, call_input AS input, result AS answer, loss_in_place AS "loss with it", decoys[1] AS "another answer",
       losses_of_decoys[1] AS "loss with that", contrast AS "contrast, with all other answers"
FROM scored WHERE is_kept AND len(decoys) > 0
QUALIFY row_number() OVER (PARTITION BY tool ORDER BY md5(text_id || char_offset || call_input), text_id) <= 2
ORDER BY tool, md5(text_id || char_offset || call_input), text_id
"""
WORTHS = "SELECT worth FROM calls WHERE worth IS NOT NULL AND NOT (strikes_future_inputs AND input_sees_future)"
DECOYS = """
SELECT least((list_sum(losses_of_decoys) - loss) / (len(losses_of_decoys) - 1) - loss, loss_without)::FLOAT AS worth
FROM (SELECT *, unnest(losses_of_decoys) AS loss FROM calls
      WHERE contrast IS NOT NULL AND len(losses_of_decoys) > 1 AND NOT (strikes_future_inputs AND input_sees_future))
WHERE TRUE
"""
COMPARED = """
SELECT tool, count(*), count(*) FILTER (contrast < 0) FROM calls
WHERE contrast IS NOT NULL AND NOT (strikes_future_inputs AND input_sees_future) GROUP BY tool
"""
FORMULA = (
    "Estimated false share = calls * share of decoys that would pass * knowing nothing / kept calls, where knowing "
    "nothing = share of answers with a contrast below 0 / share of decoys with one below 0, at most 1. A decoy's "
    "contrast is with the other decoys of its call."
)
MANY = 10**9
"""Texts of the corpus that the texts here are taken to be a sample of."""
BAR, STEP, SHOWN_STEP = 0.1, 0.01, 0.1
MAX_THRESHOLD, LOWEST_BAR = 5.0, -2.0
HIGHEST_THRESHOLD = 50.0
"""No slider goes further, whatever the run's threshold."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What each threshold would keep of one tool's calls."""

    tool: str
    thresholds: Sequence[float]
    kept: Sequence[int]
    decoys_passing: Sequence[int]
    decoys_to_a_call: float
    """How many decoys a call has on average; 0 without decoys."""
    false_share: Sequence[float | None]

    @property
    def columns(self) -> tuple[Sequence[float | None], ...]:
        """Threshold, calls, decoys, false share."""
        return self.thresholds, self.kept, self.decoys_passing, self.false_share


def show_yield(opened: OpenedRun) -> Markup:
    """Calls in C* and nats that they spare, per 1,000 texts."""
    num_texts = opened.ask_one("SELECT count(*) FROM documents")
    by_tool: dict[str, list[tuple[int, float]]] = {}
    for tool, calls, nats in opened.ask(YIELD).rows:
        by_tool.setdefault(tool, []).append((calls, nats))
    rows = []
    for tool, found in sorted(by_tool.items()):
        calls, nats = (per_1000([each[column] for each in found], num_texts) for column in (0, 1))
        rows.append([tool, calls.expected, _interval(calls), nats.expected, _interval(nats)])
    if not rows:
        return paragraph("No call is in C* so far.", kind="none")
    columns = ["tool", "calls per 1,000 texts", "95 %", "nats per 1,000 texts", "95 % "]
    return join([table(columns, rows), element("h3", "a kept call on average"), answer_table(opened.ask(GAINS))])


def per_1000(values: Sequence[float], num_texts: int) -> Total:
    """The sum over 1,000 texts like these, with the interval of `workflow.totals`; texts without a value count as 0."""
    told = [float(value) for value in values] + [0.0] * (num_texts - len(values))
    return estimate_total([(MANY, told)]) * (1000 / MANY)


def curves(opened: OpenedRun) -> list[Curve]:
    """Of each tool with judged calls, in steps of STEP from 0 to where nothing is kept, and to the run's threshold."""
    worths, decoys = _by_tool(opened, WORTHS), _by_tool(opened, DECOYS)
    compared = {tool: (calls, below) for tool, calls, below in opened.ask(COMPARED).rows}
    found = []
    for tool, reach in worths.items():
        top = min(MAX_THRESHOLD, float(reach[-1])) if len(reach) else 0.0
        top = max(top, 1.0, min(_threshold(opened, tool), HIGHEST_THRESHOLD))
        grid = np.arange(0, int(top / STEP) + 2) / round(1 / STEP)
        others = decoys.get(tool, np.array([], np.float32))
        kept = len(reach) - np.searchsorted(reach, grid.astype(np.float32))
        passing = len(others) - np.searchsorted(others, grid.astype(np.float32))
        calls, below = compared.get(tool, (0, 0))
        chance = {"calls": calls, "calls_below": below, "decoys": len(others)}
        chance["decoys_below"] = int(np.searchsorted(others, np.float32(0.0)))
        shares = [
            Chance(kept=int(one), decoys_passing=int(other), **chance).false_share
            for one, other in zip(kept, passing, strict=True)
        ]
        found.append(
            Curve(
                tool=tool,
                thresholds=grid.tolist(),
                kept=kept.tolist(),
                decoys_passing=passing.tolist(),
                decoys_to_a_call=len(others) / calls if calls else 0.0,
                false_share=shares,
            )
        )
    return found


def show_thresholds(opened: OpenedRun) -> Markup:
    """A histogram for each tool, a slider, and what the threshold keeps."""
    worths, found = _by_tool(opened, WORTHS), curves(opened)
    shown = []
    for curve in found:
        rule, threshold = opened.rules.get(curve.tool), _threshold(opened, curve.tool)
        cut_off = rule.pruning_bound(opened.made_with["settings"].get("prune-below")) if rule else None
        values = np.clip(worths[curve.tool], LOWEST_BAR, MAX_THRESHOLD - BAR / 2)
        places, counts = np.unique(np.floor(values / BAR + 1e-6), return_counts=True)
        bars = [(round(float(place) * BAR, 6), int(count)) for place, count in zip(places, counts, strict=True)]
        chart = histogram(bars, BAR, cut_off=cut_off, threshold=threshold, tool=curve.tool, axis="nats")
        pieces = (element("h3", text(curve.tool)), _slider(curve, threshold), chart, _drawn(curve))
        shown.append(element("div", *pieces, class_="tool"))
    if not found:
        return paragraph("No call has been judged so far.", kind="none")
    return join([*shown, _as_numbers(found), *_decoys(opened)])


def _decoys(opened: OpenedRun) -> Sequence[Markup]:
    """What calls were compared with, by example, and how chance is told from it."""
    answer = opened.ask(EXAMPLES)
    if not answer.rows:
        return []
    return [element("h3", "kept calls and what they were compared with"), answer_table(answer), paragraph(FORMULA)]


def _threshold(opened: OpenedRun, tool: str) -> float:
    rule = opened.rules.get(tool)
    return min(rule.least_values.values()) if rule else 0.0


def _slider(curve: Curve, threshold: float) -> Markup:
    at = min(len(curve.thresholds) - 1, max(0, round(threshold / STEP)))
    points = {"kept": curve.kept, "decoys": curve.decoys_passing, "share": curve.false_share}
    slider = {"type": "range", "min": 0, "max": len(curve.thresholds) - 1, "value": at, "step": 1}
    data = {"data_step": STEP, "data_curve": json.dumps(points)}
    told = element("output", f"at {curve.thresholds[at]:.2f} nats: {curve.kept[at]:,} calls", class_="live")
    return element("label", "threshold ", Markup("<input{}>").format(_attributes(slider | data)), told)


def _attributes(values: Mapping[str, object]) -> Markup:
    return join(Markup(' {}="{}"').format(name.replace("_", "-"), value) for name, value in values.items())


def _drawn(curve: Curve) -> Markup:
    """Calls and, where there are any, decoys by threshold."""
    drawn: dict[str, list[tuple[float, float]]] = {"calls": [*zip(curve.thresholds, curve.kept, strict=True)]}
    if any(curve.decoys_passing):
        per_call = [number / curve.decoys_to_a_call for number in curve.decoys_passing]
        drawn["decoys that would pass, for each decoy of a call"] = [*zip(curve.thresholds, per_call, strict=True)]
    return lines(drawn, axis="kept from this threshold on, nats")


def _as_numbers(found: Sequence[Curve]) -> Markup:
    """The curves in coarser steps, as far as a call is kept."""
    every = slice(0, None, round(SHOWN_STEP / STEP))
    rows = [
        [curve.tool, *row]
        for curve in found
        for row in zip(*(each[every] for each in curve.columns), strict=True)
        if row[1]
    ]
    return folded("as numbers", table(["tool", "threshold", "kept", "decoys that would pass", "false share"], rows))


def _by_tool(opened: OpenedRun, sql: str) -> dict[str, np.ndarray]:
    """What each tool's calls are worth, sorted, as float32. Asked tool by tool, so that no array of names is made."""
    found = {}
    for (tool,) in opened.ask("SELECT DISTINCT tool FROM scored ORDER BY tool").rows:
        worths = opened.connection.execute(f"{sql} AND tool = $tool", {"tool": tool}).fetchnumpy()["worth"]
        if len(worths):
            found[str(tool)] = np.sort(np.asarray(worths, np.float32))
    return found


def _interval(total: Total) -> str:
    return f"{written(total.low)} to {written(total.high)}"


PANELS = {
    "yield": Panel(
        key="yield",
        title="What 1,000 texts yield",
        says="Calls in C*, and by how many nats their answers lower the loss of the next tokens, against other answers "
        "or, with the filter paper, against none; per 1,000 texts, with the interval of a corpus of which these texts "
        "are a sample. Against no call at all a kept call may lose, although its answer helps: a model that has not "
        "learned to read calls is disturbed by one in a text. Fine-tuning on C* takes that away.",
        content=show_yield,
    ),
    "thresholds": Panel(
        key="thresholds",
        title="What another threshold would keep",
        says="A bar counts the calls that are worth so many nats: how much better the call's answer is than other "
        "answers (contrast), at most the loss without a call; with the paper's filter, the loss reduction. Hatched: "
        "calls were pruned there, so bars are too low. Decoys that would pass tell how many of the kept calls are "
        "kept by chance.",
        content=show_thresholds,
    ),
}
