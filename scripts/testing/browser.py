"""A Chromium without a window, by the W3C's WebDriver protocol over chromedriver.

Standard library alone: what tests need of a browser is a dozen calls, and the package that wraps
them brings 12 MB of binaries that download drivers by themselves.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: Where Debian, Fedora and others put them.
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_DRIVERS: Final = ("chromedriver", "chromium-driver", "chromium.chromedriver")

#: What a person installs where there is none.
PACKAGES: Final = "chromium and chromium-driver (apt-get install chromium chromium-driver)"

_SECONDS: Final = 60.0
#: What it prints last; before it, that it was asked for port 0.
_CHOSEN: Final = re.compile(r"on port ([1-9][0-9]*)\.")
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"


class BrowserError(Exception):
    """A browser that is not there, does not start, or could not do what was asked."""


def found() -> tuple[str, str] | None:
    """The browser and its driver; None where either is missing."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = next(filter(None, map(shutil.which, _DRIVERS)), None)
    return (browser, driver) if browser and driver else None


class Browser:
    """One session."""

    def __init__(self, driver: str, session: str) -> None:
        self._base = f"{driver}/session/{session}"

    def go(self, address: str) -> None:
        """Load a page, to its `load` event."""
        self._call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns in the page, past its Content-Security-Policy."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script: str, *arguments: object, seconds: float = _SECONDS) -> Any:
        """The first true value of a script, asked again and again. Raises BrowserError, late."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            if time.monotonic() > deadline:
                raise BrowserError(f"not within {seconds:g} s: {script}")
            time.sleep(0.05)
        return value

    def find(self, selector: str) -> str:
        """An element by CSS selector, for `click` and `type`."""
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a person does."""
        self._call("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Type into an element."""
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        sequence = {"type": "key", "id": "keys", "actions": actions}
        self._call("POST", "/actions", {"actions": [sequence]})

    def size(self, width: int, height: int) -> None:
        """The window's inside, CSS pixels."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as if the reader's system said so."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self._devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def picture(self) -> bytes:
        """What is shown, PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def complaints(self) -> list[str]:
        """What the browser wrote into its console since it was asked last: errors of a page."""
        found = self._call("POST", "/se/log", {"type": "browser"})
        return [str(each["message"]) for each in found]

    def _devtools(self, command: str, params: dict[str, Any]) -> None:
        self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return _request(method, self._base + path, body)


@contextmanager
def browser(arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser with a profile of its own, which reaches nothing but this machine."""
    programs = found()
    if programs is None:
        raise BrowserError(f"there is no browser; install {PACKAGES}")
    with tempfile.TemporaryDirectory() as profile, _driver(programs[1], Path(profile)) as driver:
        options = {
            "binary": programs[0],
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                "--no-first-run",
                "--force-prefers-reduced-motion",
                "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                f"--user-data-dir={profile}/profile",
                *arguments,
            ],
        }
        wanted = {
            "capabilities": {
                "alwaysMatch": {
                    "browserName": "chrome",
                    "goog:chromeOptions": options,
                    "goog:loggingPrefs": {"browser": "ALL"},
                }
            }
        }
        made = _request("POST", f"{driver}/session", wanted)
        session = Browser(driver, made["sessionId"])
        try:
            yield session
        finally:
            with contextlib.suppress(OSError):
                _request("DELETE", session._base, None)


@contextmanager
def _driver(program: str, folder: Path) -> Iterator[str]:
    """chromedriver on a port that it chooses and prints; its address."""
    log = folder / "driver.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [program, "--port=0"],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{_port(log)}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _port(log: Path) -> int:
    """The port that it says it chose, once it says so."""
    deadline = time.monotonic() + _SECONDS
    while not (named := _CHOSEN.search(log.read_text(errors="replace"))):
        if time.monotonic() > deadline:
            raise BrowserError(f"chromedriver did not start: {log.read_text(errors='replace')}")
        time.sleep(0.05)
    return int(named[1])


def _request(method: str, address: str, body: dict[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)  # noqa: S310 (ours)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        why = json.load(error)["value"]
        raise BrowserError(f"{why['error']}: {why['message']}") from None
