"""The commands with which a model uses its tools, as `jobs.cli.commands` registers them."""

from typing import Annotated, Any

from cyclopts import Parameter

from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.jobs.cli.tool_options import read_tool_options
from toolformer_ray.jobs.decoding.decoder import DecoderOptions
from toolformer_ray.jobs.decoding.evaluate import EvaluateOptions
from toolformer_ray.jobs.decoding.generate import PromptOptions
from toolformer_ray.jobs.decoding.serve import ServeOptions
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.options import Asking
from toolformer_ray.workflow.options import DEFAULT_TOOLS, ModelOptions, parse_tools

# What follows an option's value is a prompt, not one more value.
_ONE_BY_ONE = Parameter(name="*", consume_multiple=False, negative=())


def generate(
    *prompts: str,
    model: ModelOptions,
    tools: str = DEFAULT_TOOLS,
    decode: Annotated[DecodeOptions, _ONE_BY_ONE] = DecodeOptions(),  # noqa: B008 - frozen
    where: PromptOptions = PromptOptions(),  # noqa: B008
    asking: Asking = Asking(),  # noqa: B008
    answers: AnswerOptions = AnswerOptions(),  # noqa: B008
    batch_size: int = 64,
    **tool_options: Any,
) -> int:
    """Go on from prompts with a model that uses its tools.

    Parameters
    ----------
    prompts
        Texts to go on from, written alike and at the same time.
    tools
        The tools that may be asked, separated by commas.
    batch_size
        How many texts are written at a time; texts that wait for a tool do not count.
    """
    from toolformer_ray.jobs.decoding.generate import generate as generate_texts

    loaded = DecoderOptions(
        model=model,
        tools=parse_tools(tools),
        answers=answers,
        batch_size=batch_size,
        **read_tool_options(tool_options, asking, is_taught=False),
    )
    return generate_texts(prompts, loaded, decode, where)


def serve(
    *,
    model: ModelOptions,
    tools: str = DEFAULT_TOOLS,
    at: ServeOptions = ServeOptions(),  # noqa: B008
    asking: Asking = Asking(),  # noqa: B008
    answers: AnswerOptions = AnswerOptions(),  # noqa: B008
    batch_size: int = 64,
    **tool_options: Any,
) -> int:
    """Serve a model that uses its tools, with an OpenAI-compatible completions endpoint.

    Parameters
    ----------
    tools
        The tools that may be asked, separated by commas.
    batch_size
        How many texts a replica writes at a time; texts that wait for a tool do not count.
    """
    from toolformer_ray.jobs.decoding.serve import serve_model

    loaded = DecoderOptions(
        model=model,
        tools=parse_tools(tools),
        answers=answers,
        batch_size=batch_size,
        **read_tool_options(tool_options, asking, is_taught=False),
    )
    return serve_model(loaded, at)


def evaluate(
    *,
    which: EvaluateOptions,
    model: ModelOptions,
    tools: str = DEFAULT_TOOLS,
    decode: Annotated[DecodeOptions, _ONE_BY_ONE] = DecodeOptions(),  # noqa: B008 - frozen
    asking: Asking = Asking(),  # noqa: B008
    answers: AnswerOptions = AnswerOptions(),  # noqa: B008
    batch_size: int = 64,
    **tool_options: Any,
) -> int:
    """Ask a model the paper's benchmarks, with its tools and with calls disabled.

    Parameters
    ----------
    tools
        The tools that may be asked, separated by commas; a benchmark bars those that would give its answers away.
    batch_size
        How many questions are answered at a time; those that wait for a tool do not count.
    """
    from toolformer_ray.jobs.decoding.evaluate import evaluate as evaluate_model

    loaded = DecoderOptions(
        model=model,
        tools=parse_tools(tools),
        answers=answers,
        batch_size=batch_size,
        **read_tool_options(tool_options, asking, is_taught=False),
    )
    return evaluate_model(which, loaded, decode)


def tasks() -> int:
    """List the benchmarks."""
    from toolformer_ray.jobs.decoding.evaluate import list_tasks

    return list_tasks()
