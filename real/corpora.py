"""Real corpora for three tools: `python -m toolformer_ray.real.corpora --data FOLDER --out FOLDER`.

Where the data folder has them: solved school problems (GSM8K) for the calculator, encyclopedia articles for search, and
dated pages for the calendar; else the forty solved problems that come with this package. Beside them goes the key of
the problems, which no run reads (`real.key`).
"""

import gzip
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cyclopts

SHIPPED = Path(__file__).parent / "texts"
SOURCES = {"calculator": "gsm8k_train", "search": "wikipedia_docs", "calendar": "digitalgov"}
"""The tool, and the folder of its corpus in the data folder's `corpus`."""


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CorporaOptions:
    """Which texts to take."""

    data: Path
    """A folder with corpora; it may be absent."""
    out: Path
    """Where a file for each tool goes, and `key.jsonl`."""
    texts: int = 100
    """How many documents for each tool, at most."""
    skip: int = 0
    """How many documents of each corpus to leave out before."""


def prepare(options: CorporaOptions) -> None:
    """Write the corpora that can be had."""
    options.out.mkdir(parents=True, exist_ok=True)
    for tool, name in SOURCES.items():
        source = options.data / "corpus" / name / "docs.jsonl.gz"
        if source.is_file():
            taken = itertools.islice(read(source), options.skip, options.skip + options.texts)
            write(options.out / f"{tool}.jsonl", taken)
    key = options.data / "corpus" / SOURCES["calculator"] / "due_calls.jsonl.gz"
    if key.is_file():
        write(options.out / "key.jsonl", read(key))
    else:
        shutil.copy(SHIPPED / "gsm8k.jsonl", options.out / "calculator.jsonl")
        shutil.copy(SHIPPED / "due_calls.jsonl", options.out / "key.jsonl")


def read(path: Path) -> Iterator[str]:
    """The lines of a packed file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from lines


def write(path: Path, lines: Iterator[str]) -> None:
    """Write documents that hold a text, or an entry of the key; a file with the same content is left as it is."""
    content = "".join(line for line in lines if json.loads(line).get("text", "key"))
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    app = cyclopts.App(name="python -m toolformer_ray.real.corpora", help_format="plaintext")
    app.default(prepare)
    app()
