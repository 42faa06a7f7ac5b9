"""Calculator: + - * /, rounded to two decimals (paper, section 3)."""

from collections.abc import Iterable

from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.arithmetic import evaluate, format_rounded
from toolformer_ray.tools.backends.number_texts import wants_calculator
from toolformer_ray.tools.options import Teaching
from toolformer_ray.tools.tool import CallContext, Tool
from toolformer_ray.tools.wanted_places import before_numbers


class Calculator(Tool):
    name = "Calculator"
    description = "Evaluates an arithmetic expression and gives its value, rounded to two decimals."
    parameters = {"expression": "Numbers, + - * / and parentheses, such as 18 * 24."}
    teaching = Teaching(
        min_open_probability=0.0, max_places=12, num_samples=5, min_loss_reduction=0.5, min_contrast=0.3
    )
    teaching_in_paper = Teaching(min_open_probability=0.0, max_places=20, num_samples=10, min_loss_reduction=0.5)
    one_at_a_time = True
    answers_at_once = True
    instruction = (
        "Add calls to a calculator to the text. A call gives the value of an expression and helps to write the "
        'number that comes next. Write a call as "[Calculator(expression)]". Here are some examples:'
    )
    demonstrations = (
        "The shop sold 18 boxes with 24 pens each, which makes [Calculator(18 * 24)] 432 pens.",
        "Of the 250 seats 65 were empty, so [Calculator(250 - 65)] 185 people saw the play.",
        "She paid 320 dollars in May and 415 dollars in June, a total of [Calculator(320 + 415)] 735 dollars.",
        "The 1,240 books fill 8 shelves, that is [Calculator(1240 / 8)] 155 books a shelf.",
        "Of 640 parcels 96 came late, which is [Calculator(96 / 640)] 0.15 of all parcels.",
    )

    def wants(self, document: Document) -> bool:
        return wants_calculator(document.text_id, document.text)

    def wanted_places(self, text: str) -> Iterable[int]:
        return before_numbers(text)

    def run(self, call_input: str, context: CallContext) -> str:
        return format_rounded(evaluate(call_input))
