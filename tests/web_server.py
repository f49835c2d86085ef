"""The page as its users have it: `lote ui` in a process of its own, Chromium in front of it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from command import Run, command, environment, lote

# Without these Chromium asks its maker for updates and suggestions.
QUIET = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--no-first-run", "--disable-domain-reliability",
)  # fmt: skip


class Server:
    """`lote ui` over a workspace; can be killed and started again at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.workspace, self._options = folder, folder / "ws", options
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        words = ["ui", "--no-browser", "--port", str(self.port), "--root", str(self.folder), *self._options]
        self._process = subprocess.Popen(
            command(*words),
            env=environment(self.workspace),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.address
        self.port = int(self.address.rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """As the kernel does it when memory runs out."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        finally:
            if self._process.stdout:
                self._process.stdout.close()

    def lote(self, *words: str | Path) -> Run:
        """A command in the same workspace."""
        return lote(*words, workspace=self.workspace)

    def job(self, number: int) -> dict[str, Any]:
        return self.lote("status", str(number), "--json").summary

    def get(
        self, path: str, *, method: str = "GET", data: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body of a request that is sent as it is written, without tidying the path."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def until(holds: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until something holds, and give it."""
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.1)
    return value


class Visitor:
    """A tab of a browser on the page. Any request that leaves the machine is remembered as a fault."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.outside: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(30_000)
        page.on("request", self._request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.server.address, "data:", "blob:")):
            self.outside.append(request.url)

    def open(self, query: str = "") -> Visitor:
        self.page.goto(self.server.address + query)
        self.page.wait_for_selector("html[data-lote=ready]")
        return self

    def drop(self, *files: Path) -> None:
        """Give files to the page and wait until they have been looked at."""
        self.page.set_input_files("#lote-files", [str(file) for file in files])
        self.looked_at()

    def add(self, path: Path) -> None:
        self.page.fill("#lote-path", str(path))
        self.page.press("#lote-path", "Enter")
        self.looked_at()

    def looked_at(self) -> None:
        self.page.wait_for_selector(".gallery .card, .unreadable li")
        self.page.wait_for_selector('[data-part="inputs"] .busy', state="detached")

    def use(self, backend: str) -> None:
        if not self.page.is_visible("#set-backend"):
            self.page.click("#settings button")
        self.page.check(f"#set-backend input[value={backend}]")

    def start(self) -> int:
        """Press the button, and give the number of the job that it made."""
        self.page.click("#start")
        self.page.wait_for_selector(".job-title .state")
        return int(self.page.evaluate("lote.job"))

    def state(self, *states: str, seconds: float = 40) -> None:
        """Wait until the job is in one of these states."""
        self.page.wait_for_selector(
            ", ".join(f".job-title .state.{state}" for state in states), timeout=seconds * 1000
        )

    def names(self, side: str) -> list[str]:
        return self.page.locator(f".gallery.{side} .card .name").all_inner_texts()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()
