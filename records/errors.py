"""What the user has to change, and how an error is told in one line. Standard library only."""


class UnusableError(ValueError):
    """The run cannot go on until the user changes something; the message is one line that says what."""


def one_line(error: BaseException) -> str:
    """The whole message of an error, its line breaks and runs of spaces folded into single spaces."""
    return " ".join(str(error).split())


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for libraries that append pages of advice."""
    return (str(error).strip() or "no message").splitlines()[0]
