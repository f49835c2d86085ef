"""The page as its users have it: `lote ui` in a process of its own, Chromium in front of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from command import Run, command, environment, lote

# Without these Chromium asks its maker for updates and suggestions.
# The system's browser; where there is none (macOS, hosted runners), the one of `playwright install chromium`.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--no-first-run", "--disable-domain-reliability",
)  # fmt: skip


@dataclass
class Told:
    """An answer of the server. Header names are titled: Set-Cookie."""

    status: int
    body: bytes
    headers: dict[str, str]


class Server:
    """`lote ui` over a workspace; can be killed and started again at the same address."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.folder, self.workspace, self._options = folder, folder / "ws", options
        self._variables = variables
        # What the server says beside its address: nothing that a client does is a traceback in there.
        self.said = folder.with_name(f"{folder.name}.said")
        self.port = 0
        self.cookie = ""
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        words = ["ui", "--port", str(self.port), "--root", str(self.folder), *self._options]
        if "BROWSER" not in self._variables:
            words.append("--no-browser")
        with self.said.open("ab") as said:
            self._process = subprocess.Popen(
                command(*words),
                env=environment(self.workspace) | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        assert self._process.stdout is not None
        # What the command prints, and what it is without its token.
        self.entrance = self._process.stdout.readline().strip()
        assert self.entrance.startswith("http://127.0.0.1:"), self.entrance
        self.address = self.entrance.partition("?")[0]
        self.port = int(self.address.rstrip("/").rpartition(":")[2])
        if self.entrance != self.address:
            told = self.ask(self.entrance[len(self.address) - 1 :], cookie="")
            self.cookie = told.headers["Set-Cookie"].partition(";")[0]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As the kernel does it when memory runs out."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def terminate(self) -> None:
        """As the system does it when it goes down."""
        self._end(signal.SIGTERM)

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
        """Status and body of a request that is sent as it is written, without tidying the path, by somebody who
        has opened the page by its printed address."""
        told = self.ask(path, method=method, data=data, **headers)
        return told.status, told.body

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        data: bytes | None = None,
        cookie: str | None = None,
        **headers: str,
    ) -> Told:
        """The same with the answer's headers; `cookie` "" is a stranger's."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if cookie or (cookie is None and self.cookie):
                connection.putheader("Cookie", cookie or self.cookie)
            if data is not None and "Content_Length" not in headers:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read
                if data is not None:
                    connection.send(data)
            answer = connection.getresponse()
            return Told(
                answer.status, answer.read(), {name.title(): value for name, value in answer.getheaders()}
            )
        finally:
            connection.close()

    def post(self, path: str, wish: object) -> tuple[int, Any]:
        """What the page's script is told when it sends a wish."""
        data = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
        status, body = self.get(path, method="POST", data=data, X_Lote="1")
        return status, json.loads(body)


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
        entrance = self.server.entrance
        if query and entrance != self.server.address:
            query = "&" + query.removeprefix("?")
        self.page.goto(entrance + query)
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
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()
