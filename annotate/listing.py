"""Which files there are below a folder or match a glob: one rule for disks and buckets.

Hidden names (`.x`, `_x`) are left out with all that is below them, and a wildcard does not stand for the sign with
which such a name begins. A link to a folder is followed, but no folder is entered twice: links may go in circles. What
a glob matches may be a folder, and is then read like one that is named.
"""

import functools
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pyarrow import fs

WILDCARD = re.compile(r"[*?]")
_HIDDEN = (".", "_")


@dataclass(frozen=True)
class Listed:
    """A file that was found."""

    path: str
    fault: str = ""
    """Why it cannot be opened, in words; empty for most."""


def files_below(filesystem: fs.FileSystem, folder: str) -> list[Listed]:
    """Every file in a folder and below it but the hidden ones, sorted."""
    return sorted(_walk(filesystem, folder, with_hidden=False), key=lambda listed: listed.path)


def files_matching(filesystem: fs.FileSystem, pattern: str) -> list[Listed]:
    """Every file that a pattern matches, or that is below a folder that it matches, sorted."""
    folder = before_wildcard(pattern)
    names_hidden = any(part.startswith(_HIDDEN) for part in pattern[len(folder) :].split("/"))
    matching = []
    for listed in _walk(filesystem, folder, with_hidden=names_hidden):
        # Files of the working folder are listed as "./x"; the user wrote no "./".
        path = listed.path if folder else listed.path.removeprefix("./")
        if _matches(pattern, path, len(folder)):
            matching.append(Listed(path, listed.fault))
    return sorted(matching, key=lambda listed: listed.path)


def before_wildcard(path: str) -> str:
    """The folder in which a pattern's first wildcard is, with its slash; the whole path if there is none."""
    match = WILDCARD.search(path)
    return path if match is None else path[: path.rfind("/", 0, match.start()) + 1]


def shown(path: str) -> str:
    """A path as it can be printed: bytes that are no UTF-8 as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: str) -> bool:
    """Whether a path can be written down."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _walk(filesystem: fs.FileSystem, folder: str, *, with_hidden: bool) -> Iterator[Listed]:
    if isinstance(filesystem, fs.LocalFileSystem):
        yield from _walk_disk(folder or ".", with_hidden=with_hidden)
        return
    selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
    for info in filesystem.get_file_info(selector):
        if info.type == fs.FileType.File and (with_hidden or not _is_hidden(info.path[len(folder) :])):
            yield Listed(info.path)


def _walk_disk(root: str, *, with_hidden: bool) -> Iterator[Listed]:
    if not os.path.isdir(root):  # noqa: PTH112 - as all of this function, on paths that may be no UTF-8
        return
    # Folders before links, so that a file is named by its own path whatever links lead to it.
    folders, links, entered = deque([root]), deque[str](), set[str]()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        if (real := os.path.realpath(folder)) in entered:
            continue
        entered.add(real)
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if not with_hidden and entry.name.startswith(_HIDDEN):
                continue
            if os.path.isdir(entry.path):  # noqa: PTH112
                (links if entry.is_symlink() else folders).append(entry.path)
            elif fault := _fault(entry):
                yield Listed(entry.path, fault)
            elif os.path.isfile(entry.path):  # noqa: PTH113
                yield Listed(entry.path)


def _fault(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
        return "is a link to nothing: remove it, or bring back what it leads to"
    return "" if is_utf8(entry.path) else "has a name that is no UTF-8: rename it"


def _matches(pattern: str, path: str, num_before: int) -> bool:
    """Whether the pattern matches the path, or a folder above it of which the rest of the path is not hidden."""
    expression = _expression(pattern)
    if expression.fullmatch(path):
        return True
    ends = [number for number, sign in enumerate(path) if sign == "/" and number >= num_before]
    return any(expression.fullmatch(path[:end]) and not _is_hidden(path[end:]) for end in ends)


@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a folder, `**/` stands for any number of folders, none included."""
    written, expression = "", ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        begins = not written or written.endswith("/")
        expression += _meaning(part, guard="(?![._])" if begins else "")
        written += part
    return re.compile(expression, re.DOTALL)


def _meaning(part: str, guard: str) -> str:
    meanings = {
        "**/": rf"(?:{guard}[^/]+/(?:(?![._])[^/]+/)*)?" if guard else r"[^/]*/(?:(?![._])[^/]+/)*",
        "**": rf"{guard}[^/]*(?:/(?![._])[^/]+)*",
        "*": rf"{guard}[^/]*",
        "?": rf"{guard}[^/]",
    }
    return meanings.get(part) or re.escape(part)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.split("/"))
