"""A headless Chromium that a test drives by the DevTools protocol, where there is one.

The protocol goes through a pair of pipes, so it needs neither a port nor a library.
"""

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ALONE = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)
PATIENCE = 60.0
"""Seconds for an answer, or until what a test waits for is there."""
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}


class Page:
    """The one page of a browser, its requests and what its scripts complain of."""

    def __init__(self, orders: int, answers: int) -> None:
        self.requests: list[str] = []
        """The address of everything that the browser asked for since the page was opened."""
        self.complaints: list[str] = []
        """Exceptions of scripts and what the browser logs, such as what a content policy forbids."""
        self._orders, self._answers, self._rest, self._number = orders, answers, b"", 0
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to an address and wait until the page is loaded."""
        self.requests.clear()
        self.ask("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def show_in(self, width: int, *, dark: bool = False) -> None:
        """Make the window so wide, on a screen that is light or dark."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def tell(self, script: str) -> Any:
        """What a script of one expression is worth."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until a script of one expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.tell(script):
            assert time.monotonic() < end, f"{script} did not come true"

    def press(self, key: str) -> None:
        """Press a key where the focus is, as a person would."""
        code = KEYS.get(key, ord(key[0].upper()))
        told = {"key": key, "windowsVirtualKeyCode": code} | ({} if key in KEYS else {"text": key})
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, **told)

    def ask(self, method: str, **values: object) -> dict[str, Any]:
        """Send an order and wait for its answer; events that come before it are noted."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": values}
        os.write(
            self._orders, json.dumps(order | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while (message := self._next()).get("id") != self._number:
            self._note(message)
        assert "error" not in message, (method, message["error"])
        return message["result"]  # type: ignore[no-any-return]

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], PATIENCE)[0], "the browser does not answer"
            more = os.read(self._answers, 1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)  # type: ignore[no-any-return]


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a new browser with a profile of its own. Skips the test where there is no Chromium."""
    if not (found := next(filter(None, map(shutil.which, NAMES)), None)):
        pytest.skip("there is no Chromium to open the page in")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        orders_read, orders = os.pipe()
        answers, answers_written = os.pipe()
        # Chromium reads orders from descriptor 3 and answers on 4.
        command = f'exec "$@" 3<&{orders_read} 4>&{answers_written}'
        given = ["bash", "-c", command, "bash", found, *ALONE, f"--user-data-dir={profile}"]
        with (Path(profile) / "log").open("wb") as log:
            browser = subprocess.Popen(given, pass_fds=(orders_read, answers_written), stdout=log, stderr=log)
        os.close(orders_read)
        os.close(answers_written)
        try:
            yield Page(orders, answers)
        finally:
            # Without its pipes the browser ends by itself, and its children with it.
            os.close(orders)
            os.close(answers)
            browser.wait(PATIENCE)
