"""Runs a training in a thread of its own, so that a signal reaches the main one."""

import threading
from collections.abc import Callable


def run_beside(run: Callable[[], object]) -> None:
    """Call it in a thread of its own, since in the main one Ray Train takes Ctrl-C over and ends with exit code 0."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, name="training", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
