"""What a person sees: a terminal of any width, Ctrl-C, pipes that close, names and options mistyped."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from command import command, environment, lote
from pages import SLOW, book

ESCAPE = re.compile(r"\x1b\[[0-9;?]*([A-Za-z])")


def on_terminal(
    *args: str | Path, workspace: Path, columns: int, interrupt_at: str | None = None, **env: str
) -> tuple[int, str]:
    """Run `lote ARGS` on a terminal, with a Ctrl-C once a text has appeared; exit code and all that came."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = environment(workspace) | {"TERM": "xterm-256color"} | env
    del settings["COLUMNS"]
    process = subprocess.Popen(
        command(*args),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=settings,
        start_new_session=True,
        cwd=workspace.parent,
    )
    os.close(theirs)
    seen, end = b"", time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.5)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux says so when the last process has left the terminal
                break
            if not data:
                break
            seen += data
            if interrupt_at and interrupt_at.encode() in seen:
                os.killpg(process.pid, signal.SIGINT)  # as the terminal's Ctrl-C does
                interrupt_at = None
    os.close(ours)
    return process.wait(30), seen.decode()


def screen(seen: str, columns: int) -> list[str]:
    """The lines that are left on an endless screen, as a terminal would have them.

    Knows what rich and Lote send: text, CR, LF, cursor up, erase line. A line that is too long is an error,
    but for a single path."""
    lines, row, column = [""], 0, 0
    position = 0
    while position < len(seen):
        if match := ESCAPE.match(seen, position):
            position = match.end()
            if match[1] == "A":
                row -= int(match[0][2:-1] or 1)
            elif match[1] == "K":
                lines[row] = ""
            else:
                assert match[1] in "mhl", match[0]
            continue
        character = seen[position]
        position += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
            column += 1
            assert column <= columns or " " not in lines[row], lines[row]
    return [line.rstrip() for line in lines if line.strip()]


class TestLive:
    @pytest.mark.parametrize("columns", [80, 40])
    def test_nothing_is_wider_than_the_terminal_and_nothing_is_left(
        self, tmp_path: Path, columns: int
    ) -> None:
        source = book(tmp_path / "in", 30, SLOW)
        args = ("colorize", source.name, "-o", "out", "--backend", "noop", "--workers", "1")
        code, seen = on_terminal(*args, workspace=tmp_path / "ws", columns=columns)
        assert code == 0
        assert "/30 pages" in seen
        left = screen(seen, columns)
        assert left[-1] == str(tmp_path / "out")
        assert "MB free job 1 is done: 30 coloured, 1 copied as it is, in " in " ".join(left)

    def test_ctrl_c_pauses_and_says_how_to_go_on(self, tmp_path: Path) -> None:
        book(tmp_path / "in", 30, SLOW)
        args = ("colorize", "in", "--backend", "noop", "--workers", "1")
        code, seen = on_terminal(*args, workspace=tmp_path / "ws", columns=80, interrupt_at="/30 pages")
        assert code == 130
        assert screen(seen, 80)[-1] == "lote: Job 1 is paused: `lote resume 1` or the same command goes on."
        resumed = lote("resume", workspace=tmp_path / "ws", cwd=tmp_path)
        assert resumed.code == 0, resumed.err
        assert len(list((tmp_path / "in_colorized").glob("*.png"))) == 31

    def test_no_color(self, tmp_path: Path) -> None:
        book(tmp_path / "in", 2)
        args = ("colorize", "in", "--backend", "noop")
        _, seen = on_terminal(*args, workspace=tmp_path / "ws", columns=80, NO_COLOR="1")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", seen)

    def test_a_dumb_terminal_gets_plain_lines(self, tmp_path: Path) -> None:
        book(tmp_path / "in", 2)
        args = ("colorize", "in", "--backend", "noop")
        _, seen = on_terminal(*args, workspace=tmp_path / "ws", columns=80, TERM="dumb")
        assert "\x1b" not in seen
        assert "1.png: completed" in seen


class TestPipes:
    @pytest.mark.parametrize(
        "args", [["--help"], ["list", "--json"], ["doctor"], ["colorize", "in", "--json"]]
    )
    def test_a_reader_that_goes_away_changes_nothing(self, tmp_path: Path, args: list[str]) -> None:
        book(tmp_path / "in", 2)
        extra = ["--backend", "noop"] if args[0] == "colorize" else []
        line = command(*args, *extra)
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            line, stdout=write, stderr=subprocess.PIPE, env=environment(tmp_path / "ws"), cwd=tmp_path, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        os.close(write)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
        if extra:
            assert (tmp_path / "in_colorized" / "2.png").exists()

    @pytest.mark.parametrize("env", [{"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
    def test_a_terminal_that_knows_ascii_only(self, tmp_path: Path, env: dict[str, str]) -> None:
        source = book(tmp_path / "página 日", 1)
        done = lote("colorize", source, "--backend", "noop", workspace=tmp_path / "ws", **env)
        assert done.code == 0, done.err
        assert (tmp_path / "página 日_colorized" / "1.png").exists()

    def test_quiet_says_nothing(self, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 1)
        done = lote("colorize", source, "--backend", "noop", "--quiet", workspace=tmp_path / "ws")
        assert (done.code, done.out, done.err) == (0, "", "")


class TestMistyped:
    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (["doctr"], "lote: No such command 'doctr'. Did you mean 'doctor'?"),
            (["colorize", "in", "--backnd", "x"], "lote: No such option: --backnd. Did you mean --backend?"),
            (["colorize"], "lote: Missing argument 'INPUT'."),
            (["status", "--pags"], "lote: No such option: --pags. Did you mean --pages?"),
        ],
    )
    def test_a_sentence_says_what_was_meant(self, tmp_path: Path, args: list[str], sentence: str) -> None:
        done = lote(*args, workspace=tmp_path)
        assert done.code == 2
        assert sentence in done.err.splitlines()
        assert done.err.splitlines()[-1].endswith("--help` says more.")
        assert done.out == ""

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, tmp_path: Path, shell: str) -> None:
        script = lote(
            "--show-completion", shell, workspace=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
        )
        assert script.code == 0, script.err
        assert "_LOTE_COMPLETE" in script.out
        words = {"COMP_WORDS": "lote col", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "lote col"}
        words["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
        offered = lote(workspace=tmp_path, _LOTE_COMPLETE=f"complete_{shell}", **words)
        assert "colorize" in offered.out
