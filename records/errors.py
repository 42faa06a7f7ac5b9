"""What the user has to change, as an object, and how an error is told in one line. Standard library only.

Whoever checks a value raises; who raises knows fields, not flags. Only the command line spells an option as it is
written there (`jobs/cli`).
"""


class UnusableError(ValueError):
    """The work cannot begin or go on until the user changes something; the message is one line that says what."""


class OptionError(UnusableError):
    """A field of an options record has a value that cannot be used.

    >>> str(OptionError("token_budget", 0, "it must be at least 1 token"))
    'token_budget is 0; it must be at least 1 token'
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        """`field` as the record names it, `remedy` what is wrong with the value and what to give instead."""
        super().__init__(f"{field} is {value}; {remedy}")
        self.field, self.value, self.remedy = field, value, remedy


def one_line(error: BaseException) -> str:
    """The whole message of an error, its line breaks and runs of spaces folded into single spaces."""
    return " ".join(str(error).split())


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for libraries that append pages of advice."""
    return (str(error).strip() or "no message").splitlines()[0]
