"""Disorder of clocks, processes and ledgers: each row of what once broke, and a random walk over whole lives."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch_processing.core.processes import process_identity
from batch_processing.core.workspace import Workspace
from batch_processing.io.publish import hash_file
from command import Run, command, environment, lote
from faults.runs import PATIENCE_S, Comic, Length, Report, draw_pages, wait_for
from pages import book

Lote = Callable[..., Run]
PAGES = 12
LONG = 60  # long enough to be met in the middle
# What a process sees whose machine's clock was set forward by an hour after the others began: the time of
# the boot, to which psutil adds the start of each process, moves with it.
CLOCK_AHEAD = """
import time
import psutil, psutil._pslinux as linux
real, now = linux.boot_time, time.time
linux.boot_time = psutil.boot_time = lambda: real() + 3600
time.time = lambda: now() + 3600
"""


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    """The command in the workspace of this test's `Comic`."""
    return lambda *args, **more: lote(*args, workspace=tmp_path / "ws", **more)


@pytest.fixture
def comic(tmp_path: Path) -> Comic:
    draw_pages(tmp_path / "in", PAGES)
    return Comic(tmp_path / "in", tmp_path)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Comic]:
    """A longer one, which a test starts and meets in its middle."""
    draw_pages(tmp_path / "in", LONG)
    comic = Comic(tmp_path / "in", tmp_path)
    yield comic
    if comic.process is not None and comic.process.poll() is None:
        comic.kill()


def site(folder: Path, code: str) -> dict[str, str]:
    """The environment of a process that begins with `code`."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}


@pytest.fixture
def ahead(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose clock is an hour ahead."""
    return site(tmp_path / "ahead", CLOCK_AHEAD)


def stop(process: subprocess.Popen[bytes], database: Path) -> None:
    """Have a process stand still at a moment at which it keeps nobody from the ledger."""
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        look = sqlite3.connect(database, timeout=0.2, isolation_level=None)
        with closing(look), suppress(sqlite3.OperationalError):
            look.execute("BEGIN EXCLUSIVE")
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.05)


class TestClocks:
    def test_a_step_of_the_clock_makes_no_living_process_look_dead(
        self, running: Comic, run: Lote, ahead: dict[str, str]
    ) -> None:
        process = running.start()
        assert wait_for(lambda: running.completed() >= 2, process)
        stop(process, running.database)  # in the middle of its work, for as long as we look
        try:
            assert run("status", "--json", **ahead).summary["state"] in ("running", "finishing")
            assert run("cancel", **ahead).code == 0
            assert running.query("SELECT state FROM job") != [("cancelled",)], "it was ended from outside"
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert process.wait(PATIENCE_S) == 4
        assert running.query("SELECT state FROM job") == [("cancelled",)]
        assert running.strays() == []

    def test_a_step_of_the_clock_takes_no_scratch_folder_away(
        self, comic: Comic, run: Lote, ahead: dict[str, str], tmp_path: Path
    ) -> None:
        with Workspace(tmp_path / "ws").scratch() as folder:
            (folder / "0").mkdir(parents=True)
            assert run("classify", tmp_path / "in" / "p000000.png", **ahead).code == 0
            assert (folder / "0").is_dir()
        assert not folder.exists()

    def test_pages_that_failed_while_the_clock_was_ahead_are_done_again(
        self, comic: Comic, run: Lote, ahead: dict[str, str]
    ) -> None:
        page = comic.inputs / "p000002.png"
        whole = page.read_bytes()
        page.write_bytes(b"broken")
        ask = (
            "colorize",
            comic.inputs,
            "-o",
            comic.output,
            "--backend",
            "noop",
            "--as-lineart",
            "*",
            "--json",
        )
        assert run(*ask, **ahead).code == 3
        again = run(*ask)  # the clock is right now, and the page as it was
        assert (again.code, [event["page"] for event in again.events if event["event"] == "page"]) == (
            3,
            [page.name],
        )
        page.write_bytes(whole)
        done = run(*ask)
        assert (done.code, done.summary["failed"]) == (0, 0), done.err


# A minute is long; the rest of what is promised can be seen in two seconds of waiting.
SHORT_PATIENCE = "import batch_processing.core.database as database; database.BUSY_TIMEOUT_S = 2.0\n"


@pytest.fixture
def hurried(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that waits two seconds for another's lock, not a minute."""
    return site(tmp_path / "hurried", SHORT_PATIENCE)


@contextmanager
def locked(database: Path, how: str = "IMMEDIATE") -> Iterator[int]:
    """Another program keeps the ledger locked: its process id."""
    code = (
        f"import sqlite3, sys; c = sqlite3.connect({str(database)!r}, isolation_level=None, timeout=60);"
        f"c.execute('BEGIN {how}'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.communicate()


class TestLockedLedgers:
    def test_a_backup_of_a_locked_ledger_names_the_holder_and_leaves_nothing(
        self, comic: Comic, run: Lote, hurried: dict[str, str], tmp_path: Path
    ) -> None:
        comic.finish()
        began = time.monotonic()
        with locked(comic.database, "EXCLUSIVE") as holder:
            done = run("backup", tmp_path / "to" / "copy.db", **hurried)
        assert (done.code, done.out) == (1, "")
        assert f"lote.db is kept locked by process {holder} (" in done.err
        assert done.err.count("\n") <= 2
        assert time.monotonic() - began < 30.0
        assert list((tmp_path / "to").iterdir()) == []
        assert run("backup", tmp_path / "to" / "copy.db").code == 0

    @pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
    def test_a_run_on_a_locked_ledger_says_so_once_it_has_waited(
        self, running: Comic, hurried: dict[str, str], how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", hurried["PYTHONPATH"].split(os.pathsep))
            process = running.start()
        assert wait_for(lambda: running.completed() >= 2, process)
        with locked(running.database, how) as holder:
            began = time.monotonic()
            assert process.wait(PATIENCE_S) == 1
            assert time.monotonic() - began < 12.0
        said = (running.root / "told").read_text()
        assert f"lote.db is kept locked by process {holder} (" in said
        assert "disk" not in said
        assert "Traceback" not in said
        running.finish()
        running.check_after_kill()
        assert running.strays() == []


class TestBackup:
    def test_a_place_that_takes_no_copy_is_one_sentence(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        (tmp_path / "file").write_text("x")
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o555)
        places = [tmp_path / "file" / "copy.db", tmp_path / ("n" * 300), tmp_path.joinpath(*["d" * 250] * 20)]
        places += [Path("/proc/copy.db"), Path("/dev/full/copy.db")]
        if os.geteuid():
            places.append(closed / "copy.db")
        for place in places:
            done = run("backup", place)
            assert done.code == 1, place
            assert "cannot be written (" in done.err, done.err
            assert "unexpected" not in done.err
            assert "Traceback" not in done.err
        assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]

    def test_a_full_disk_is_one_sentence_and_leaves_nothing(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        full = site(
            tmp_path / "full",
            "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n",
        )
        done = run("backup", tmp_path / "to" / "copy.db", **full)
        assert done.code == 1
        assert "copy.db" in done.err
        assert "unexpected" not in done.err
        assert list((tmp_path / "to").iterdir()) == []

    def test_what_a_killed_backup_left_goes_with_the_next(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        left = tmp_path / f".copy.db.backup-{2**22 + 1}.part"
        left.write_bytes(b"half")
        assert run("backup", tmp_path / "copy.db").code == 0
        assert comic.strays() == []


def interrupt_a_commit(database: Path) -> None:
    """Kill a program in the middle of a large transaction: a journal that SQLite must play back is left."""
    code = (
        "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE');"
        "c.execute('UPDATE item SET details = hex(randomblob(4000))'); c.execute('UPDATE source SET facts = NULL');"
        "print('now', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(database)], stdout=subprocess.PIPE, check=False)
    assert done.stdout == b"now\n"
    assert database.with_name("lote.db-journal").stat().st_size > 1000


def rows(database: Path) -> list[tuple[object, ...]]:
    """What a ledger says of its pages. Opening it is what plays a journal back."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(
            "SELECT job_id, key, state, output_hash, details FROM item ORDER BY id"
        ).fetchall()


class TestRestore:
    def test_the_journal_of_the_old_ledger_never_meets_the_copy(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        assert run("backup", tmp_path / "copy.db").code == 0
        saved = rows(tmp_path / "copy.db")
        (tmp_path / "in" / "p000003.png").unlink()
        comic.finish()
        interrupt_a_commit(comic.database)
        done = run("restore", tmp_path / "copy.db")
        assert (done.code, done.out.strip()) == (0, str(comic.database)), done.err
        assert rows(comic.database) == saved
        aside = tmp_path / "ws" / "lote.db.before-restore-1"
        assert str(aside) in done.err
        assert len(rows(aside)) == PAGES - 1, "what was cut short was undone in the one that was put aside"
        assert not [path for path in (tmp_path / "ws").glob("lote.db-*") if path.stat().st_size]

    def test_a_damaged_ledger_goes_aside_with_all_that_belongs_to_it(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        assert run("backup", tmp_path / "copy.db").code == 0
        saved = rows(tmp_path / "copy.db")
        journal = bytes(512) + b"of another time"
        comic.database.with_name("lote.db-journal").write_bytes(journal)
        comic.database.write_bytes(b"no database" + bytes(5000))
        for number in (1, 2):
            done = run("restore", tmp_path / "copy.db")
            assert done.code == 0, done.err
            assert rows(comic.database) == saved
            assert (tmp_path / "ws" / f"lote.db.before-restore-{number}").exists()
        assert (tmp_path / "ws" / "lote.db.before-restore-1-journal").read_bytes() == journal
        for left in tmp_path.glob("ws/lote.db*"):
            left.unlink()
        assert run("restore", tmp_path / "copy.db").code == 0  # nothing to put aside
        assert rows(comic.database) == saved

    def test_numbers_that_were_given_since_are_not_given_again(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        assert run("backup", tmp_path / "copy.db").code == 0
        draw_pages(tmp_path / "more", 1)
        again = ("colorize", tmp_path / "more", "--backend", "noop", "--as-lineart", "*", "--quiet")
        assert run(*again, "-o", tmp_path / "two").code == 0
        assert run("restore", tmp_path / "copy.db").code == 0
        assert run(*again, "-o", tmp_path / "three").code == 0
        assert [event["job"] for event in run("list", "--json").events] == [1, 3]

    def test_a_ledger_in_use_is_not_taken_away(self, running: Comic, run: Lote, tmp_path: Path) -> None:
        process = running.start()
        assert wait_for(lambda: running.completed() >= 2, process)
        stop(process, running.database)
        assert run("backup", tmp_path / "copy.db").code == 0
        before = rows(running.database)
        done = run("restore", tmp_path / "copy.db")
        assert done.code == 1
        assert f"process {process.pid} runs comics in the workspace" in done.err
        running.kill()
        with closing(sqlite3.connect(running.database)) as reader:  # such as `lote ui` has it
            reader.execute("SELECT * FROM job").fetchall()
            done = run("restore", tmp_path / "copy.db")
            assert done.code == 1
            assert f"is open in process {os.getpid()} (" in done.err
        assert rows(running.database) == before
        assert [path.name for path in (tmp_path / "ws").glob("*lote.db*")] in (
            ["lote.db"], ["lote.db", "lote.db-journal"], ["lote.db-journal", "lote.db"],
        )  # fmt: skip
        assert run("restore", tmp_path / "copy.db").code == 0
        running.finish()

    def test_what_is_no_whole_copy_is_refused_and_changes_nothing(
        self, comic: Comic, run: Lote, tmp_path: Path
    ) -> None:
        comic.finish()
        good = tmp_path / "copy.db"
        assert run("backup", good).code == 0
        before = rows(comic.database)
        content = good.read_bytes()
        damaged = {"garbage": b"x" * 9000, "short": content[: len(content) // 2], "empty": b""}
        page = len(content) // 4096 // 2 * 4096
        damaged["torn"] = content[:page] + bytes(4096 * 4) + content[page + 4096 * 4 :]
        for name, data in damaged.items():
            (tmp_path / name).write_bytes(data)
        with closing(sqlite3.connect(tmp_path / "other")) as other:
            other.execute("CREATE TABLE cats (name)")
        (tmp_path / "hot").write_bytes(content)
        (tmp_path / "hot-journal").write_bytes(b"journal")
        (tmp_path / "newer").write_bytes(content)
        with closing(sqlite3.connect(tmp_path / "newer", isolation_level=None)) as newer:
            newer.execute("INSERT INTO migration VALUES ('ledger', '9999_future')")
        told = {name: run("restore", tmp_path / name) for name in (*damaged, "other", "hot", "newer", "none")}
        told["itself"] = run("restore", comic.database)
        words = {
            "garbage": "no database", "short": "damaged", "torn": "damaged", "empty": "no ledger", "other": "no ledger",
            "hot": "hot-journal lies beside it", "newer": "newer Lote", "none": "is no file",
            "itself": "is the ledger itself",
        }  # fmt: skip
        for name, done in told.items():
            assert done.code == (11 if name == "newer" else 1), (name, done.err)
            assert words[name] in done.err, (name, done.err)
            assert str(tmp_path / ("ws/lote.db" if name == "itself" else name)) in done.err
            assert "unexpected" not in done.err
        assert rows(comic.database) == before
        assert [path.name for path in (tmp_path / "ws").glob("*lote.db.*")] == []
        assert comic.strays() == []


class TestClean:
    def test_an_approved_page_survives_it(self, comic: Comic, run: Lote, tmp_path: Path) -> None:
        comic.finish()
        pages = tmp_path / "ws" / "jobs" / "1" / "pages"
        approved = pages / "p000004.png"
        before = (approved.read_bytes(), approved.stat().st_mtime_ns)
        assert run("approve", "1", "p000004.png").code == 0
        for way in ((), ("1",), ("--older-than", "0s")):
            assert run("clean", *way).code == 0
            assert [path for path in (tmp_path / "ws" / "jobs").rglob("*") if path.is_file()] == [approved]
        assert not list((tmp_path / "ws").glob("scratch/*"))
        again = ("colorize", comic.inputs, "-o", comic.output, "--backend", "noop", "--as-lineart", "*")
        done = run(*again, "--seed", "8", "--json")
        assert (done.code, done.summary["reused"], done.summary["warnings"]) == (0, 1, []), done.err
        assert (approved.read_bytes(), approved.stat().st_mtime_ns) == before
        assert comic.query("SELECT key FROM item WHERE approved") == [("p000004.png",)]

    def test_a_job_that_begins_meanwhile_keeps_its_pages(self, comic: Comic, tmp_path: Path) -> None:
        """`clean` looked at all jobs first, and deleted the folder of one that had begun since."""
        comic.finish()
        pages = sorted((tmp_path / "ws" / "jobs" / "1" / "pages").iterdir())
        beginning = sqlite3.connect(comic.database, isolation_level=None)
        with closing(beginning):
            beginning.execute("BEGIN IMMEDIATE")
            cleaning = subprocess.Popen(
                command("clean"), env=environment(tmp_path / "ws"), stdout=subprocess.PIPE, text=True
            )
            with cleaning:
                time.sleep(3.0)
                assert cleaning.poll() is None, "it waits for whoever writes the state of a job"
                owner = json.dumps(process_identity())
                beginning.execute("UPDATE job SET state = 'planning', owner = ?", (owner,))
                beginning.execute("COMMIT")
                assert cleaning.wait(PATIENCE_S) == 0
        assert sorted((tmp_path / "ws" / "jobs" / "1" / "pages").iterdir()) == pages


class TestStreams:
    """Nobody reads what is said: the work is done all the same, and the exit code is the work's."""

    @pytest.mark.parametrize(
        ("streams", "form"),
        [
            ("2>&-", ""),
            ("2>/dev/full", ""),
            (">/dev/full", ""),
            (">/dev/full 2>&1", "--json"),
            ("<&- >&- 2>&-", "--json"),
        ],
    )
    def test_streams_that_take_nothing_change_nothing(
        self, run: Lote, tmp_path: Path, streams: str, form: str
    ) -> None:
        draw_pages(tmp_path / "in", 3)
        (tmp_path / "in" / "p000001.png").write_bytes(b"broken")
        words = [
            "colorize",
            tmp_path / "in",
            "--backend",
            "noop",
            "--as-lineart",
            "*",
            *([form] if form else []),
        ]
        for code, last in ((3, words), (0, ["list"]), (1, ["open", "7"]), (2, ["nonsense"])):
            done = subprocess.run(
                ["/bin/sh", "-c", f'exec "$@" {streams}', "sh", *command(*last)],
                env=environment(tmp_path / "ws"), capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert (done.returncode, "Traceback" in done.stderr) == (code, False), (last, done.stderr)
            assert "rror" not in done.stderr.replace("Error processing", "").replace("UserWarning", "")
        made = {path.name: path.read_bytes() for path in (tmp_path / "in_colorized").glob("*.png")}
        assert [name for name in sorted(made) if made[name] != b"broken"] == ["p000000.png", "p000002.png"]
        assert made["p000001.png"] == b"broken", "its original stands in its place"
        with closing(sqlite3.connect(tmp_path / "ws" / "lote.db")) as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert ledger.execute("SELECT state, count FROM tally WHERE count > 0 ORDER BY state").fetchall() == [
                ("completed", 2), ("failed", 1),
            ]  # fmt: skip


class Life:
    """One book in one workspace, to which anything happens in any order, with signals in between and within."""

    def __init__(self, root: Path, rng: random.Random, backend: str) -> None:
        self.root, self.rng, self.backend = root, rng, backend
        self.workspace, self.database = root / "ws", root / "ws" / "lote.db"
        self.copies: dict[Path, list[tuple[object, ...]]] = {}
        self.approved: dict[str, str] = {}  # page: hash of its file
        self.done: list[str] = []
        self.signals = 0
        book(root / "in", 4)

    def begin(self) -> tuple[str | Path, ...]:
        return (
            "colorize",
            self.root / "in",
            "-o",
            self.root / "book.cbz",
            "--backend",
            self.backend,
            "--overwrite",
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database, timeout=60.0)) as ledger:
            return ledger.execute(sql).fetchall()

    def say(self, *args: str | Path, signalled: bool = False) -> int:
        """Give a command; with `signalled`, and a signal at a random moment. What it ends with."""
        self.done.append(" ".join(Path(arg).name for arg in args) + (" !" if signalled else ""))
        said = self.root / "said"
        with said.open("wb") as file:
            process = subprocess.Popen(
                command(*args), env=environment(self.workspace), stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            if signalled:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1 + 3.0 * self.rng.random() ** 2)
                if process.poll() is None:
                    self.signals += 1
                    os.killpg(process.pid, self.rng.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)))
            code = process.wait(PATIENCE_S)
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers that outlive it for a moment
        told = self.told()
        assert "unexpected" not in told, (self.done, told)
        assert "Traceback" not in told or code in (-signal.SIGINT, 130), (self.done, told)
        assert code in (0, 1, 2, 3, 4, 130, -9, -2, -15), (self.done, code, told)
        return code

    def step(self) -> None:
        verbs = [
            "colorize",
            "approve",
            "recolor",
            "learn",
            "retry",
            "clean",
            "backup",
            "restore",
            "resume",
            "cancel",
        ]
        verb = self.rng.choice(verbs)
        signalled = self.rng.random() < 0.5
        if verb == "colorize":
            self.say(*self.begin(), signalled=signalled)
        elif verb == "approve":
            page = f"{self.rng.randint(1, 4)}.png"
            if page not in self.approved and self.say("approve", "1", page) == 0:
                ((output,),) = self.query(f"SELECT output FROM item WHERE key = '{page}'")  # noqa: S608
                if Path(output).exists():
                    self.approved[page] = hash_file(Path(output))
                else:
                    self.say("approve", "1", page, "--undo")
        elif verb == "recolor":
            self.recolor(signalled=signalled)
        elif verb == "learn":
            self.say("recolor", "1", "--learn", signalled=signalled)
        elif verb == "retry":
            self.say("retry", "1", *self.rng.choice(((), ("--all",))), signalled=signalled)
        elif verb == "backup":
            self.back_up(signalled=signalled)
        elif verb == "restore" and self.copies:
            self.restore(signalled=signalled)
        elif verb != "restore":
            self.say(verb, *(() if verb == "clean" else ("1",)), signalled=signalled)
        self.check()

    def recolor(self, *, signalled: bool) -> None:
        file = self.root / "book.lote" / "palette.json"
        if not file.exists():
            return
        colors = json.loads(file.read_text())["colors"]
        for color in colors[:1]:
            color["rgb"] = self.rng.choice(([30, 160, 60], [90, 90, 200]))
        (self.root / "mine.json").write_text(json.dumps({"colors": colors}))
        self.say("recolor", "1", "--palette", self.root / "mine.json", signalled=signalled)

    def back_up(self, *, signalled: bool) -> None:
        target = self.root / f"copy{len(self.done)}.db"
        code = self.say("backup", target, signalled=signalled)
        assert (code == 0) <= target.exists()
        if target.exists():  # whole, or not at all
            self.copies[target] = rows(target)

    def restore(self, *, signalled: bool) -> None:
        copy = self.rng.choice(list(self.copies))
        before = rows(self.database)
        code = self.say("restore", copy, signalled=signalled)
        now = rows(self.database)
        assert now == self.copies[copy] or (code != 0 and now == before), self.done
        kept = {key for (key,) in self.query("SELECT key FROM item WHERE approved")}
        self.approved = {key: sha256 for key, sha256 in self.approved.items() if key in kept}
        self.settle()

    def settle(self) -> None:
        """To the end, as a person would: an older ledger does not know what stands in the folders."""
        self.say("retry", "1", "--all")
        if self.say(*self.begin()) and "`lote recolor 1 --learn` learns it again" in self.told():
            assert self.say("recolor", "1", "--learn") == 0, (self.done, self.told())
        assert self.say(*self.begin()) == 0, (self.done, self.told())

    def told(self) -> str:
        return (self.root / "said").read_text(errors="replace")[-2000:]

    def check(self) -> None:
        """The ledger is whole, its counts are those of its rows, and what was approved stands as it was."""
        assert self.query("PRAGMA integrity_check") == [("ok",)], self.done
        wrong = self.query(
            "SELECT t.state, t.count FROM tally t WHERE state <> 'held' AND count <> (SELECT count(*) FROM item i "
            "WHERE i.job_id = t.job_id AND i.state = t.state AND NOT held)"
        )
        assert wrong == [], self.done
        approved = dict(self.query("SELECT key, output FROM item WHERE approved"))
        assert set(approved) == set(self.approved), (self.done, "an approval was lost, or came from nowhere")
        for key, sha256 in self.approved.items():
            assert hash_file(Path(approved[key])) == sha256, (
                self.done,
                f"{key} was approved and is another now",
            )
        for output, recorded in self.query("SELECT output, output_hash FROM item WHERE state = 'completed'"):
            assert not Path(output).exists() or hash_file(Path(output)) == recorded, self.done
        assert not list(self.workspace.glob("*.part")), self.done

    def end(self) -> None:
        self.settle()
        self.check()
        archive = (self.root / "book.cbz").read_bytes()
        assert self.say(*self.begin()) == 0
        assert (self.root / "book.cbz").read_bytes() == archive, (self.done, "the same again is another")
        assert {state for (state,) in self.query("SELECT state FROM item")} == {"completed"}
        assert not list(self.root.rglob("*.part")), self.done


def test_whole_lives_in_any_order(tmp_path: Path, length: Length, report: Report) -> None:
    steps = signals = 0
    for life_number in range(length(1, 60)):
        root = tmp_path / str(life_number)
        life = Life(
            root, random.Random(1000 + life_number), "flats" if length(0, life_number % 2) else "noop"
        )
        life.say(*life.begin())
        for _ in range(length(4, 30)):
            life.step()
        life.end()
        steps, signals = steps + len(life.done), signals + life.signals
    report("whole lives in any order", f"{steps} commands, {signals} signals, nothing lost, nothing twice")
