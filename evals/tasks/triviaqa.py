"""TriviaQA (Joshi et al. 2017): questions of quizzes, with every accepted spelling of the answer (paper, table 5)."""

from evals.open_questions import OpenQuestions


class TriviaQA(OpenQuestions):
    """Read from test.jsonl."""

    describes = "TriviaQA: questions of quizzes; the first twenty words count"
    path = "triviaqa/test.jsonl"
    answers_column = "golden_answers"
