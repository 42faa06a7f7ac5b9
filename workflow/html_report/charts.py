"""Charts as inline SVG: bars over a threshold, lines, a map of numbers.

Written here and not by a plotting library: those that embed themselves bring 0.8 to 5 MB of script and a dependency of
tens of megabytes, for three kinds of charts of at most some hundred marks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from toolformer_ray.workflow.html_report.markup import element, join

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 34
LEAST_BAR = 2
"""The height of a bar that would be lower."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to places on the paper, in both directions."""

    low: float
    high: float
    top: float
    """The largest value upwards; the lowest is 0."""

    def x(self, value: float) -> float:
        """How far to the right."""
        span = max(self.high - self.low, 1e-9)
        return round(LEFT + (value - self.low) / span * (WIDTH - LEFT - RIGHT), 2)

    def y(self, value: float) -> float:
        """How far down."""
        return round(HEIGHT - BOTTOM - value / max(self.top, 1e-9) * (HEIGHT - TOP - BOTTOM), 2)


def histogram(
    counts: Sequence[tuple[float, int]], width: float, *, cut_off: float | None, threshold: float, tool: str, axis: str
) -> Markup:
    """Bars of this width from (where a bar begins, its height), with the threshold as a line that a script moves.

    Left of `cut_off` the bars are lower than they would be, since calls were pruned there: that part is hatched.
    """
    low = min([start for start, _ in counts], default=0.0)
    high = max([start + width for start, _ in counts], default=1.0)
    scale = Scale(low=low, high=max(high, threshold), top=max([count for _, count in counts], default=1))
    bars = join(_bar(scale, start, width, count, start + 1e-9 >= threshold) for start, count in counts)
    pruned = _hatched(scale, cut_off) if cut_off is not None and cut_off > low else Markup("")
    at = scale.x(threshold)
    line = element("line", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM, class_="threshold")
    return _chart(
        join([pruned, _axes(scale, axis), bars, line]),
        data_tool=tool, data_low=scale.low, data_high=scale.high, data_left=LEFT, data_right=WIDTH - RIGHT,
    )  # fmt: skip


def lines(curves: Mapping[str, Sequence[tuple[float, float]]], *, axis: str) -> Markup:
    """One line for each name, in its own style, and a legend."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return Markup("")
    top = max(y for _, y in points)
    scale = Scale(low=min(x for x, _ in points), high=max(x for x, _ in points), top=top)
    drawn = []
    for number, (name, curve) in enumerate(curves.items()):
        path = " ".join(f"{scale.x(x)},{scale.y(y)}" for x, y in curve)
        drawn.append(element("polyline", points=path, class_=f"curve c{number}"))
        drawn.append(element("text", name, x=WIDTH - RIGHT, y=TOP + 14 + 17 * number, class_=f"legend end c{number}"))
    return _chart(join([_axes(scale, axis), *drawn]))


def number_map(cells: Sequence[tuple[float, float, int]], size: tuple[float, float], *, axis: str, up: str) -> Markup:
    """A field for each (x, y, number) of this size, the darker the larger its number, on a logarithmic scale."""
    if not cells:
        return Markup("")
    low, high = min(x for x, *_ in cells), max(x for x, *_ in cells) + size[0]
    top, most = max(y for _, y, _ in cells) + size[1], max(number for *_, number in cells)
    scale = Scale(low=low, high=high, top=top)
    fields = []
    for x, y, number in cells:
        shade = 0.12 + 0.88 * math.log1p(number) / math.log1p(most)
        told = element("title", f"places: {number:,}")
        width, height = scale.x(x + size[0]) - scale.x(x), scale.y(y) - scale.y(y + size[1])
        at = {"x": scale.x(x), "y": scale.y(y + size[1]), "width": round(width, 2), "height": round(height, 2)}
        fields.append(element("rect", told, class_="field", fill_opacity=f"{shade:.2f}", **at))
    name = element("text", up, x=LEFT + 6, y=TOP + 12, class_="axis")
    return _chart(join([_axes(scale, axis), *fields, name]))


def _bar(scale: Scale, start: float, width: float, count: int, is_kept: bool) -> Markup:  # noqa: FBT001
    told = element("title", f"{start:.2f} to {start + width:.2f}: {count:,}")
    # The few calls that are kept are seen beside the many that are not.
    right, y = scale.x(start + width), min(scale.y(count), HEIGHT - BOTTOM - LEAST_BAR)
    at = {"x": scale.x(start), "y": y, "width": max(1, round(right - scale.x(start) - 1, 2))}
    kind = "bar kept" if is_kept else "bar"
    return element("rect", told, class_=kind, data_from=start, height=round(HEIGHT - BOTTOM - y, 2), **at)


def _hatched(scale: Scale, cut_off: float) -> Markup:
    width = min(scale.x(cut_off), WIDTH - RIGHT) - LEFT
    place = {"x": LEFT, "y": TOP, "width": round(width, 2), "height": HEIGHT - TOP - BOTTOM}
    told = element("title", f"below {cut_off:g} calls were pruned: what is missing here is not known")
    return join([element("rect", told, class_="pruned", fill="url(#hatch)", **place)])


def _axes(scale: Scale, name: str) -> Markup:
    """Round numbers along both sides."""
    below = {"y": HEIGHT - BOTTOM + 14, "class_": "tick middle"}
    marks = [element("text", f"{v:g}", x=scale.x(v), **below) for v in _round_numbers(scale.low, scale.high)]
    for value in _round_numbers(0, scale.top):
        at = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": scale.y(value), "y2": scale.y(value)}
        marks += [element("line", class_="grid", **at)]
        marks += [element("text", f"{value:,g}", x=LEFT - 6, y=scale.y(value) + 4, class_="tick end")]
    return join([*marks, element("text", name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, class_="axis middle")])


def _round_numbers(low: float, high: float) -> list[float]:
    """About five of them.

    >>> _round_numbers(0, 9)
    [0, 2, 4, 6, 8]
    """
    raw = max(high - low, 1e-9) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _chart(content: Markup, **data: object) -> Markup:
    return element("svg", content, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart", **data)
