"""SituatedQA (Zhang and Choi 2021): questions whose answer depends on the date; in place of the paper's TempLAMA."""

from evals.open_questions import OpenQuestions


class SituatedQA(OpenQuestions):
    """Read from temp.test.jsonl."""

    describes = "SituatedQA: questions that say as of when; the first twenty words count"
    path = "situatedqa/temp.test.jsonl"
    question_column = "edited_question"
    barred_tools = ()
