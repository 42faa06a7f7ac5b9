"""What the user has to change, as an object, and how an error is told in one line. Standard library only.

Whoever checks a value raises; who raises knows fields, not flags. Only the command line (`jobs/cli`) spells an option
as it is written there. A message that names another option writes its field in backquotes, as in "leave out
`prune_below`", and the command line makes `--prune-below` of it.
"""

import contextlib
from collections.abc import Iterator


class UnusableError(ValueError):
    """The work cannot begin or go on until the user changes something; the message is one line that says what."""


class OptionError(UnusableError):
    """A field of an options record has a value that cannot be used.

    >>> str(OptionError("token_budget", 0, "it must be at least 1 token"))
    'token_budget is 0; it must be at least 1 token'
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        """`field` as the record names it, `remedy` what is wrong with the value and what to give instead."""
        # These arguments, and not the text, are what pickle makes the error of again in another process.
        super().__init__(field, value, remedy)
        self.field, self.value, self.remedy = field, value, remedy

    def __str__(self) -> str:
        return f"{self.field} is {self.value}; {self.remedy}"


@contextlib.contextmanager
def in_record(name: str) -> Iterator[None]:
    """For a block that makes a record which is a field of another: its errors name the path, such as `qa.timeout`."""
    try:
        yield
    except OptionError as error:
        raise OptionError(f"{name}.{error.field}", error.value, error.remedy) from error


def one_line(error: BaseException | str) -> str:
    """The whole message of an error, its line breaks and runs of spaces folded into single spaces."""
    return " ".join(str(error).split())


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for libraries that append pages of advice."""
    return (str(error).strip() or "no message").splitlines()[0]


MOST_EXPLAINED = 300


def explain(error: BaseException) -> str:
    """One line of at most 300 characters for an error of a library: the message, and its type where that says more.

    >>> explain(KeyError("eos"))
    "KeyError: 'eos'"
    >>> explain(OSError("no such file"))
    'no such file'
    """
    message = one_line(error) or "no message"
    tells_all = type(error) in (ValueError, OSError, RuntimeError) or isinstance(error, UnusableError)
    return (message if tells_all else f"{type(error).__name__}: {message}")[:MOST_EXPLAINED]
