"""Hostile archives and images through the command: each ends as done or as an error with a name.

Never a crash or a hang, nothing written outside of the output and the workspace, and little memory for
what is refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from corpus import books
from corpus.archives import HOSTILE, LYING, Entry, build, plain
from corpus.images import BOMBS, png, whole
from faults.runs import PATIENCE_S, Length, Report
from pages import line_art
from shared_data import require_shared

# What refusing may cost above what an idle worker has, in bytes.
ROOM = 64_000_000
DONE = {0, 1, 3, 12}  # all, nothing, or some of it done; a bad archive: see docs/cli.md
# Lines of JSON with the arguments of a command each, run one after the other in one process as `lote` would.
MANY = """
import json, os, sys
from batch_processing.ui import cli
for number, line in enumerate(sys.stdin):
    sys.argv = ["lote", *json.loads(line)]
    try:
        cli.main()
    except SystemExit as end:
        print(json.dumps([number, end.code]), file=sys.__stdout__, flush=True)
"""


def archives(count: int) -> Iterator[tuple[str, bytes]]:
    """Every known way to lie, then damage: cut at each byte of the directory, bits flipped anywhere."""
    for name, (make, _) in {**HOSTILE, **LYING}.items():
        yield name, make()
    page = png(8, 8, bytes(72))
    honest = plain(a__p_png=page, b_png=page, ComicInfo_xml=b"<ComicInfo/>", extra_zip=plain(c_png=page))
    directory = honest.index(b"PK\1\2")
    chance = random.Random(1)
    cuts = list(range(directory, len(honest)))
    chance.shuffle(cuts)
    nested = build(Entry("n.zip", build(Entry("m.zip", build(Entry("../evil.png"))))), Entry("p.png", page))
    yield "nested twice", nested
    for name in ("../evil.png", "..\\evil.png"):
        for make in (books.tar, books.seven_zip, books.rar4, books.rar5):
            yield f"{make.__name__} with {name}", make({name: page})
    yield "link in a TAR", books.tar({"evil.png": b""}, type=b"2", linkname="/etc/passwd")
    yield "bomb in a TAR", books.tar({"a.png": bytes(64 << 20)}, "w:gz")
    yield (
        "EPUB that leaves its folder",
        books.epub({"1.xhtml": books.showing("../../evil.png")}, {"a.png": page}),
    )
    yield "PDF of nothing", b"%PDF-1.7\n" + bytes(1000)
    yield "nested bomb", build(Entry("n.zip", HOSTILE["ratio"][0]()), Entry("p.png", page))
    for number in range(count):
        if number % 2 and number // 2 < len(cuts):
            yield f"cut at {cuts[number // 2]}", honest[: cuts[number // 2]]
        else:
            damaged = bytearray(honest)
            for _ in range(chance.choice([1, 1, 2, 8])):
                at = chance.randrange(directory if chance.random() < 0.3 else len(honest))
                damaged[at] ^= 1 << chance.randrange(8)
            yield f"flipped {number}", bytes(damaged)


def images(count: int) -> Iterator[tuple[str, bytes]]:
    """Bombs, headers that lie within the limits, then each format cut off and with bits flipped."""
    for name, make in BOMBS.items():
        yield name, make()
    for side in (4_000, 15_000):
        yield f"promises{side}.png", png(side, side, bytes(1000))
        yield f"promises{side}rgba.png", png(side, side, bytes(1000), color=6)
        yield f"promises{side}sixteen.png", png(side, side, bytes(1000), depth=16)
    honest = list(whole().items())
    chance = random.Random(2)
    for number in range(count):
        name, data = honest[number % len(honest)]
        if (number // len(honest) + number) % 2:
            yield f"{number}cut_{name}", data[: chance.randrange(len(data))]
        else:
            damaged = bytearray(data)
            for _ in range(chance.choice([1, 2, 8, 64])):
                # Headers are where the lies are.
                at = chance.randrange(min(len(data), 200 if chance.random() < 0.5 else len(data)))
                damaged[at] ^= 1 << chance.randrange(8)
            yield f"{number}flipped_{name}", bytes(damaged)


class Sandbox:
    """A folder with everything that a command may know of: home, temporary folder, where it stands."""

    def __init__(self, root: Path) -> None:
        self.root, self.inputs = root, root / "in"
        for name in ("in", "home", "tmp", "cwd"):
            (root / name).mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOTE_")}
        self.environment = kept | {
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "LOTE_WORKSPACE": str(root / "ws"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def walk(self) -> dict[str, tuple[int, int]]:
        """Size and time of everything outside of the workspace and the outputs."""
        found = {}
        for base, folders, names in os.walk(self.root):
            if Path(base) == self.root:
                folders[:] = [name for name in folders if name not in ("ws", "out")]
            for name in {*folders, *names} - {"codes", "told"}:
                path = Path(base, name)
                is_folder = path.is_dir() and not path.is_symlink()
                stat = path.lstat()
                found[str(path)] = (0, 0) if is_folder else (stat.st_size, stat.st_mtime_ns)
        return found

    def run(self, commands: list[list[str]]) -> tuple[list[int], dict[str, int]]:
        """The exit codes of these commands, and the most memory that the process and its workers had."""
        before = self.walk()
        with (self.root / "codes").open("wb") as codes, (self.root / "told").open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", MANY],
                env=self.environment,
                cwd=self.root / "cwd",
                stdin=subprocess.PIPE,
                stdout=codes,
                stderr=told,
            )
        assert process.stdin is not None
        process.stdin.write("".join(json.dumps(command) + "\n" for command in commands).encode())
        process.stdin.close()
        peak = watch(process, PATIENCE_S + 5 * len(commands))
        said = (self.root / "told").read_text()
        assert process.returncode == 0, said[-3000:]
        assert "fault of Lote" not in said, said[-3000:]
        assert "Traceback" not in said
        # What the codes stand between is what commands print; each has one.
        lines = [
            json.loads(line)
            for line in (self.root / "codes").read_text().splitlines()
            if line.startswith("[")
        ]
        assert [number for number, _ in lines] == list(range(len(commands)))
        assert self.walk() == before
        return [code for _, code in lines], peak


def watch(process: subprocess.Popen[bytes], patience: float) -> dict[str, int]:
    """The largest resident memory of the process and of any of its workers (bytes), until it ends."""
    peak = {"lote": 0, "worker": 0}
    until = time.monotonic() + patience
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak["lote"] = max(peak["lote"], most(watched))
            for child in watched.children():
                if "import serve" in child.cmdline()[-1]:  # else it is still a copy of its parent
                    peak["worker"] = max(peak["worker"], most(child))
        except (psutil.Error, OSError, IndexError):
            pass  # one of them has just ended
        if time.monotonic() > until:
            process.kill()
            pytest.fail("it hangs")
        time.sleep(0.02)
    return peak


def most(process: psutil.Process) -> int:
    """The most memory that a process ever had at once, where the system keeps that."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(process.memory_info().rss)
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0  # none of one that has just ended


def colorize(sandbox: Sandbox, path: Path, number: int) -> list[str]:
    output = sandbox.root / "out" / f"{number}.cbz"
    return ["colorize", str(path), "-o", str(output), "--backend", "noop", "--as-lineart", "*", "--json"]


def test_hostile_archives(tmp_path: Path, length: Length, report: Report) -> None:
    sandbox = Sandbox(tmp_path)
    given = list(archives(length(0, 1000)))
    if length(1, 0):
        given = random.Random(3).sample(given, 8)
    commands = []
    for number, (_, data) in enumerate(given):
        path = sandbox.inputs / f"{number}.cbz"
        path.write_bytes(data)
        commands.append(colorize(sandbox, path, number))
    honest = sandbox.inputs / "honest.cbz"
    honest.write_bytes(plain(p_png=png(8, 8, bytes(72))))
    _, idle = sandbox.run([colorize(sandbox, honest, -1)])
    codes, peak = sandbox.run(commands)
    assert set(codes) <= DONE
    for number, code in enumerate(codes):
        assert (code in (0, 3)) == (tmp_path / "out" / f"{number}.cbz").exists(), given[number][0]
    names = [path.name for path in tmp_path.rglob("*")]
    assert not [name for name in names if "evil" in name or name.endswith(".part")]
    more = {who: peak[who] - idle[who] for who in idle}
    assert max(more.values()) < ROOM, more
    report(
        "hostile archives",
        f"{len(given)} of them, {sum(code in (1, 12) for code in codes)} refused; {more['lote'] / 1e6:.0f} MB more "
        f"in lote and {more['worker'] / 1e6:.0f} MB in a worker than for an honest one; nothing written outside",
    )


def test_hostile_images(tmp_path: Path, length: Length, report: Report) -> None:
    sandbox = Sandbox(tmp_path)
    (sandbox.inputs / "good").mkdir()
    for name, data in whole().items():
        (sandbox.inputs / "good" / name).write_bytes(data)
    (sandbox.inputs / "bad").mkdir()
    given = list(images(length(30, 1000)))
    for name, data in given:
        (sandbox.inputs / "bad" / name).write_bytes(data)
    codes, idle = sandbox.run([colorize(sandbox, sandbox.inputs / "good", 0)])
    assert codes == [0]
    codes, peak = sandbox.run(
        [
            colorize(sandbox, sandbox.inputs / "bad", 1),
            ["classify", str(sandbox.inputs / "bad"), "--json"],
        ]
    )
    assert codes == [3, 3]
    summary = [
        json.loads(line) for line in (tmp_path / "codes").read_text().splitlines() if '"summary"' in line
    ][-1]
    assert summary["total"] == len(given) == summary["completed"] + summary["failed"]
    assert all("Error processing" in text or "memory" in text for _, text in summary["failures"]), summary
    assert all("worker process" not in text for _, text in summary["failures"]), summary["failures"]
    more = {who: peak[who] - idle[who] for who in idle}
    assert max(more.values()) < ROOM, more
    report(
        "hostile images",
        f"{len(given)} of them, {summary['failed']} refused, twice each; {more['lote'] / 1e6:.0f} MB more in lote and "
        f"{more['worker'] / 1e6:.0f} MB in a worker than for honest ones; nothing written outside",
    )


def test_every_file_of_the_shared_data(tmp_path: Path, length: Length, report: Report) -> None:
    data = require_shared("data")
    files = sorted(path for path in data.rglob("*") if path.is_file())
    if length(1, 0):
        files = random.Random(4).sample(files, 5)
    sandbox = Sandbox(tmp_path)
    before = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in data.rglob("*")}
    for number, path in enumerate(files):
        (sandbox.inputs / f"{number:04}{path.suffix}").symlink_to(path)
    line_art(sandbox.inputs / "page.png")
    commands = [["classify", str(path), "--json"] for path in files]
    commands.append(colorize(sandbox, sandbox.inputs, 0))
    commands.append(["photos", "scan", str(data if length(0, 1) else data / "photos"), "--json"])
    codes, _ = sandbox.run(commands)
    assert set(codes) <= DONE
    assert {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in data.rglob("*")} == before
    told = f"{codes[:-2].count(0)} are images or archives, {len(codes) - 2 - codes[:-2].count(0)} are refused"
    report("the shared data", f"{len(files)} files: {told}; nothing written outside")
