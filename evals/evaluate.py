"""Asks a model the questions of a benchmark, and counts the right answers and the questions on which a tool was called.

Each question is asked twice, with tools and with calls disabled; the difference is what the tools add (paper,
section 4.2).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from toolformer_ray.decode.completion import Completion
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.evals.paired import standard_error
from toolformer_ray.evals.task import Question, Task

AT_ONCE = 256
"""Questions that are given to the decoder together; it makes its own batches of them."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One question and the model's answer; a row of the table of results."""

    task: str
    number: int
    """Number of the question within its task, from 0."""
    with_tools: bool
    prompt: str
    answers: tuple[str, ...]
    generated: str
    """What the model wrote, calls and results included."""
    is_right: bool
    num_calls: int
    """Calls that were answered."""
    tools: tuple[str, ...]
    """The tools that answered them."""
    about: str
    """By what results are broken down, such as `relation=P19`; empty for most."""
    is_cut: bool
    """Whether the prompt's beginning was left out to fit the window."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of the table."""

    task: str
    with_tools: bool
    num_questions: int
    share_right: float
    standard_error: float
    """Of `share_right`, if the questions are a sample of all that could be asked."""
    share_with_call: float
    """Share of the questions on which at least one tool was called and answered."""


def evaluate(
    decoder: Decoder, key: str, task: Task, questions: Sequence[Question], options: DecodeOptions, *, with_tools: bool
) -> Iterator[Result]:
    """The questions' results, in their order."""
    asked = replace(
        options,
        max_new_tokens=min(options.max_new_tokens, task.max_new_tokens),
        barred=(*options.barred, *task.barred_tools),
        max_calls=options.max_calls if with_tools else 0,
    )
    for first in range(0, len(questions), AT_ONCE):
        chunk = questions[first : first + AT_ONCE]
        prompts = [decoder.shorten(question.prompt, asked.max_new_tokens) for question in chunk]
        requests = [
            decoder.submit(prompt, replace(asked, today=question.today or asked.today))
            for prompt, question in zip(prompts, chunk, strict=True)
        ]
        for _ in decoder.finish():
            pass
        for number, (question, prompt, request) in enumerate(zip(chunk, prompts, requests, strict=True), start=first):
            if request.completion is not None:
                yield _result(key, task, number, question, prompt, request.completion, with_tools=with_tools)


def summarise(results: Iterable[Result]) -> list[Summary]:
    """One line for each task with tools and without, in the order of the results."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((result.task, result.with_tools), []).append(result)
    return [_summary(task, with_tools, group) for (task, with_tools), group in groups.items()]


def _summary(task: str, with_tools: bool, group: Sequence[Result]) -> Summary:  # noqa: FBT001
    share = sum(result.is_right for result in group) / len(group)
    return Summary(
        task=task,
        with_tools=with_tools,
        num_questions=len(group),
        share_right=share,
        standard_error=standard_error(share, len(group)),
        share_with_call=sum(result.num_calls > 0 for result in group) / len(group),
    )


def _result(
    key: str, task: Task, number: int, question: Question, prompt: str, answer: Completion, *, with_tools: bool
) -> Result:
    answered = [call for call in answer.calls if call.status == "ok"]
    return Result(
        task=key,
        number=number,
        with_tools=with_tools,
        prompt=question.prompt,
        answers=question.answers,
        generated=answer.text,
        is_right=task.rule(answer.plain_text, question.answers),
        num_calls=len(answered),
        tools=tuple(call.tool or "" for call in answered),
        about=_describe(question.about),
        is_cut=prompt != question.prompt,
    )


def _describe(about: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in about.items())
