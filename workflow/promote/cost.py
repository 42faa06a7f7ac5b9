"""What a function costs: the nats that the model needs to write its definition once.

By minimum description length a function is worth having if what it spares the data exceeds its own description. The
description is written in the model's own code: a definition of tokens d_1 .. d_n costs

    sum_t -log p(d_t | prompt of Python, the text up to the call, ` [Python(`, d_<t)        nats

of all calls that wrote the function in the one that makes it the cheapest. Each piece is encoded by itself.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolformer_ray.annotate.prompt import render_demonstrations
from toolformer_ray.annotate.propose_options import Shown
from toolformer_ray.lm.requests import ScoreRequest
from toolformer_ray.records.calls import CALL_START
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.promote.collect import Collected, Writing

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel

MOST_WRITINGS = 4
"""So many calls that wrote a function are tried."""


def costs_in_nats(
    functions: Sequence[Collected], texts: dict[str, str], python: Tool, model: "LanguageModel", shown: Shown
) -> list[float]:
    """The cost of each function, in their order; `texts` by id."""
    prompt = model.tokenizer.encode(render_demonstrations(python, shown))
    requests: list[ScoreRequest] = []
    owners: list[int] = []
    for number, one in enumerate(functions):
        for writing in sorted(one.writings, key=lambda writing: len(writing.function.source))[:MOST_WRITINGS]:
            before = texts[writing.row.text_id][: writing.row.char_offset]
            requests.append(_request(writing, before, prompt, python, model))
            owners.append(number)
    costs = [float("inf")] * len(functions)
    for number, log_probs in zip(owners, model.log_probs(requests), strict=True):
        costs[number] = min(costs[number], -float(log_probs.sum()))
    return costs


def _request(
    writing: Writing, before: str, prompt: Sequence[int], python: Tool, model: "LanguageModel"
) -> ScoreRequest:
    encode, bos = model.tokenizer.encode, list(model.tokenizer.bos_ids)
    opening, definition = encode(f"{CALL_START}{python.name}("), encode(writing.function.source)
    room = max(0, model.window - len(bos) - len(prompt) - len(opening) - len(definition))
    # Of a text that is too long with all of that the end counts.
    read = encode(before)
    ids = [*bos, *prompt, *read[len(read) - min(room, len(read)) :], *opening]
    return ScoreRequest(ids=[*ids, *definition], targets=range(len(ids), len(ids) + len(definition)))
