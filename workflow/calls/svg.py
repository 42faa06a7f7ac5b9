"""Lines of a terminal as a picture, an SVG file that asks no network for a font."""

import io
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from toolformer_ray.records.errors import OptionError, one_line

COLUMNS = 110
COLOURS = ("1d2430", "b43c32", "0b6e4f", "8a6014", "2652a0", "7a3282", "146e82", "667085")
"""Black, red, green, yellow, blue, magenta, cyan and white, dark enough for a white page."""
THEME = TerminalTheme(
    background=(255, 255, 255),
    foreground=(29, 36, 48),
    normal=[(int(colour[0:2], 16), int(colour[2:4], 16), int(colour[4:6], 16)) for colour in COLOURS],
)
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="8" fill="#ffffff" stroke="#e3e7ee"/>
<g transform="translate(9, 12)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""
"""What rich fills in, without its window and without fonts from elsewhere."""


def write_svg(path: Path, lines: Iterable[Text]) -> None:
    """Write a picture of some lines, broken at words. Raises OptionError if the file cannot be written."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, highlight=False)
    drawn = console.export_svg(title="", theme=THEME, code_format=FRAME, unique_id="calls")
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(drawn, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OptionError("svg", path, f"it cannot be written: {one_line(error)}") from error
