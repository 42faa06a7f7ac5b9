"""Options as the paper has them, for the tests that hold our stages against it."""

from typing import Any

from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.records.in_paper import as_in_paper


def proposing_as_in_paper(**given: Any) -> ProposeOptions:
    """The paper's way of proposing, with some options changed."""
    return as_in_paper(ProposeOptions(**given))
