"""Tools that answer by arithmetic after a while, and can be put into trouble from outside: a file says which kind."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.simulation.rows import BY_NAME, answer
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.tool import BadInput, CallContext, Tool, Unavailable

Kind = Literal["hang", "crash", "garbage", "down"]
SECONDS_BETWEEN_LOOKS = 0.05


@dataclass(frozen=True)
class Trouble:
    """A folder that all workers see: `now` names the kind of trouble, `felt` grows by a byte with each call hit."""

    folder: str
    seconds_per_call: float = 0.0

    def begin(self, kind: Kind) -> None:
        """From now on every call of every tool fails in this way."""
        self._path("next").write_text(kind)
        self._path("next").rename(self._path("now"))

    def end(self) -> None:
        """The tools are well again; calls that hang come back."""
        self._path("now").unlink(missing_ok=True)

    def kind(self) -> str | None:
        """The trouble that there is now, if any."""
        try:
            return self._path("now").read_text()
        except FileNotFoundError:
            return None

    def pause(self) -> None:
        """Workers wait with the shards that they have in hand, until `go_on`."""
        self._path("paused").touch()

    def go_on(self) -> None:
        """The end of a pause."""
        self._path("paused").unlink(missing_ok=True)

    def wait(self) -> None:
        """Wait until there is no pause."""
        while self._path("paused").exists():
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def note_felt(self) -> None:
        """Count one call that was hit."""
        with self._path("felt").open("ab", buffering=0) as file:
            file.write(b".")

    @property
    def num_felt(self) -> int:
        """Calls that were hit so far."""
        return self._path("felt").stat().st_size if self._path("felt").exists() else 0

    def _path(self, name: str) -> Path:
        return Path(self.folder) / name


class SimulatedTool(Tool):
    """One of the tools of the simulation, named when it is made."""

    instruction = ""
    demonstrations = ()
    asking = Asking(timeout=0.5, max_retries=1, pause_after=10, pause=0.5)

    def __init__(self, name: str, trouble: Trouble, seed: int) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]  # one class for all of them
        self._trouble, self._seed = trouble, seed

    def wants(self, document: Document) -> bool:
        """All texts; nobody asks, as proposals are made by arithmetic."""
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        """The answer, or whatever the trouble of the moment makes of it."""
        time.sleep(self._trouble.seconds_per_call)
        if kind := self._trouble.kind():
            self._trouble.note_felt()
            self._fail(kind)
        if (result := answer(self._seed, self.name, call_input)) is None:
            raise BadInput(call_input)
        return result

    def _fail(self, kind: str) -> None:
        if kind == "crash":
            raise RuntimeError("the tool broke")
        if kind == "garbage":
            json.loads("\x00\x1b[2J{not an answer")
        while kind == "hang" and self._trouble.kind() == kind:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        raise Unavailable("the tool is down")


def open_executor(trouble: Trouble, seed: int) -> ToolExecutor:
    """The real executor around simulated tools; what is down is asked again soon."""
    tools = {name: SimulatedTool(name, trouble, seed) for name in BY_NAME}
    return ToolExecutor(tools, first_retry_delay=0.05)
