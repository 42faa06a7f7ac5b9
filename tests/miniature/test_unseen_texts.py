"""The questions of the loop: each is cut off where the tool that knows the answer is due."""

import json
from pathlib import Path

from toolformer_ray.miniature.demo_corpus import demo_stories, demo_world
from toolformer_ray.miniature.texts import TOOL_NAMES
from toolformer_ray.miniature.unseen_texts import UnseenOptions, main


def test_every_tool_has_its_questions_and_no_text_is_of_the_demo(tmp_path: Path) -> None:
    main(UnseenOptions(out=tmp_path, questions_per_tool=20, num_plain=10))
    questions = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    plain = [json.loads(line)["text"] for line in (tmp_path / "plain.jsonl").read_text().splitlines()]
    assert [question["about"] for question in questions] == [tool for tool in TOOL_NAMES for _ in range(20)]
    assert len(plain) == 10
    seen = [story.text for story in demo_stories(demo_world(), texts_per_tool=30, seed=0)]
    assert not set(plain) & set(seen)
    assert not any(text.startswith(question["prompt"]) for question in questions for text in seen)
    for question in questions:
        [answer] = question["answers"]
        assert answer
        assert not question["prompt"].endswith((" ", answer))
        assert bool(question["today"]) or question["about"] != "Calendar"
