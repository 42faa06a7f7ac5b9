"""SituatedQA (Zhang and Choi 2021): questions whose answer depends on the date; in place of the paper's TempLAMA.

Judged as the paper judges TempLAMA, that is as LAMA (section 4.2.5); one answer in a hundred is longer.
"""

from toolformer_ray.evals.open_questions import OpenQuestions
from toolformer_ray.evals.rules import is_among_first_words


class SituatedQA(OpenQuestions):
    """Read from temp.test.jsonl."""

    describes = "SituatedQA: questions that say as of when; the first five words count"
    path = "situatedqa/temp.test.jsonl"
    question_column = "edited_question"
    rule = staticmethod(is_among_first_words(5))
    barred_tools = ()
