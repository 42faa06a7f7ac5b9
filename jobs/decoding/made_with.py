"""How a result came about, so that it can be reported and repeated: model, versions, settings, data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolformer_ray.jobs.decoding.decoder import DecoderOptions
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.tools.tool import full_data_version
from toolformer_ray.workflow.book.fingerprints import plain_options, plain_own_options
from toolformer_ray.workflow.book.settings import package_versions
from toolformer_ray.workflow.model_files import look_at_model

if TYPE_CHECKING:
    from toolformer_ray.evals.task import Question


def describe_data(location: str, questions: "Sequence[Question]") -> dict[str, Any]:
    """Where a benchmark's questions were read, how many were asked, their hash, and the first prompt as an example."""
    told = [(question.prompt, question.answers, question.today) for question in questions]
    return {
        "location": location,
        "num_questions": len(questions),
        "hash": fingerprint(told),
        "first_prompt": questions[0].prompt,
    }


def made_with(
    decoder: DecoderOptions, asked: Mapping[str, Any], records: Sequence[Any], data: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What a result says of how it was made, without secrets.

    `asked` are options of the command, `records` its records of options, `data` is that of each benchmark.
    """
    settings: dict[str, Any] = dict(asked)
    for record in (decoder.model, *records):
        settings |= plain_options(record)
    tools = {
        key: {"version": tool.version, "data": full_data_version(tool), **plain_own_options(tool)}
        for key, tool in decoder.tools.make().items()
    }
    return {
        "model": look_at_model(decoder.model.model).fingerprint,
        "versions": package_versions(),
        "settings": {name: value if _is_json(value) else str(value) for name, value in settings.items()},
        "tools": tools,
        "data": data,
    }


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | list)
