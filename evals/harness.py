"""lm-evaluation-harness with a model that calls tools: `--model toolformer` of `python -m jobs.run_lm_eval`.

Texts are generated with tools and returned without their calls; likelihoods are those of plain text, with calls
disabled.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance  # type: ignore[import-untyped]
from lm_eval.api.model import LM  # type: ignore[import-untyped]
from lm_eval.api.registry import register_model  # type: ignore[import-untyped]

from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.evals.perplexity import windows
from toolformer_ray.evals.task import refuse_half_characters
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import ScoreRequest

LOG = logging.getLogger(__name__)

OpenModel = Callable[..., tuple[LanguageModel, Decoder, DecodeOptions]]


def register(open_model: OpenModel) -> None:
    """Make `--model toolformer` known to the harness; `open_model` is called with its `--model_args`."""

    @register_model("toolformer")
    class RegisteredToolformer(Toolformer):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(*open_model(**_without_harness_arguments(arguments)))


class Toolformer(LM):
    """A model with its tools, as the harness asks for one."""

    def __init__(self, model: LanguageModel, decoder: Decoder, options: DecodeOptions) -> None:
        super().__init__()
        self._model, self._decoder, self._options = model, decoder, options

    @property
    def tokenizer_name(self) -> str:
        """The name under which the harness caches requests."""
        return self._model.tokenizer.name

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """What the model writes after each context up to a stop string, without its calls.

        A context that is too long loses its beginning. Raises ValueError if the new tokens alone would fill the window.
        """
        submitted, num_cut = [], 0
        for request in requests:
            context, arguments = _texts_of(request, 1)[0], request.args[1]
            options = _decode_options(self._options, arguments)
            self._refuse_full_window(options.max_new_tokens)
            prompt = self._decoder.shorten(context, options.max_new_tokens)
            num_cut += prompt != context
            submitted.append(self._decoder.submit(prompt, options))
        self._tell_cut(num_cut, len(requests))
        for _ in self._decoder.finish():
            pass
        return [request.completion.plain_text if request.completion else "" for request in submitted]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-likelihood, whether it is what greedy decoding writes) of each continuation after its context.

        A context that is too long loses its beginning.
        """
        tokenizer, asked, num_cut = self._model.tokenizer, [], 0
        for request in requests:
            context, continuation = _texts_of(request, 2)
            ids, context_ids = tokenizer.encode(continuation), tokenizer.encode(context)
            room = max(0, self._model.window - len(tokenizer.bos_ids) - len(ids))
            num_cut += len(context_ids) > room
            before = [*tokenizer.bos_ids, *context_ids[max(0, len(context_ids) - room) :]]
            whole = [*before, *ids][: self._model.window]
            asked.append(ScoreRequest(ids=whole, targets=list(range(len(before), len(whole)))))
        self._tell_cut(num_cut, len(requests))
        totals = [float(log_probs.sum()) for log_probs in self._model.log_probs(asked, without_calls=True)]
        return list(zip(totals, self._model.are_greedy(asked, without_calls=True), strict=True))

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """The log-likelihood of each whole text."""
        totals = []
        for request in requests:
            [text] = _texts_of(request, 1)
            parts = list(windows(self._model.tokenizer.bos_ids, self._model.tokenizer.encode(text), self._model.window))
            log_probs = self._model.log_probs(parts, without_calls=True)
            totals.append(sum(float(of_part.sum(dtype="float64")) for of_part in log_probs))
        return totals

    def _refuse_full_window(self, max_new_tokens: int) -> None:
        if max_new_tokens >= self._model.window - len(self._model.tokenizer.bos_ids):
            raise ValueError(
                f"max_gen_toks is {max_new_tokens}, which leaves a prompt nothing of the window of "
                f"{self._model.window} tokens of {self.tokenizer_name!r}; give less max_gen_toks with gen_kwargs"
            )

    def _tell_cut(self, num_cut: int, num_requests: int) -> None:
        if num_cut:
            LOG.warning(
                "%d of %d prompts lost their beginning: with what follows they do not fit the window of %d tokens",
                *(num_cut, num_requests, self._model.window),
            )


def _texts_of(request: Instance, number: int) -> tuple[str, ...]:
    """The texts that a request begins with. Raises ValueError, one line, for one that no tokenizer can read."""
    texts = tuple(request.args[:number])
    for text in texts:
        refuse_half_characters(text, f"task {request.task_name}")
    return texts


def _decode_options(options: DecodeOptions, arguments: dict[str, Any]) -> DecodeOptions:
    until: Sequence[str] | str = arguments.get("until") or ()
    asked = (until,) if isinstance(until, str) else tuple(one for one in until if one)
    return replace(
        options,
        stop=(*options.stop, *asked),
        max_new_tokens=int(arguments.get("max_gen_toks") or options.max_new_tokens),
        temperature=float(arguments.get("temperature") or 0.0) if arguments.get("do_sample") else options.temperature,
    )


def _without_harness_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that the harness adds by itself."""
    return {key: value for key, value in arguments.items() if key not in ("batch_size", "max_batch_size")}
