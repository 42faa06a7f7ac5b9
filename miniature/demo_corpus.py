"""The files of `make demo`: `python -m toolformer_ray.miniature.demo_corpus --out runs/demo-world`.

Writes, all from one world that the model has never read about:

    corpus.jsonl      text, url and title of every story; the URL of a dated story holds its date
    passages.jsonl    title and text: the encyclopedia, for `toolformer build-index`
    questions.jsonl   question and answer: what the question answering system knows
    glossary.jsonl    source and target: the invented language, word by word
    truth.jsonl       per text the calls that are due, for `miniature.report`; no other command reads it
"""

import dataclasses
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cyclopts

from toolformer_ray.miniature.texts import TOOL_NAMES, Story, tell_story
from toolformer_ray.miniature.world import World

# The worlds of the pretraining texts have random 62-bit seeds; this one is out of their range.
DEMO_WORLD = -1
URL = "https://herald.example"


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the demo's corpus holds."""

    out: Path
    """Folder for the files; made if it is not there."""
    texts_per_tool: int = 30
    """How many texts need each of the five tools; a tenth as many again need none."""
    seed: int = 0
    """Seed of the stories; the world is always the same."""


def main(options: DemoOptions) -> None:
    """Write the five files."""
    options.out.mkdir(parents=True, exist_ok=True)
    world = demo_world()
    stories = demo_stories(world, options.texts_per_tool, options.seed)
    write_rows(options.out / "corpus.jsonl", (_corpus_row(n, story) for n, story in enumerate(stories)))
    write_rows(options.out / "truth.jsonl", (_truth_row(n, story) for n, story in enumerate(stories)))
    write_world(options.out, world)
    print(f"{len(stories)} texts and what the tools know of their world are in {options.out}")  # noqa: T201


def demo_world() -> World:
    """The world of the demo: no model has read of it in its training."""
    return World(DEMO_WORLD, num_countries=300, num_landmarks=300)


def write_world(folder: Path, world: World) -> None:
    """What the tools know: the encyclopedia, the answered questions and the glossary."""
    write_rows(folder / "passages.jsonl", ({"title": c.name, "text": c.passage()} for c in world.countries))
    answers = ({"question": mark.question(), "answer": mark.person} for mark in world.landmarks)
    write_rows(folder / "questions.jsonl", answers)
    words = ({"source": word, "target": english} for english, word in world.glossary.items())
    write_rows(folder / "glossary.jsonl", words)


def demo_stories(world: World, texts_per_tool: int, seed: int) -> list[Story]:
    """Stories in random order: the same number for each tool, some of which need a second tool, and some for none."""
    rng = random.Random(f"demo {seed}")
    wanted: list[tuple[str, ...]] = []
    for tool in TOOL_NAMES:
        others = [other for other in TOOL_NAMES if other != tool]
        wanted += [(tool,) if rng.random() < 0.85 else (tool, rng.choice(others)) for _ in range(texts_per_tool)]
    wanted += [()] * (texts_per_tool // 10 * len(TOOL_NAMES))
    rng.shuffle(wanted)
    return [tell_story(rng, world, tools) for tools in wanted]


def doc_id(number: int) -> str:
    """The identifier of the demo's story of this number."""
    return f"story-{number:05d}"


def _corpus_row(number: int, story: Story) -> dict[str, str]:
    day = f"{story.date:%Y/%m/%d}" if story.date else "undated"
    return {"id": doc_id(number), "url": f"{URL}/{day}/{number}", "text": story.text}


def _truth_row(number: int, story: Story) -> dict[str, object]:
    return {"id": doc_id(number), "due": [dataclasses.asdict(call) for call in story.due]}


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a file of JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    cyclopts.run(main)
