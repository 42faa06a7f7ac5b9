"""Calendar: the day on which a text was written; at inference, the clock's (paper, section 3)."""

from records.stages import Document
from tools.tool import CallContext, Tool


class Calendar(Tool):
    name = "Calendar"
    reads_today = True
    instruction = (
        "Add calls to a calendar to the text. A call gives today's date and helps to write a date or a day that "
        'depends on it. Write a call as "[Calendar()]". Here are some examples:'
    )
    demonstrations = (
        "Today is [Calendar()] Monday, June 5, 2017, and the shop is closed.",
        "The president of the club today, [Calendar()] August 21, 2003, is Ann Lee.",
        "It is now [Calendar()] Friday, May 2, 2014, so the week is nearly over.",
        "The store is never open on the weekend, so today, [Calendar()] Sunday, March 9, 2008, it is closed.",
        "We write this on [Calendar()] October 30, 1999, one day before the feast.",
    )

    def wants(self, document: Document) -> bool:
        return document.date is not None

    def run(self, call_input: str, context: CallContext) -> str:
        raise NotImplementedError
