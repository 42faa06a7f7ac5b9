"""Names in calls of tools that servers name as they like: `get-weather` and `get_weather` are `GetWeather`."""

import re
from collections.abc import Iterable, Mapping

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.schema_check import check_name

MAX_NAME_CHARS = 64
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[A-Za-z0-9]+", re.ASCII)


def name_in_calls(name: str, where: str) -> str:
    """The name that stands in calls. Raises UnusableError for a name of which nothing is left, or too long a one.

    >>> name_in_calls("units.get-HTTPStatus_2", "")
    'UnitsGetHTTPStatus2'
    """
    written = "".join(word[0].upper() + word[1:] for word in _WORD.findall(name[: 2 * MAX_NAME_CHARS]))
    if not written or written[0].isdigit() or len(written) > MAX_NAME_CHARS:
        shown = clean_result(name, MAX_NAME_CHARS)
        raise UnusableError(f"{where}: of the name {shown!r} no name for calls can be made; give it one in names")
    return written


def key_of(written: str) -> str:
    """The key of the tool's options: `GetWeather` is `get_weather`."""
    return _WORD_START.sub("_", written).lower()


def names_in_calls(names: Iterable[str], where: str, given: Mapping[str, str]) -> dict[str, str]:
    """The name in calls of each tool of a server; `given` has those that the user chose.

    Raises UnusableError for two that would be called alike.
    """
    found: dict[str, str] = {}
    for name in names:
        written = check_name(given[name], f"{where}.names") if name in given else name_in_calls(name, where)
        if other := next((other for other, taken in found.items() if taken == written), None):
            raise UnusableError(
                f"{where}: {other!r} and {name!r} would both be {written} in calls; allow one by `tools`"
            )
        found[name] = written
    return found
