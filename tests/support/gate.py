"""A place at which a test catches a worker, in another process, at work."""

import os
import select
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Gate:
    """Two named pipes in a folder. The first worker to come says its process id, and waits until it is let through.

    It may be killed there instead. Opening a pipe waits for the other side, so nobody has to poll.
    """

    folder: str

    def build(self) -> "Gate":
        Path(self.folder).mkdir()
        for name in ("reached", "go"):
            os.mkfifo(Path(self.folder) / name)
        return self

    def wait_for_worker(self, seconds: float = 120.0) -> int:
        """Process id of the worker that has come."""
        pipe = os.open(Path(self.folder) / "reached", os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not select.select([pipe], [], [], seconds)[0]:
                raise TimeoutError(f"no worker came to {self.folder}")
            return int(os.read(pipe, 100))
        finally:
            os.close(pipe)

    def let_through(self) -> None:
        (Path(self.folder) / "go").write_text("go")

    def pass_through(self) -> bool:
        """In a worker; False if it is not the first that comes."""
        try:
            (Path(self.folder) / "claimed").touch(exist_ok=False)
        except FileExistsError:
            return False
        (Path(self.folder) / "reached").write_text(str(os.getpid()))
        (Path(self.folder) / "go").read_text()
        return True
