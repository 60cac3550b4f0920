"""Chromium without a window, spoken to by the DevTools protocol over two pipes: no port, no library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_SECONDS = 60.0
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--hide-scrollbars",
)
# Chromium reads commands from descriptor 3 and writes to 4. They are moved out of the way first, as they may
# be 3 and 4 the other way round.
LAUNCHER = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""

Event = dict[str, Any]


def executable() -> str:
    """Where Chromium is; AssertionError, with what to do, where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, f"no browser under any of {', '.join(NAMES)}: install the package chromium"
    return found


class Browser:
    """One process and what it has said so far."""

    def __init__(self, profile: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        launch = [sys.executable, "-c", LAUNCHER, str(commands), str(answers), executable()]
        self._process = subprocess.Popen(
            [*launch, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self._number, self._buffer = 0, b""
        self.events: list[Event] = []

    def _message(self) -> Event:
        """The next message; AssertionError where none comes in time, or the browser has gone."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE_SECONDS)
            assert ready, f"the browser said nothing for {PATIENCE_SECONDS:g} s"
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended"
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: Event = json.loads(text)
        return message

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; AssertionError where it fails. Events meanwhile go to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """The first event of a kind among those after the first `since`, those to come included."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            for event in self.events[since:]:
                if wanted(event):
                    return event
            assert time.monotonic() < end, "the event did not come"
            self.events.append(self._message())

    def close(self) -> None:
        """End this browser and what it started."""
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._commands)
        os.close(self._answers)


class Tab:
    """One page of a browser."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        found = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def said(self, method: str) -> list[dict[str, Any]]:
        """What the page's events of a kind told, in their order."""
        return [event["params"] for event in self.browser.events if event.get("method") == method]

    def view(self, width: int, height: int, scheme: str = "light") -> None:
        """The size of the window in CSS pixels, and the reader's light or dark setting."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)

    def open(self, path: Path) -> None:
        """Load a file and wait until it is there."""
        since = len(self.browser.events)
        self.call("Page.navigate", url=path.as_uri())
        self.browser.wait(lambda event: event.get("method") == "Page.loadEventFired", since)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page, as JSON values."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, expression: str) -> None:
        """Press the mouse in the middle of the element that an expression gives."""
        place = (
            f"(() => {{ const e = {expression}; e.scrollIntoView({{block: 'center', inline: 'center'}});"
            " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        x, y = self.value(place)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key where the focus is."""
        known = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def write(self, text: str) -> None:
        """Type where the focus is."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, full: bool = True) -> None:
        """A screenshot, of the whole page or of the window."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(found["data"]))

    def paper(self) -> bytes:
        """The page as it is printed, as PDF."""
        found = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, which is ended at the end."""
    browser = Browser(profile)
    try:
        yield Tab(browser)
    finally:
        browser.close()
