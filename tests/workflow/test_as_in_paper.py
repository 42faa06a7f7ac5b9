"""`--as-in-paper`: the paper's values wherever our defaults differ, and older runs that were made with them go on."""

from typing import Any

import pytest

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.workflow.book.settings import RunSettings, resolve_settings
from toolformer_ray.workflow.options import AnnotateOptions, ModelOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.tool_choice import TaughtTools


def options(**given: Any) -> AnnotateOptions:
    usual = {
        "run": "r",
        "tools": TaughtTools(keys=("calculator", "calendar")),
        "ingest": IngestOptions(corpus=("c",)),
        "model": ModelOptions(model="m"),
    }
    return AnnotateOptions(**usual | given)


def resolve(chosen: AnnotateOptions) -> RunSettings:
    return resolve_settings(PIPELINE, chosen, chosen.tools.make(), "f", 100)


def test_as_in_paper_sets_what_differs_in_every_record() -> None:
    chosen = options(as_in_paper=True)
    assert chosen.propose == ProposeOptions(
        temperature=1.0, first_sample="drawn", places="all", rank_by="marker", shown="whole"
    )
    assert chosen.filter.filter == "paper"
    calculator, calendar = chosen.tools.make().values()
    assert (calculator.teaching.max_places, calculator.teaching.num_samples) == (20, 10)
    assert calendar.teaching.min_open_probability == 0.05


def test_what_is_set_explicitly_stays() -> None:
    tools = TaughtTools(keys=("calculator",), settings={"calculator": {"max_places": 3}})
    chosen = options(as_in_paper=True, tools=tools, propose=ProposeOptions(temperature=0.7))
    assert (chosen.propose.temperature, chosen.propose.places) == (0.7, "all")
    [calculator] = chosen.tools.make().values()
    assert (calculator.teaching.max_places, calculator.teaching.num_samples) == (3, 10)


def test_a_run_from_before_there_were_other_ways_goes_on_as_in_the_paper() -> None:
    """Settings and fingerprints are those that the program wrote when the paper's way was the only one."""
    now = resolve(options(as_in_paper=True))
    assert now.tool_fingerprints["propose"] == {
        "Calculator": "94b8ec127c3cda86dc55ea02a0e8c235",
        "Calendar": "f5cb7738c85a922510cbb01d9ab50d5d",
    }
    assert "places" not in now.settings and "calculator.demonstrations" not in now.settings
    assert now.settings["temperature"] == 1.0 and now.settings["calculator.num-samples"] == 10


@pytest.mark.parametrize("name", ["first_sample", "places", "rank_by", "shown", "temperature"])
def test_each_difference_decides_what_is_proposed(name: str) -> None:
    ours = resolve(options())
    paper = ProposeOptions(temperature=1.0, first_sample="drawn", places="all", rank_by="marker", shown="whole")
    other = resolve(options(propose=ProposeOptions(**{name: getattr(paper, name)})))
    assert ours.tool_fingerprints["propose"] != other.tool_fingerprints["propose"]
    assert ours.tool_fingerprints["execute"] == other.tool_fingerprints["execute"]


def test_demonstrations_of_the_users_own_decide_by_what_they_say_and_not_by_where_they_are(tmp_path) -> None:
    def taught_by(name: str, text: str) -> RunSettings:
        (tmp_path / name).write_text(text)
        settings = {"calculator": {"demonstrations": str(tmp_path / name)}}
        return resolve(options(tools=TaughtTools(keys=("calculator",), settings=settings)))

    one, moved = taught_by("a.txt", "It is [Calculator(1)] 1."), taught_by("b.txt", "It is [Calculator(1)] 1.")
    other = taught_by("c.txt", "It is [Calculator(2)] 2.")
    assert one.settings == moved.settings and one.tool_fingerprints == moved.tool_fingerprints
    assert one.settings != other.settings
    assert one.tool_fingerprints["propose"] != other.tool_fingerprints["propose"]


def test_a_bad_file_of_demonstrations_is_named_with_the_option_of_its_tool() -> None:
    tools = TaughtTools(keys=("calculator",), settings={"calculator": {"demonstrations": "missing.txt"}})
    with pytest.raises(ValueError, match=r"calculator\.demonstrations is missing\.txt; it cannot be read"):
        tools.make()
