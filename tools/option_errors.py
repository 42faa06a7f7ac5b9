"""Errors of one line that name the option and its value, whatever library they come from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming_option(option: str, value: str) -> Iterator[None]:
    """Turns an error in opening what an option names, a file, an index or a model, into a ValueError of one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AssertionError) as error:
        raise ValueError(f"{option} {value}: {' '.join(str(error).split())}") from error


def check_model_folder(model: str) -> None:
    """Raises ValueError for a missing folder, which Hugging Face would take for a strange name and look for online."""
    if model.startswith(("/", "./", "../", "~")) and not Path(model).expanduser().is_dir():
        raise ValueError("there is no such folder")
