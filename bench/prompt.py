"""The calculator's prompt, written again: the folder of tools needs libraries that a GPU machine may lack.

A test holds it equal to what `annotate.prompt` makes of `tools/calculator.py`.
"""

import re

TOOL = "Calculator"

INSTRUCTION = (
    "Add calls to a calculator to the text. A call gives the value of an expression and helps to write the "
    'number that comes next. Write a call as "[Calculator(expression)]". Here are some examples:'
)
DEMONSTRATIONS = (
    "The shop sold 18 boxes with 24 pens each, which makes [Calculator(18 * 24)] 432 pens.",
    "Of the 250 seats 65 were empty, so [Calculator(250 - 65)] 185 people saw the play.",
    "She paid 320 dollars in May and 415 dollars in June, a total of [Calculator(320 + 415)] 735 dollars.",
    "The 1,240 books fill 8 shelves, that is [Calculator(1240 / 8)] 155 books a shelf.",
    "Of 640 parcels 96 came late, which is [Calculator(96 / 640)] 0.15 of all parcels.",
)

_CALL = re.compile(r" \[[^\]]*\]")


def render_demonstrations() -> str:
    """Everything before the text, ending with `Input: `."""
    shown = [f"Input: {_CALL.sub('', output)}\nOutput: {output}" for output in DEMONSTRATIONS]
    return "\n\n".join([INSTRUCTION, *shown, "Input: "])


def render_text_slot(text: str) -> str:
    """What stands between the demonstrations and the model's own copy of the text."""
    return f"{text}\nOutput: "
