"""Tries prompts of one tool on texts: how many calls are kept with each, and how many of these are false."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.losses.false_share import count_chance
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.workflow.estimate.annotate_sample import annotate_sample
from toolformer_ray.workflow.shard.stage import Needs
from toolformer_ray.workflow.teach.prompts import TaughtPrompt


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of the texts with one prompt."""

    prompt: TaughtPrompt
    calls: int
    """Distinct calls that were proposed."""
    kept: int
    """Places with a kept call."""
    false_share: float | None
    """Of the kept calls, as their decoys tell it; None if none was kept."""

    @property
    def right(self) -> float:
        """Kept calls that are not false, as estimated. The prompt with the most is taken: both count in it, that many
        are kept and that few of them are false."""
        return self.kept * (1 - (self.false_share or 0.0))


def annotate_with(
    opened: Mapping[Needs, Any], tool: str, prompt: TaughtPrompt, texts: Sequence[Document], at_once: int
) -> list[Scored]:
    """The judged calls of a tool that is taught by this prompt."""
    for workers in opened.values():
        workers.tools[tool].instruction = prompt.instruction
        workers.tools[tool].demonstrations = prompt.demonstrations
    found: list[Scored] = annotate_sample(opened, [tool], texts, at_once=at_once, event="teach").rows[Scored.table]
    return found


def try_prompt(
    opened: Mapping[Needs, Any], tool: str, prompt: TaughtPrompt, texts: Sequence[Document], at_once: int
) -> Trial:
    """Annotate the texts with this prompt and count."""
    rows = annotate_with(opened, tool, prompt, texts, at_once)
    places = {(row.text_id, row.char_offset) for row in rows if row.is_kept}
    return Trial(prompt=prompt, calls=len(rows), kept=len(places), false_share=count_chance(rows).false_share)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the most right calls; of equal ones the one with the smaller false share, then the first."""
    return min(trials, key=lambda trial: (-trial.right, trial.false_share or 0.0))
