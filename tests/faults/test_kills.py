"""kill -9 at random moments: nothing lost, nothing twice, the same archive byte for byte."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from batch_processing.core.ledger import Ledger
from batch_processing.messages import Message
from command import command, environment, lote
from faults.runs import PATIENCE_S, SLOTS, Comic, Length, Report, draw_pages, wait_for
from pages import zipped


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, length: Length) -> Comic:
    root = tmp_path_factory.mktemp("undisturbed")
    draw_pages(root / "in", length(30, 300))
    comic = Comic(root / "in", root)
    comic.finish()
    assert comic.strays() == []
    return comic


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
    wanted, kills, rounds, again = length(2, 200), 0, 0, 0
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
    kills = length(2, 20)
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
    for step in range(1, length(1, 20) + 1):
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
    if length(0, 1):  # what a machine can promise that has nothing else to do
        assert slowest < 2.0
    check_same(comic, undisturbed)
    report(
        "kill -9 of a followed coordinator",
        f"{rounds} times, taken over within {slowest:.1f} s, archive equal",
    )


def test_a_worker_stopped_past_its_lease(undisturbed: Comic, tmp_path: Path, report: Report) -> None:
    """Its page fails by itself, and what it would still have said is nobody's."""
    comic = Comic(undisturbed.inputs, tmp_path, LOTE_TIMEOUT="4")
    process = comic.start()
    assert wait_for(lambda: comic.completed() >= 2, process)
    stopped = psutil.Process(process.pid).children()[0]
    stopped.suspend()
    assert wait_for(lambda: comic.query("SELECT 1 FROM item WHERE state = 'failed'"), process)
    with contextlib.suppress(psutil.NoSuchProcess):  # it was ended at its limit
        stopped.resume()
    assert process.wait(PATIENCE_S) == 3
    failed = comic.query("SELECT error_type, error FROM item WHERE state = 'failed'")
    assert {(kind, str(Message.from_json(error))) for kind, error in failed} == {
        ("TimeoutError", "took longer than 4 s and was stopped")
    }
    again = Comic(undisturbed.inputs, tmp_path)
    again.finish()
    assert again.strays() == []
    assert again.output.read_bytes() == undisturbed.output.read_bytes()
    report("SIGSTOP past the lease", "one page failed with a sentence, the next run made it, archive equal")


def test_a_killed_look_into_an_archive_leaves_nothing(undisturbed: Comic, tmp_path: Path) -> None:
    archive = zipped(undisturbed.inputs, tmp_path / "book.zip")
    (tmp_path / "tmp").mkdir()
    surroundings = environment(tmp_path / "ws") | {"TMPDIR": str(tmp_path / "tmp")}
    scratch = tmp_path / "ws" / "scratch"
    with subprocess.Popen(
        command("classify", archive, "--json"), env=surroundings, stdout=subprocess.DEVNULL
    ) as process:
        # Seen on the disk, not in what it prints: that may come when it has already tidied up.
        while not (unpacked := list(scratch.glob("*/0/*"))) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    assert unpacked
    assert process.returncode == -signal.SIGKILL
    pages = sorted(undisturbed.inputs.iterdir())
    assert list(scratch.glob("*/0/*"))
    assert lote("classify", pages[0], workspace=tmp_path / "ws", TMPDIR=str(tmp_path / "tmp")).code == 0
    assert list(scratch.iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_every_journal_survives(tmp_path: Path, length: Length, report: Report) -> None:
    """A writer that is killed between two commits leaves a ledger that opens and holds what was committed."""
    for journal in ("truncate", "persist", "wal"):
        path = tmp_path / f"{journal}.db"
        code = (
            "from batch_processing.core.ledger import Ledger\n"
            f"ledger = Ledger({str(path)!r}, journal={journal!r})\n"
            "number = ledger.submit('comics', ['/in'], '/out', {}).id\n"
            "for i in range(10**9): ledger.say(number, 'note', str(i)); print(i, flush=True)"
        )
        rng = random.Random(9)
        for _ in range(length(1, 50)):
            writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(rng.random() * 0.3)
            writer.kill()
            told = writer.communicate()[0].split()
            ledger = Ledger(path, journal=journal)
            assert ledger.database.integrity_check() == "ok"
            notes = [
                str(event.data.get("text")) for event in ledger.events(1, max(0, ledger.last_event(1) - 20))
            ]
            assert not told or told[-1] in notes
            ledger.close()
    report("kill -9 of a writer", "all journals: what was committed is there")
