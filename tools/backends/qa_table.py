"""Question answering by a table of known questions and answers, searched by BM25 with a threshold."""

import math

from toolformer_ray.tools.backends.bm25 import TOKENIZER_NAME, WRITER_BYTES, Terms, any_of, best_row
from toolformer_ray.tools.backends.data_file import read_columns
from toolformer_ray.tools.decoys.pool import Pool

# BM25's two constants in tantivy, with which a question's score against itself is computed here.
_K1, _B = 1.2, 0.75


class QuestionTable:
    """Known questions with their answers, in memory; of several equal questions the first counts.

    `min_similarity`, from 0 to 1, is compared with the best known question's BM25 score as a share of the score that
    the asked question would have if it were in the table. Unlike the score, the share does not depend on the table's
    size.
    """

    def __init__(self, path: str, min_similarity: float) -> None:
        import tantivy

        self._min_similarity = min_similarity
        self._terms = Terms()
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("question", tokenizer_name=TOKENIZER_NAME, index_option="freq")
        builder.add_text_field("answer", stored=True, tokenizer_name="raw", index_option="basic")
        self._schema = builder.add_integer_field("row", stored=True).build()
        index = tantivy.Index(self._schema)
        index.register_tokenizer(TOKENIZER_NAME, self._terms.analyzer)
        writer = index.writer(heap_size=WRITER_BYTES, num_threads=1)
        num_terms, answers = 0, []
        for row, (question, answer) in enumerate(read_columns(path, ("question", "answer"))):
            writer.add_document(tantivy.Document(question=question, answer=answer, row=row))
            num_terms += len(self._terms.analyzer.analyze(question))
            answers.append(answer)
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()
        self._num_questions = self._searcher.num_docs
        if not num_terms:
            raise ValueError(f"{path} holds no questions")
        self._mean_terms = num_terms / self._num_questions
        self.answers = Pool(answers)
        """All of them."""

    def answer(self, question: str) -> str:
        """The answer to the most similar known question; empty if none is similar enough."""
        terms = self._terms.of_query(question)
        best = best_row(self._searcher, any_of(terms, ("question",), self._schema)) if terms else None
        if best is None or best[0] < self._min_similarity * self._own_score(terms):
            return ""
        answer: str = best[1]["answer"][0]
        return answer

    def _own_score(self, terms: list[str]) -> float:
        """The BM25 score of a known question with exactly these terms."""
        saturation = (_K1 + 1) / (1 + _K1 * (1 - _B + _B * len(terms) / self._mean_terms))
        return saturation * sum(self._rarity(term) for term in terms)

    def _rarity(self, term: str) -> float:
        holding = self._searcher.doc_freq("question", term)
        return math.log(1 + (self._num_questions - holding + 0.5) / (holding + 0.5))
