"""Wikipedia search: BM25 over a file of passages, the best one's beginning as the answer (paper, section 3)."""

import re
from dataclasses import dataclass

from toolformer_ray.records.calls import MAX_RESULT_CHARS, unquote
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.passage_index import Passage, PassageIndex, read_description
from toolformer_ray.tools.backends.snippets import cut_at_sentence
from toolformer_ray.tools.options import ToolOptions, naming_option
from toolformer_ray.tools.tool import BadInput, CallContext, Tool

_ARTICLE = re.compile(r"^(?:the|an?)\s+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SearchOptions(ToolOptions):
    """Where the passages are, and how much of one is an answer."""

    index: str | None = None
    """Folder of the passage index, made by `toolformer build-index`."""
    max_snippet_chars: int = 300
    """The answer is the best passage's beginning, at most this many characters, cut at the end of a sentence."""

    def __post_init__(self) -> None:
        if not 20 <= self.max_snippet_chars <= MAX_RESULT_CHARS:
            raise ValueError(f"max_snippet_chars is {self.max_snippet_chars}; it must be 20 to {MAX_RESULT_CHARS}")


class WikiSearch(Tool):
    Options = SearchOptions
    name = "WikiSearch"
    wants_by_data = False
    locates_data = frozenset({"index"})
    instruction = (
        "Add calls to a search engine to the text. A call looks up a term in an encyclopedia and helps to write a "
        'fact about it. Write a call as "[WikiSearch("term")]". Here are some examples:'
    )
    demonstrations = (
        'The Danube flows through Vienna, the capital of [WikiSearch("Danube Vienna")] Austria, to the Black Sea.',
        'The painter of the Mona Lisa was [WikiSearch("Mona Lisa")] Leonardo da Vinci.',
        'Porcelain was first made in [WikiSearch("porcelain history")] China long ago.',
    )

    def __init__(self, options: SearchOptions) -> None:
        super().__init__(options)
        if not options.index:
            raise ValueError("WikiSearch needs --search.index FOLDER, an index made by `toolformer build-index`")
        self._index_path = options.index
        self._max_snippet_chars = options.max_snippet_chars
        self._index: PassageIndex | None = None

    def open(self) -> None:
        with naming_option("--search.index", self._index_path):
            self._index = PassageIndex(self._index_path)

    def data_version(self) -> str:
        with naming_option("--search.index", self._index_path):
            return read_description(self._index_path).content_hash

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        query = unquote(call_input)
        if not query:
            raise BadInput("a search needs a term")
        if self._index is None:
            raise RuntimeError("WikiSearch.open() has to be called before run()")
        passages = self._index.search(query)
        return write_snippet(passages[0], self._max_snippet_chars) if passages else ""


def write_snippet(passage: Passage, max_chars: int) -> str:
    """The passage's beginning; after its title, unless the text itself begins with that, an article aside."""
    snippet = cut_at_sentence(passage.text, max_chars)
    title = passage.title.strip()
    beginning = _ARTICLE.sub("", snippet).casefold()
    return snippet if beginning.startswith(_ARTICLE.sub("", title).casefold()) else f"{title}: {snippet}"
