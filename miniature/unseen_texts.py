"""Texts that no model of `make loop` has seen: `python -m toolformer_ray.miniature.unseen_texts --out
runs/loop/unseen`.

Of the demo's world, so the tools know what they are about, but other stories. Writes:

    questions.jsonl   prompt, answers, today and about: stories cut off where one tool's answer follows
    plain.jsonl       text: whole stories, for the perplexity
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cyclopts

from toolformer_ray.miniature.demo_corpus import demo_world, write_rows
from toolformer_ray.miniature.texts import TOOL_NAMES, Story, choose_tools, tell_story
from toolformer_ray.miniature.world import World


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class UnseenOptions:
    """How many there are."""

    out: Path
    """Folder for the files; made if it is not there."""
    questions_per_tool: int = 100
    """Questions that one tool can answer."""
    num_plain: int = 200
    """Whole stories."""
    seed: int = 0
    """Another seed, other texts: settings are tried out on other ones than those that are measured."""


def main(options: UnseenOptions) -> None:
    """Write the two files."""
    options.out.mkdir(parents=True, exist_ok=True)
    world = demo_world()
    # The demo's stories come from seeds that are named otherwise.
    rng = random.Random(f"unseen {options.seed}")
    questions = [row for tool in TOOL_NAMES for row in questions_for(tool, rng, world, options.questions_per_tool)]
    plain = [{"text": tell_story(rng, world, choose_tools(rng)).text} for _ in range(options.num_plain)]
    write_rows(options.out / "questions.jsonl", questions)
    write_rows(options.out / "plain.jsonl", plain)
    print(f"{len(questions)} questions and {len(plain)} plain texts are in {options.out}")  # noqa: T201


def questions_for(tool: str, rng: random.Random, world: World, number: int) -> Iterator[dict[str, object]]:
    """Stories in which this tool has something to say, cut off before it is said."""
    while number:
        story = tell_story(rng, world, (tool,))
        if story.due:
            yield _question(story)
            number -= 1


def _question(story: Story) -> dict[str, object]:
    [due] = story.due
    return {
        "prompt": story.text[: due.char_offset],
        "answers": [story.text[due.char_offset : due.answer_end].strip()],
        "today": f"{story.date}" if story.date else None,
        "about": due.tool,
    }


if __name__ == "__main__":
    cyclopts.run(main)
