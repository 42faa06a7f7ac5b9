"""Whether a model's chat template shows all that messages say: some refuse those of tools, some leave out text."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jinja2
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from toolformer_ray.lm.sources import tokenizer_arguments
from toolformer_ray.records.errors import OptionError, explain

OTHERWISE = "`calls` inline keeps calls in the text, which every template takes"


def count_incomplete(rows: Iterable[Mapping[str, Any]], model: str) -> int:
    """How many rows lack something when the model's chat template has rendered them.

    Raises OptionError if the model has no chat template, or if it refuses a row.
    """
    tokenizer = AutoTokenizer.from_pretrained(**tokenizer_arguments(model), trust_remote_code=False)
    if not tokenizer.chat_template:
        remedy = "its tokenizer has no chat template to check the messages with: leave it out"
        raise OptionError("model", model, remedy)
    return sum(not _is_complete(row, tokenizer, model) for row in rows)


def _is_complete(row: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, model: str) -> bool:
    try:
        shown = tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
        remedy = f"its chat template refuses text {row['text_id']} ({explain(error)}); {OTHERWISE}"
        raise OptionError("model", model, remedy) from error
    # Many templates strip messages, and an input stands there as it is or as JSON.
    said = [message["content"].strip() for message in row["messages"]]
    return all(text in str(shown) for text in said) and all(
        value in str(shown) or json.dumps(value, ensure_ascii=False)[1:-1] in str(shown) for value in _inputs(row)
    )


def _inputs(row: Mapping[str, Any]) -> Iterator[str]:
    for message in row["messages"]:
        for call in message.get("tool_calls", []):
            arguments = call["function"]["arguments"]
            yield from (json.loads(arguments) if isinstance(arguments, str) else arguments).values()
