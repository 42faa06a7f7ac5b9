"""The demo's world on disk, and the real tools that know it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from toolformer_ray.miniature.demo_corpus import DEMO_WORLD, demo_stories, write_world
from toolformer_ray.miniature.texts import Story
from toolformer_ray.miniature.world import World
from toolformer_ray.tools.backends.passage_index import build_index
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.tool import Tool


@pytest.fixture(scope="session")
def world() -> World:
    return World(DEMO_WORLD, num_countries=300, num_landmarks=300)


@pytest.fixture(scope="session")
def stories(world: World) -> list[Story]:
    return demo_stories(world, texts_per_tool=40, seed=7)


@pytest.fixture(scope="session")
def world_tools(world: World, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Tool]:
    """The tools by the name in a call, open, each over what the world tells it."""
    folder: Path = tmp_path_factory.mktemp("world")
    write_world(folder, world)
    build_index(str(folder / "passages.jsonl"), str(folder / "passages.index"))
    settings = {
        "search": {"index": str(folder / "passages.index")},
        "qa": {"table": str(folder / "questions.jsonl")},
        "translation": {"glossary": str(folder / "glossary.jsonl")},
    }
    built = [tool(tool.Options(**settings.get(key, {}))) for key, tool in find_tools().items()]
    for tool in built:
        tool.open()
    return {tool.name: tool for tool in built}
