"""A call that is written sees what earlier calls of the same text defined, and nothing of other texts."""

import dataclasses

from tests.support.chain_model import chain_model
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.tool import CallContext, Tool

GREEDY = DecodeOptions(max_new_tokens=12, max_calls=3, call_top_k=1)


class Counting(Tool):
    """Each call uses and defines the same name: it answers how many calls it was asked behind."""

    name = "Calculator"
    instruction = ""
    demonstrations = ()

    def wants(self, document: Document) -> bool:
        return True

    def defines(self, call_input: str) -> tuple[str, ...]:
        return ("count",)

    def uses(self, call_input: str) -> tuple[str, ...]:
        return ("count",)

    def run(self, call_input: str, context: CallContext) -> str:
        return str(len(context.earlier))


def decoder() -> Decoder:
    return Decoder(chain_model(), {"Calculator": Counting()})


def test_each_call_is_asked_behind_those_before_it_in_its_text() -> None:
    [answer] = decoder().write(["it is"], GREEDY)
    assert [(call.call_input, call.result) for call in answer.calls] == [("1+2", "0"), ("1+2", "1"), ("1+2", "2")]
    assert answer.text.startswith(" [Calculator(1+2) -> 0] so it is [Calculator(1+2) -> 1] so it is")


def test_calls_of_the_prompt_count_and_those_without_a_result_or_of_another_tool_do_not() -> None:
    prompts = [
        "so it is [Calculator(3) -> 3] so it is",
        "so it is [Calculator(3)] so it is",
        "so it is [QA(3) -> 3] so it is",
    ]
    one_call = dataclasses.replace(GREEDY, max_calls=1)
    assert [answer.calls[0].result for answer in decoder().write(prompts, one_call)] == ["1", "0", "0"]


def test_a_prompt_of_token_ids_counts_as_its_text_does() -> None:
    engine = decoder()
    ids = engine.check("it is [Calculator(3) -> 3] so it is")
    request = engine.submit(ids, dataclasses.replace(GREEDY, max_calls=1))  # type: ignore[arg-type]
    assert list(engine.finish()) == [request]
    assert request.completion is not None and request.completion.calls[0].result == "1"


def test_texts_that_are_written_together_see_nothing_of_each_other() -> None:
    prompts = [f"{'so it ' * number}is" for number in range(6)]
    drawn = DecodeOptions(max_new_tokens=16, temperature=1.0, max_calls=4, call_top_k=0, max_call_tokens=12)
    together = [answer.text for answer in decoder().write(prompts, drawn)]
    assert together == [decoder().write([prompt], drawn)[0].text for prompt in prompts]
    assert any("-> 2]" in text for text in together)
