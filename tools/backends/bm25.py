"""How passages and questions become terms, and a query of such terms: BM25 by tantivy, which does the rest.

Terms: split at everything that is no letter or digit, lower case, without accents, English stems. A query is made of
terms, never parsed: no input can be a syntax error. Its terms count once each, and one of them is enough to match.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tantivy

TOKENIZER_NAME = "english_terms"
MAX_TERM_BYTES = 60
MAX_QUERY_CHARS = 1_000
MAX_QUERY_TERMS = 64
NUM_TIED_HITS = 10
"""So many hits are looked at to settle ties by the order of the file; more equal scores than that are left as found."""
WRITER_BYTES = 64_000_000


class Terms:
    """The analyser that indexing and querying share."""

    def __init__(self) -> None:
        import tantivy

        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        for term_filter in (
            tantivy.Filter.remove_long(MAX_TERM_BYTES),
            tantivy.Filter.lowercase(),
            tantivy.Filter.ascii_fold(),
            tantivy.Filter.stemmer("english"),
        ):
            builder = builder.filter(term_filter)
        self.analyzer = builder.build()

    def of_query(self, query: str) -> list[str]:
        """The distinct terms of a query, in order; of a very long one, the first."""
        encodable = query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is not
        return list(dict.fromkeys(self.analyzer.analyze(encodable)))[:MAX_QUERY_TERMS]


def any_of(terms: Sequence[str], fields: Sequence[str], schema: "tantivy.Schema") -> "tantivy.Query":
    """Matches what holds at least one of the terms in one of the fields; scores add up."""
    import tantivy

    queries = [tantivy.Query.term_query(schema, field, term) for term in terms for field in fields]
    return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])


def best_row(searcher: "tantivy.Searcher", query: "tantivy.Query") -> "tuple[float, tantivy.Document] | None":
    """Score and document of the best hit; of equal ones the first of the file (integer field `row`). None: no hit."""
    hits = searcher.search(query, limit=NUM_TIED_HITS, count=False).hits
    if not hits:
        return None
    best_score = hits[0][0]
    tied = [searcher.doc(address) for score, address in hits if score == best_score]
    return best_score, min(tied, key=lambda document: document["row"][0])
