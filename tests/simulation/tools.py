"""Tools that answer by arithmetic after a while, and can be put into trouble from outside: a file says which kind."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.simulation.rows import PROFILES, answer
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.tool import BadInput, CallContext, Tool, Unavailable

Kind = Literal["hang", "crash", "garbage", "down"]
KINDS: tuple[Kind, ...] = ("hang", "crash", "garbage", "down")
SECONDS_BETWEEN_LOOKS = 0.05
GARBAGE = "\x00\x1b[2J{not an answer"


@dataclass(frozen=True)
class Trouble:
    """A folder that all workers see; the file `now` names the kind, and `felt` grows by a byte with each call hit."""

    folder: str
    seconds_per_call: float = 0.0

    def begin(self, kind: Kind) -> None:
        """From now on every call of every tool fails in this way."""
        whole = Path(self.folder) / "next"
        whole.write_text(kind)
        whole.rename(Path(self.folder) / "now")

    def end(self) -> None:
        """The tools are well again; calls that hang come back."""
        (Path(self.folder) / "now").unlink(missing_ok=True)

    def kind(self) -> str | None:
        """The trouble that there is now, if any."""
        try:
            return (Path(self.folder) / "now").read_text()
        except FileNotFoundError:
            return None

    def pause(self) -> None:
        """Workers wait with the shards that they have in hand, until `go_on`."""
        (Path(self.folder) / "paused").touch()

    def go_on(self) -> None:
        """The end of a pause."""
        (Path(self.folder) / "paused").unlink(missing_ok=True)

    def wait(self) -> None:
        """Wait until there is no pause."""
        while (Path(self.folder) / "paused").exists():
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def note_felt(self) -> None:
        """Count one call that was hit."""
        with (Path(self.folder) / "felt").open("ab", buffering=0) as file:
            file.write(b".")

    @property
    def num_felt(self) -> int:
        """Calls that were hit so far."""
        felt = Path(self.folder) / "felt"
        return felt.stat().st_size if felt.exists() else 0


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
            json.loads(GARBAGE)
        while kind == "hang" and self._trouble.kind() == kind:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        raise Unavailable("the tool is down")


def open_executor(trouble: Trouble, seed: int) -> ToolExecutor:
    """The real executor around simulated tools; what is down is asked again soon."""
    tools = {profile.name: SimulatedTool(profile.name, trouble, seed) for profile in PROFILES.values()}
    return ToolExecutor(tools, first_retry_delay=0.05)
