"""Two small tools and a way to make documents, for tests of the stages."""

import datetime
import hashlib
from typing import Any

from tests.support.rows import make_row
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.tools.options import Teaching
from toolformer_ray.tools.tool import BadInput, CallContext, Tool


class SmallTool(Tool):
    """A tool that is made with the thresholds to teach it by; the default ones leave room on both sides."""

    def __init__(self, **teaching: Any) -> None:
        super().__init__()
        self.teaching = Teaching(
            **{"min_open_probability": 0.05, "max_places": 2, "num_samples": 4, "min_loss_reduction": 0.5} | teaching
        )


class Adder(SmallTool):
    """Adds two numbers: `Add(2+3)` is 5."""

    name = "Add"
    instruction = "Add calls."
    demonstrations = ("One and two are [Add(1+2)] 3.",)

    def wants(self, document: Document) -> bool:
        return any(character.isdigit() for character in document.text)

    def run(self, call_input: str, context: CallContext) -> str:
        try:
            first, second = map(int, call_input.split("+"))
        except ValueError as error:
            raise BadInput(call_input) from error
        return str(first + second)


class Translator(SmallTool):
    """Knows the sea; struck where its input stands later in the text."""

    name = "MT"
    instruction = "Translate."
    demonstrations = ('La mer, or [MT("La mer")] the sea.',)
    strikes_future_inputs = True

    def wants(self, document: Document) -> bool:
        return "mer" in document.text

    def run(self, call_input: str, context: CallContext) -> str:
        return "the sea" if call_input == '"mer"' else ""


def make_document(text: str, date: datetime.date | None = None) -> Document:
    """A document as ingest would make it."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return make_row(Document, text_id=f"{digest}-0", doc_id=text[:8], text=text, date=date)


def make_executed(document: Document, char_offset: int, token_index: int, **columns: object) -> Executed:
    """An answered call of the adder at a place of a document, with some columns changed."""
    place = {"text_id": document.text_id, "token_index": token_index, "char_offset": char_offset}
    return make_row(Executed, **place | columns)
