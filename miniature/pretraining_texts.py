"""What the miniature model is trained on: texts of two kinds.

Stories. About half of them begin with a note: a call with its result, as the filter puts it before a text, or the same
in other words. The note may tell what the story says next, have no result, or be irrelevant. From notes the model
learns what a large model learns from the web: to copy from the context what fits.

Annotation sheets, in the format of the prompt, with calls without results. A third of the calls is misplaced, wrong or
missing, so that the model's proposals are noisy and the filter has work to do.
"""

import random
import re
from collections.abc import Iterator
from typing import TypeVar

from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.miniature.texts import TOOL_NAMES, DueCall, Story, choose_tools, tell_story
from toolformer_ray.miniature.world import LEXICON, World
from toolformer_ray.records.calls import render_call
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.tool import Tool

BatchT = TypeVar("BatchT")

SHEET_WEIGHTS = {"Calculator": 5, "MT": 5}
"""How often a tool is chosen for a sheet, if not once: an expression and a long quotation are the hardest to write."""
NOTE_FORMATS = (
    "{input} = {result}. ",
    "({input}: {result}) ",
    "{result}\n",
    "Note: {result} ",
    "{tool}: {input}\n{result}\n\n",
    "[{tool}({input}): {result}] ",
)
_NUMBER = re.compile(r"\d+")
_SPACE = re.compile(r" (?=\w)")


class StoryTeller:
    """Endless stories, each from a world of its own, with the notes and sheets made of them."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"stories {seed}")
        self._tools: dict[str, type[Tool]] = {
            tool.name: tool for tool in find_tools().values() if tool.name in TOOL_NAMES
        }

    def text(self) -> str:
        """A story, plain or after a note."""
        story, world = self._story()
        if not story.due or self._rng.random() < 0.4:
            return story.text
        return self._note(story, world) + story.text

    def sheet(self) -> Iterator[str]:
        """The pieces of one endless sheet: the head of the prompt, then text slots and annotated copies in turns."""
        [name] = self._rng.choices(list(self._tools), [SHEET_WEIGHTS.get(name, 1) for name in self._tools])
        tool = self._tools[name]
        head = render_demonstrations(tool)
        # Some heads leave the demonstrations out, so that the model reads the format rather than a fixed text.
        yield head if self._rng.random() < 0.75 else f"{tool.instruction}\n\nInput: "
        while True:
            story, _ = self._story(tool.name)
            yield render_text_slot(story.text)
            yield self._annotated(story, tool.name) + "\n\n"
            yield "Input: "

    def shuffled(self, batches: list[BatchT]) -> list[BatchT]:
        """The batches in random order."""
        return self._rng.sample(batches, len(batches))

    def _story(self, tool: str | None = None) -> tuple[Story, World]:
        world = World(self._rng.getrandbits(62))
        tools = choose_tools(self._rng)
        if tool is not None and self._rng.random() < 0.8:
            tools = (tool, *(other for other in tools if other != tool))[: max(1, len(tools))]
        return tell_story(self._rng, world, tools), world

    def _note(self, story: Story, world: World) -> str:
        due = self._rng.choice(story.due)
        call_input, result = due.call_input, self._full_result(due, world)
        fate = self._rng.random()
        if fate < 0.12:
            result = ""
        elif fate < 0.22:
            call_input, result = self._wrong_call(due, story)
        elif fate < 0.37:
            call_input, result = self._nearly_right_call(due, world)
        elif fate < 0.5:
            other_story, other_world = self._story(due.tool)
            others = [other for other in other_story.due if other.tool == due.tool]
            if others:
                call_input, result = others[0].call_input, self._full_result(others[0], other_world)
        if self._rng.random() < 0.65:
            return render_call(due.tool, call_input, result)
        note = self._rng.choice(NOTE_FORMATS)
        return note.format(tool=due.tool, input=call_input.strip('"') or "Date", result=result or "none")

    def _full_result(self, due: DueCall, world: World) -> str:
        """What the tool answers: a search answers with the whole passage."""
        if due.tool != "WikiSearch":
            return due.result
        return next(c.passage() for c in world.countries if c.name in due.call_input)

    def _wrong_call(self, due: DueCall, story: Story) -> tuple[str, str]:
        """A call with the right answer to a question that the text does not ask."""
        if due.tool == "Calculator":
            return self._wrong_sum(story)
        if due.tool == "MT":
            foreign, english = due.call_input.strip('"').split(), due.result.split()
            start = self._rng.randrange(1, len(foreign) - 1)
            return f'"{" ".join(foreign[start:])}"', " ".join(english[start:])
        other = World(self._rng.getrandbits(62))
        if due.tool == "QA":
            return f'"{other.landmarks[0].question()}"', other.landmarks[0].person
        if due.tool == "WikiSearch":
            return f'"{other.countries[0].name}"', other.countries[0].passage()
        return due.call_input, due.result

    def _nearly_right_call(self, due: DueCall, world: World) -> tuple[str, str]:
        """A call whose answer begins like the true one and then differs, so that beginnings prove little."""
        if due.tool == "Calculator" and due.result.isdigit():
            shared = due.result[: self._rng.randrange(len(due.result))]
            length = max(len(shared), len(due.result) + self._rng.choice((-1, 0, 0, 0, 1)), 1)
            digits = shared + "".join(self._rng.choice("0123456789") for _ in range(length - len(shared)))
            value, part = int(digits), self._rng.randint(2, 900)
            is_sum = value > part and self._rng.random() < 0.5
            return f"{value - part} + {part}" if is_sum else f"{value + part} - {part}", str(value)
        if due.tool == "MT":
            words = due.result.split()
            words[self._rng.randrange(len(words))] = self._rng.choice(LEXICON)
            return f'"{world.translate(" ".join(words))}"', " ".join(words)
        return due.call_input, self._full_result(due, world)

    def _wrong_sum(self, story: Story) -> tuple[str, str]:
        numbers = [int(number) for number in _NUMBER.findall(story.text)] or [7]
        a, b = self._rng.choice(numbers), self._rng.choice(numbers)
        sign = self._rng.choice("+-*")
        value = {"+": a + b, "-": a - b, "*": a * b}[sign]
        return f"{a} {sign} {b}", str(value)

    def _annotated(self, story: Story, tool: str) -> str:
        """The story with calls of one tool, two thirds of them as they should be."""
        spaces = [match.start() for match in _SPACE.finditer(story.text)]
        calls: dict[int, str] = {}
        for due in story.due + story.struck:
            if due.tool != tool:
                continue
            place, call_input, fate = due.char_offset, due.call_input, self._rng.random()
            if fate < 0.1:
                continue
            if fate < 0.2:
                place = self._rng.choice(spaces)
            elif fate < 0.33:
                call_input, _ = self._wrong_call(due, story)
            calls[place] = render_call(tool, call_input)
        if self._rng.random() < 0.15:
            call_input = "" if tool == "Calendar" else self._stray_input(story, tool)
            calls.setdefault(self._rng.choice(spaces), render_call(tool, call_input))
        text = story.text
        for place in sorted(calls, reverse=True):
            text = text[:place] + calls[place] + text[place:]
        return text

    def _stray_input(self, story: Story, tool: str) -> str:
        if tool == "Calculator":
            return self._wrong_sum(story)[0]
        return f'"{self._rng.choice(story.text.split()).strip(",.")}"'
