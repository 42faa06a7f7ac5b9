"""The terms of passages and questions, and BM25 queries of such terms, which tantivy answers.

A text is split at everything that is no letter or digit; terms are lower-case English stems without accents. A query is
built from terms and never parsed, so no input is a syntax error. Each term counts once, and one suffices to match.
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
"""Ties among this many best hits are broken by the order of the file."""
WRITER_BYTES = 64_000_000


class Terms:
    """The analyzer for both indexing and querying."""

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
        """The distinct terms of a query, in order; only the first ones of a very long query."""
        encodable = query[:MAX_QUERY_CHARS].encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
        return list(dict.fromkeys(self.analyzer.analyze(encodable)))[:MAX_QUERY_TERMS]


def any_of(terms: Sequence[str], fields: Sequence[str], schema: "tantivy.Schema") -> "tantivy.Query":
    """A query that matches documents with at least one of the terms in one of the fields; scores add up."""
    import tantivy

    queries = [tantivy.Query.term_query(schema, field, term) for term in terms for field in fields]
    return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in queries])


def best_row(searcher: "tantivy.Searcher", query: "tantivy.Query") -> "tuple[float, tantivy.Document] | None":
    """Score and document of the best hit, of equal ones the first by the field `row`; None if there is none."""
    hits = searcher.search(query, limit=NUM_TIED_HITS, count=False).hits
    if not hits:
        return None
    best_score = hits[0][0]
    tied = [searcher.doc(address) for score, address in hits if score == best_score]
    return best_score, min(tied, key=lambda document: document["row"][0])
