"""The page and the command line at work on one job at once, while signals end either: the job comes to its end.

A walk of random steps, short in `make test`, many walks in `make faults`; each step may kill the page, a command or
the process in the background, and the same command afterwards gives the bytes that it gives without all that.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from command import command, environment, lote
from faults.runs import Length, draw_pages
from web_server import Server

PAGES = 200
PATIENCE_S = 120


class Walk:
    """One job, given from the command line, and everybody who has a hand in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        draw_pages(folder / "in", PAGES)
        self.server = Server(folder)
        self.words = (
            "colorize", folder / "in", "-o", folder / "book.cbz", "--backend", "noop", "--as-lineart", "*",
            "--workers", "2", "--quiet",
        )  # fmt: skip
        self.said = folder / "said"
        self.commands: list[subprocess.Popen[bytes]] = []

    def give(self, *words: str | Path) -> None:
        with self.said.open("ab") as said:
            self.commands.append(
                subprocess.Popen(
                    command(*words),
                    env=environment(self.server.workspace),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            )

    def step(self, what: str) -> None:
        workspace = self.server.workspace
        if what == "command":
            self.give(*self.words)
        elif what == "resume":
            self.give("resume", "1")
        elif what == "clean":
            lote("clean", workspace=workspace)
        elif what == "kill the page":
            self.server.kill()
            self.server.start()
        elif what == "signal a command":
            if live := [one for one in self.commands if one.poll() is None]:
                how = self.chance.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
                os.killpg(self.chance.choice(live).pid, how)
        elif what == "signal the background":
            for process in psutil.process_iter(["cmdline"]):
                said = process.info["cmdline"] or []
                if any("ui.background" in word for word in said) and any(str(workspace) in w for w in said):
                    process.send_signal(self.chance.choice([signal.SIGKILL, signal.SIGTERM]))
        else:
            self.server.post("/lote/job/1/do", {"do": what})

    def finish(self) -> str:
        """Give the command until the job is done; the hash of the archive."""
        until = time.monotonic() + PATIENCE_S
        while True:
            done = lote(*self.words, workspace=self.server.workspace)
            if done.code == 0:
                break
            assert time.monotonic() < until, done.err
        for one in self.commands:
            one.wait(PATIENCE_S)
        return hashlib.sha256((self.folder / "book.cbz").read_bytes()).hexdigest()


STEPS = (
    "command", "resume", "clean", "kill the page", "signal a command", "signal the background", "pause", "resume",
    "cancel", "retry",
)  # fmt: skip


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hash of the archive that the same pages give."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    draw_pages(folder / "in", PAGES)
    done = lote(
        "colorize", folder / "in", "-o", folder / "book.cbz", "--backend", "noop", "--as-lineart", "*",
        "--quiet", workspace=folder / "ws",
    )  # fmt: skip
    assert done.code == 0, done.err
    return hashlib.sha256((folder / "book.cbz").read_bytes()).hexdigest()


def test_walks(tmp_path: Path, undisturbed: str, length: Length) -> None:
    for seed in range(length(1, 20)):
        folder = tmp_path / f"walk{seed}"
        folder.mkdir()
        walk = Walk(folder, seed)
        try:
            walk.give(*walk.words)
            time.sleep(1.0)
            for _ in range(length(10, 22)):
                walk.step(walk.chance.choice(STEPS))
                time.sleep(walk.chance.random() * 0.4)
            assert walk.finish() == undisturbed, f"seed {seed}"
        finally:
            for one in walk.commands:
                if one.poll() is None:
                    os.killpg(one.pid, signal.SIGKILL)
            walk.server.terminate()
        for file in (walk.said, walk.server.said):
            assert "Traceback" not in file.read_text(errors="replace"), f"seed {seed}"
        assert not list(folder.rglob("*.part"))
