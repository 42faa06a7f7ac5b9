"""The world tells the truth about itself, and the real tools agree with it."""

import datetime
from collections.abc import Mapping

from tests.support.rows import make_row
from toolformer_ray.miniature.texts import TOOL_NAMES, Story
from toolformer_ray.miniature.world import World
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.tool import CallContext, Tool


def as_document(story: Story) -> Document:
    return make_row(Document, text=story.text, date=story.date)


def test_an_answer_stands_where_its_due_call_says(stories: list[Story]) -> None:
    for story in stories:
        for due in story.due:
            answer = story.text[due.char_offset : due.answer_end]
            assert answer.startswith(" ")
            # The calendar tells the whole date; a text may use a part of it.
            assert answer[1:] in due.result


def test_every_tool_has_its_place_in_the_world(stories: list[Story]) -> None:
    assert {due.tool for story in stories for due in story.due} == set(TOOL_NAMES)


def test_the_real_tools_give_the_true_answer_to_every_due_call(
    stories: list[Story], world_tools: Mapping[str, Tool]
) -> None:
    for story in stories:
        for due in story.due:
            answer = world_tools[due.tool].run(due.call_input, CallContext(today=story.date))
            if due.tool == "WikiSearch":
                assert due.result in answer
            else:
                assert answer == due.result


def test_a_text_with_a_due_call_is_offered_to_its_tool(stories: list[Story], world_tools: Mapping[str, Tool]) -> None:
    for story in stories:
        for due in story.due:
            assert world_tools[due.tool].wants(as_document(story)), story.text


def test_a_saying_whose_meaning_comes_first_has_no_due_call(stories: list[Story]) -> None:
    struck = [story for story in stories if story.struck]
    assert struck
    for story in struck:
        for call in story.struck:
            saying = call.call_input.strip('"')
            assert saying in story.text[call.char_offset :]
            assert saying not in story.text[: call.char_offset]


def test_equal_seeds_make_equal_worlds_and_other_seeds_make_others() -> None:
    assert World(3).countries == World(3).countries
    assert World(3).countries != World(4).countries
    assert World(3).glossary == World(3).glossary


def test_a_dated_story_says_the_day_on_which_it_was_written(stories: list[Story]) -> None:
    dated = [story for story in stories if any(due.tool == "Calendar" for due in story.due)]
    for story in dated:
        assert isinstance(story.date, datetime.date)
        assert f"{story.date.day}, {story.date.year}" in story.text
