"""What the parts of LAMA (Petroni et al. 2019) that the paper uses have in common: statements that lack an end."""

from toolformer_ray.evals.rules import is_among_first_words
from toolformer_ray.evals.task import Task

MASK = "[MASK]"
PROMPT = "Please complete the following text so that it is factually correct: {}"
"""The paper's, appendix C.1."""


class Lama(Task):
    """The answer is among the first five words; searching Wikipedia is barred, it is where the statements are from."""

    rule = staticmethod(is_among_first_words(5))
    barred_tools = ("WikiSearch",)
    max_new_tokens = 24


def statement_before_mask(statement: str) -> str | None:
    """What stands before the mask, if it is the last word: a model that writes forwards can fill only that one in.

    >>> statement_before_mask("Dante was born in [MASK] .")
    'Dante was born in'
    """
    before, mask, after = statement.partition(MASK)
    return before.rstrip() if mask and before.strip() and not after.strip(" .") else None
