"""WebQuestions (Berant et al. 2013): questions that people typed into a search engine (paper, table 5)."""

from toolformer_ray.evals.open_questions import OpenQuestions


class WebQuestions(OpenQuestions):
    """Read from test.json."""

    describes = "WebQuestions: questions people asked a search engine; the first twenty words count"
    path = "webquestions/test.json"
    question_column, answers_column = "qText", "answers"
