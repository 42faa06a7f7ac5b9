"""Where our defaults differ from the paper: `--as-in-paper` sets them to its values.

An option says beside its default what the paper has: `field(default=0.5, metadata={"in_paper": 1.0})`, or
`metadata=added_later(before=1.0, in_paper=1.0)` for one that older runs lack.
"""

import dataclasses
from typing import Any, ClassVar, Protocol, TypeVar


class Options(Protocol):
    """A record of options: an instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


OptionsT = TypeVar("OptionsT", bound=Options)


def as_in_paper(options: OptionsT) -> OptionsT:
    """The options with the paper's values, except those that were given a value other than their default.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Options:
    ...     temperature: float = dataclasses.field(default=0.5, metadata={"in_paper": 1.0})
    >>> as_in_paper(Options()).temperature, as_in_paper(Options(temperature=0.7)).temperature
    (1.0, 0.7)
    """
    changed = {
        field.name: field.metadata["in_paper"]
        for field in dataclasses.fields(options)
        if "in_paper" in field.metadata and getattr(options, field.name) == field.default
    }
    return dataclasses.replace(options, **changed)
