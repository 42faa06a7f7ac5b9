"""A Python file as text: read where a command is typed, carried to the workers, made a module there.

What a file says travels, and not where it lies, so every process runs the same text, on machines that do not have it.
"""

import functools
import hashlib
import importlib.abc
import importlib.util
import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import NoReturn

from toolformer_ray.records.errors import UnusableError, one_line

MAX_CHARS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file."""

    path: str
    """Where it lay, as it was written."""
    text: str

    @property
    def hash(self) -> str:
        """16 hex digits of what it says."""
        return source_hash(self.text)

    def load(self) -> ModuleType:
        """The module, which is made once in a process. Raises UnusableError, one line, for whatever goes wrong."""
        return _load(self)


def read_source(path: str) -> SourceFile:
    """Read a file. Raises UnusableError if there is none, or if it is no text."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UnusableError(f"{path}: there is no such file; correct the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError(f"{path}: it cannot be read as text ({one_line(error)})") from error
    if len(text) > MAX_CHARS:
        raise UnusableError(f"{path}: it has {len(text):,} characters; a file of at most {MAX_CHARS:,} is read")
    return SourceFile(path=path, text=text)


def source_hash(text: str) -> str:
    """16 hex digits that identify what a file says."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _TextLoader(importlib.abc.InspectLoader):
    """Python's own way of running a module, over a text instead of a file."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        return self._source.text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_source(fullname), self._source.path)


@functools.cache
def _load(source: SourceFile) -> ModuleType:
    name = f"toolformer_brought_{source.hash}"
    loader = _TextLoader(source)
    module = ModuleType(name)
    module.__spec__ = importlib.util.spec_from_loader(name, loader, origin=source.path)
    module.__loader__, module.__file__ = loader, source.path
    # Tracebacks show its lines also where the file is not.
    linecache.cache[source.path] = (len(source.text), None, source.text.splitlines(keepends=True), source.path)
    # Dataclasses and type hints look their module up by its name.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a user's file does is told in one line
        del sys.modules[name]
        _blame(source, error)
    return module


def _blame(source: SourceFile, error: BaseException) -> NoReturn:
    if isinstance(error, UnusableError):
        raise UnusableError(f"{source.path}: {error}") from error
    line = error.lineno if isinstance(error, SyntaxError) else None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == source.path:
            line = step.tb_lineno
        step = step.tb_next
    where = f"line {line}: " if line else ""
    hint = ""
    if isinstance(error, ImportError):
        hint = "; a file goes to the workers alone: name one that needs others as package.module:NAME"
    raise UnusableError(f"{source.path}: {where}{type(error).__name__}: {one_line(error)[:200]}{hint}") from error
