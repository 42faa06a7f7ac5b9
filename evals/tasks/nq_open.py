"""Natural Questions, open domain (Kwiatkowski et al. 2019; Lee et al. 2019; paper, table 5)."""

from toolformer_ray.evals.open_questions import OpenQuestions


class NQOpen(OpenQuestions):
    """Read from NQ-open.dev.jsonl."""

    describes = "Natural Questions: questions people asked a search engine; the first twenty words count"
    path = "nq_open/NQ-open.dev.jsonl"
