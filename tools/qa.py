"""Question answering: a question in, a short answer out (paper, section 3, where the backend is Atlas)."""

from records.stages import Document
from tools.tool import CallContext, Tool


class QuestionAnswering(Tool):
    name = "QA"
    instruction = (
        "Add calls to a question answering system to the text. A call asks a question whose answer helps to write "
        'what comes next. Write a call as "[QA("question")]". Here are some examples:'
    )
    demonstrations = (
        'Joe Biden was born in [QA("Where was Joe Biden born?")] Scranton, a city in '
        '[QA("In which state is Scranton?")] Pennsylvania.',
        'The telephone was invented by [QA("Who invented the telephone?")] Alexander Graham Bell.',
    )

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        raise NotImplementedError
