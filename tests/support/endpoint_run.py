"""Some texts proposed by an endpoint and judged by a small random model.

Run as a module it is a process that can be killed: `python -m tests.support.endpoint_run RUN URL`.
"""

import sys
from typing import Any

from tests.support.models import build_language_model
from tests.support.rows import make_row
from toolformer_ray.annotate.endpoint.endpoint import Endpoint
from toolformer_ray.annotate.propose_by_endpoint import propose_by_endpoint
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.tool_choice import TaughtTools

NAMES = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay")
TEXTS = [f"{name} says {n} and {n + 7} are {2 * n + 7}, {n} + 5 ={n + 5}" for n, name in enumerate(NAMES, 20)]
TEACHING = {"min_open_probability": 0.0, "min_contrast": 0.0, "num_samples": 2, "max_places": 2}


def make_documents() -> list[Document]:
    return [make_row(Document, text_id=f"{n}-0", text=text) for n, text in enumerate(TEXTS)]


def make_tools() -> dict[str, Tool]:
    made = TaughtTools(keys=("calculator",), settings={"calculator": TEACHING}).make()
    return {tool.name: tool for tool in made.values()}


def propose_sums(
    run: RunFolder | None, url: str, model: LanguageModel | None = None, **options: Any
) -> tuple[list[Candidate], list[Dropped]]:
    """What comes of the texts; by default the endpoint chooses the places."""
    asked = {"proposer_places": "endpoint", "proposer_model": "sums", "proposer_concurrency": 3} | options
    endpoint = Endpoint.open(ProposerOptions(proposer_url=url, **asked), run)
    chosen = ProposeOptions(max_call_tokens=12)
    return propose_by_endpoint(
        make_documents(), model or build_language_model(), make_tools(), chosen, "decoys", endpoint
    )


if __name__ == "__main__":
    propose_sums(RunFolder(sys.argv[1]), sys.argv[2])
