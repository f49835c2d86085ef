"""kill -9 at random moments: nothing lost, nothing twice, the same archive byte for byte."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from batch_processing.core.ledger import Ledger

Length = Callable[[int, int], int]
Report = Callable[[str, str], None]

PATIENCE_S = 300.0
SLOTS = 2


def draw_pages(folder: Path, count: int) -> None:
    """Small pages of line art, each different."""
    folder.mkdir()
    for number in range(count):
        pixels = np.full((64, 48), 255, np.uint8)
        pixels[4 + number % 56] = 0
        pixels[:, 4 + number // 56 % 40] = 0
        Image.fromarray(pixels).save(folder / f"p{number:04}.png")


class Comic:
    """One job of the noop backend, run by the command in a process group of its own."""

    def __init__(self, inputs: Path, root: Path) -> None:
        self.root, self.inputs = root, inputs
        self.output = root / "book.cbz"
        self.database = root / "ws" / "lote.db"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "SOURCE_DATE_EPOCH": "1600000000",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        command = [
            sys.executable, "-m", "batch_processing", "colorize", str(self.inputs), "-o", str(self.output),
            "--backend", "noop", "--as-lineart", "*", "--workers", str(SLOTS), "--quiet",
            "--workspace", str(self.root / "ws"),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self.process

    def kill(self) -> None:
        assert self.process is not None
        workers = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(workers, timeout=PATIENCE_S)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if not self.database.exists():
            return []
        connection = sqlite3.connect(self.database, timeout=60.0)
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def completed(self) -> int:
        return len(self.query("SELECT 1 FROM item WHERE state = 'completed'"))

    def check_after_kill(self) -> None:
        """The ledger is whole, and every page that it calls completed has its recorded hash."""
        assert self.query("PRAGMA integrity_check") in ([], [("ok",)])
        for output, recorded in self.query("SELECT output, output_hash FROM item WHERE state = 'completed'"):
            assert hashlib.sha256(Path(output).read_bytes()).hexdigest() == recorded
        bad = self.query(
            "SELECT job_id, state, count FROM tally t WHERE state <> 'held' AND count <> "
            "(SELECT count(*) FROM item i WHERE i.job_id = t.job_id AND i.state = t.state AND NOT held)"
        )
        assert bad == []

    def tables(self) -> list[Any]:
        """What the ledger says of the job, but for times, tokens, attempts and places."""
        return [
            self.query("SELECT id, kind, state, error, exit_code, wanted, priority FROM job"),
            self.query("SELECT key, sort, sha256, facts, role FROM source ORDER BY sort"),
            self.query(
                "SELECT key, ordinal, priority, input_hash, fingerprint, state, deaths, intent, token, output_hash, "
                "details, approved, held, error_type, error FROM item ORDER BY ordinal"
            ),
            self.query("SELECT state, count FROM tally WHERE count > 0 ORDER BY state"),
        ]

    def strays(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.name.endswith(".part")]

    def finish(self) -> None:
        assert self.start().wait(PATIENCE_S) == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, length: Length) -> Comic:
    root = tmp_path_factory.mktemp("undisturbed")
    draw_pages(root / "in", length(40, 300))
    comic = Comic(root / "in", root)
    comic.finish()
    assert comic.strays() == []
    return comic


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> bool:
    """Until `condition()` holds (True) or the process has ended by itself (False)."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)
    return True


def check_same(comic: Comic, undisturbed: Comic) -> None:
    comic.check_after_kill()
    assert comic.strays() == []
    assert comic.output.read_bytes() == undisturbed.output.read_bytes()
    assert comic.tables() == undisturbed.tables()
    settled = comic.query(
        "SELECT key, count(*) FROM event WHERE kind = 'page' AND json_extract(data, '$.state') = 'completed' GROUP BY key"
    )
    pages = comic.query("SELECT count(*) FROM item")[0][0]
    assert len(settled) == pages
    assert {count for _, count in settled} == {1}, "a page was completed twice"


def redone(comic: Comic) -> int:
    return int(comic.query("SELECT coalesce(sum(attempts - 1), 0) FROM item")[0][0])


def test_the_whole_group_while_pages_are_made(
    undisturbed: Comic, tmp_path: Path, length: Length, report: Report
) -> None:
    comic = Comic(undisturbed.inputs, tmp_path)
    rng = random.Random(7)
    wanted, kills, rounds, again = length(3, 200), 0, 0, 0
    while kills < wanted:
        rounds += 1
        process = comic.start()
        before = comic.completed()
        if wait_for(lambda: comic.completed() > before, process):  # noqa: B023 - called at once
            time.sleep(rng.random() * 0.4)
            if process.poll() is None:
                comic.kill()
                kills += 1
                comic.check_after_kill()
        else:
            assert process.returncode == 0
            check_same(comic, undisturbed)
            again += redone(comic)
            comic = Comic(undisturbed.inputs, tmp_path / str(rounds))  # that one is done: begin another
            comic.root.mkdir()
    comic.finish()
    check_same(comic, undisturbed)
    again += redone(comic)
    # One page for each slot may be lost with a kill; what was finished and not yet in the ledger is not.
    assert again <= kills * SLOTS
    report("kill -9 of the group, pages", f"{kills} kills, {again} pages done again, archive equal")


def test_the_whole_group_while_it_starts(
    undisturbed: Comic, tmp_path: Path, length: Length, report: Report
) -> None:
    comic = Comic(undisturbed.inputs, tmp_path)
    rng = random.Random(8)
    kills = length(3, 20)
    for _ in range(kills):
        comic.start()
        time.sleep(rng.random() * 1.5)
        comic.kill()
        comic.check_after_kill()
    comic.finish()
    check_same(comic, undisturbed)
    report("kill -9 of the group, start-up", f"{kills} kills, archive equal")


@pytest.mark.parametrize("everyone", [False, True])
def test_workers(undisturbed: Comic, tmp_path: Path, everyone: bool, length: Length, report: Report) -> None:
    comic = Comic(undisturbed.inputs, tmp_path)
    process = comic.start()
    kills = 0
    for step in range(1, length(2, 20) + 1):
        if not wait_for(lambda: comic.completed() >= 2 * step, process):  # noqa: B023 - called at once
            break
        workers = psutil.Process(process.pid).children()
        for worker in workers if everyone else workers[:1]:
            worker.kill()
            kills += 1
    assert process.wait(PATIENCE_S) in (0, 3)
    failed = comic.query("SELECT error FROM item WHERE state = 'failed'")
    assert all(
        "SIGKILL, probably because the machine ran out of memory, twice" in error for (error,) in failed
    )
    assert redone(comic) <= kills
    comic.finish()
    deaths = comic.query("SELECT sum(deaths) FROM item")[0][0]
    assert deaths <= kills
    comic.check_after_kill()
    assert comic.strays() == []
    assert comic.output.read_bytes() == undisturbed.output.read_bytes()
    case = "kill -9 of all workers" if everyone else "kill -9 of one worker"
    report(case, f"{kills} kills, {deaths} pages begun again, archive equal")


def test_the_coordinator_while_another_follows(
    undisturbed: Comic, tmp_path: Path, length: Length, report: Report
) -> None:
    comic = Comic(undisturbed.inputs, tmp_path)
    slowest = 0.0
    rounds = length(1, 10)
    running = comic.start()
    for _ in range(rounds):
        before = comic.completed()
        if not wait_for(lambda: comic.completed() > before, running):  # noqa: B023 - called at once
            break
        follower = comic.start()
        time.sleep(2.0)
        if running.poll() is not None:
            running = follower
            break
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        began = time.monotonic()
        wait_for(
            lambda: comic.query("SELECT json_extract(owner, '$.pid') FROM job") == [(follower.pid,)],  # noqa: B023
            follower,
        )
        slowest = max(slowest, time.monotonic() - began)
        running = follower
    assert running.wait(PATIENCE_S) == 0
    assert slowest < 2.0 + 4.0  # promised: 2 s, on a machine that has nothing else to do
    check_same(comic, undisturbed)
    report(
        "kill -9 of a followed coordinator",
        f"{rounds} times, taken over within {slowest:.1f} s, archive equal",
    )


def test_a_worker_stopped_past_its_time(undisturbed: Comic, tmp_path: Path, report: Report) -> None:
    """A stopped worker is ended at its time limit; the fencing of late results is tested in tests/core."""
    comic = Comic(undisturbed.inputs, tmp_path)
    process = comic.start()
    assert wait_for(lambda: comic.completed() >= 2, process)
    workers = psutil.Process(process.pid).children()
    workers[0].suspend()
    time.sleep(1.0)
    workers[0].resume()
    assert process.wait(PATIENCE_S) == 0
    check_same(comic, undisturbed)
    report("SIGSTOP and SIGCONT of a worker", "archive equal")


def test_both_journals_survive(tmp_path: Path, length: Length, report: Report) -> None:
    """A writer that is killed between two commits leaves a ledger that opens and holds what was committed."""
    for journal in ("truncate", "wal"):
        path = tmp_path / f"{journal}.db"
        code = (
            "from batch_processing.core.ledger import Ledger\n"
            f"ledger = Ledger({str(path)!r}, journal={journal!r})\n"
            "number = ledger.submit('comics', ['/in'], '/out', {}).id\n"
            "for i in range(10**9): ledger.say(number, 'note', str(i)); print(i, flush=True)"
        )
        rng = random.Random(9)
        for _ in range(length(2, 50)):
            writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(rng.random() * 0.3)
            writer.kill()
            told = writer.communicate()[0].split()
            ledger = Ledger(path, journal=journal)
            assert ledger.database.integrity_check() == "ok"
            notes = [event.data.get("text") for event in ledger.events(1, max(0, ledger.last_event(1) - 20))]
            assert not told or told[-1] in notes
            ledger.close()
    report("kill -9 of a writer", "both journals: what was committed is there")
