"""Wikipedia search: BM25 over a file of passages, the best one's beginning as the answer (paper, section 3)."""

from records.stages import Document
from tools.tool import CallContext, Tool


class WikiSearch(Tool):
    name = "WikiSearch"
    instruction = (
        "Add calls to a search engine to the text. A call looks up a term in an encyclopedia and helps to write a "
        'fact about it. Write a call as "[WikiSearch("term")]". Here are some examples:'
    )
    demonstrations = (
        'The Nile flows through Cairo, the capital of [WikiSearch("Nile Cairo")] Egypt, and ends in the sea.',
        'The painter of the Mona Lisa was [WikiSearch("Mona Lisa")] Leonardo da Vinci.',
        'Fishing reels were first made in [WikiSearch("fishing reel history")] China long ago.',
    )

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        raise NotImplementedError
