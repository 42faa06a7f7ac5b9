"""Wikipedia search: the beginning of the best passage of a file, found by BM25 (paper, section 3)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from toolformer_ray.records.calls import MAX_RESULT_CHARS, unquote
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.passage_index import Passage, PassageIndex, read_description
from toolformer_ray.tools.decoys.draw import distinct
from toolformer_ray.tools.options import ToolOptions, naming_option
from toolformer_ray.tools.tool import BadInput, CallContext, Tool
from toolformer_ray.tools.wanted_places import before_names_and_numbers

_ARTICLE = re.compile(r"^(?:the|an?)\s+", re.IGNORECASE)
_SENTENCE_END = re.compile(r"""[.!?][.!?'"”’»)]*(?=\s|$)""")
# A full stop after one of these, or after a single letter, ends no sentence: `Dr. No`, `J. Doe`, `D . C .`
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|Mt|Jr|Sr|No|vs|ca|approx|Prof|Gen|Col|Capt|Lt|Rev)|\b\w)\s?$")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(ToolOptions):
    """The passages, and how much of one is an answer."""

    index: str | None = None
    """Folder of the passage index, made by `toolformer build-index`."""
    max_snippet_chars: int = 300
    """The answer is the best passage's beginning, at most this many characters, cut at the end of a sentence."""

    def __post_init__(self) -> None:
        if not 20 <= self.max_snippet_chars <= MAX_RESULT_CHARS:
            raise OptionError("max_snippet_chars", self.max_snippet_chars, f"it must be 20 to {MAX_RESULT_CHARS}")


class WikiSearch(Tool):
    Options = SearchOptions
    options: SearchOptions
    name = "WikiSearch"
    description = "Looks up a term in an encyclopedia and gives the beginning of the best passage."
    parameters = {"term": "What to look up."}
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
            raise UnusableError("WikiSearch needs `search.index` FOLDER, an index made by `toolformer build-index`")
        self._path = options.index
        self._index: PassageIndex | None = None

    def open(self) -> None:
        with naming_option("search.index", self._path):
            self._index = PassageIndex(self._path)

    def data_version(self) -> str:
        with naming_option("search.index", self._path):
            return read_description(self._path).content_hash

    def wants(self, document: Document) -> bool:
        return True

    def wanted_places(self, text: str) -> Iterable[int]:
        return before_names_and_numbers(text)

    def run(self, call_input: str, context: CallContext) -> str:
        query = unquote(call_input)
        if not query:
            raise BadInput("a search needs a term")
        if self._index is None:
            raise RuntimeError("WikiSearch.open() has to be called before run()")
        passages = self._index.search(query)
        return self._snippet(passages[0]) if passages else ""

    def decoys(self, result: str, key: str, num_decoys: int) -> list[str]:
        if self._index is None:
            self.open()
        return distinct(result, map(self._snippet, self._index.others(key) if self._index else ()), num_decoys)

    def _snippet(self, passage: Passage) -> str:
        return write_snippet(passage, self.options.max_snippet_chars)


def write_snippet(passage: Passage, max_chars: int) -> str:
    """The passage's beginning after its title, which is left out if the text begins with it, articles aside."""
    snippet = cut_at_sentence(passage.text, max_chars)
    title = passage.title.strip()
    beginning = _ARTICLE.sub("", snippet).casefold()
    return snippet if beginning.startswith(_ARTICLE.sub("", title).casefold()) else f"{title}: {snippet}"


def cut_at_sentence(text: str, max_chars: int) -> str:
    """As many whole sentences from the start as fit; if not even one fits, whole words and an ellipsis.

    >>> cut_at_sentence("The Nile is a river. It is long. It ends in the sea.", 35)
    'The Nile is a river. It is long.'
    """
    text = text.strip()
    if len(text) <= max_chars:
        return text
    # One character more than fits, so that a sentence is seen to end exactly at the limit.
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, max_chars + 1) if _ends_sentence(text, match)]
    fitting = [end for end in ends if end <= max_chars]
    if fitting:
        return text[: fitting[-1]]
    words = text[:max_chars].rsplit(maxsplit=1)
    return words[0].rstrip(" ,;:") + "…"


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    return text[match.start()] != "." or not _ABBREVIATION.search(text, max(0, match.start() - 10), match.start())
