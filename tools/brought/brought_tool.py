"""What every kind of place gives: a tool of a user's, as data that travel."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from toolformer_ray.tools.tool import Tool


@dataclass(frozen=True, kw_only=True)
class Brought(ABC):
    """A tool of a user's: what every process needs to have it. It is sent to the workers, so it holds no class."""

    key: str
    """By which the tool's options are named."""
    place: str
    """What was given, or would have to be given, to bring this tool alone."""

    @abstractmethod
    def load(self) -> type[Tool]:
        """The tool, whose `source` identifies what it was loaded from. Raises UnusableError, one line."""
