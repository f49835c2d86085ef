"""What is forgotten after a while: events, old scans and their batches, large logs. And what never is."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from batch_processing import colorize_comic
from batch_processing.core.workspace import Workspace
from batch_processing.logging_config import rotate
from batch_processing.upkeep import Cleaned, clean
from command import lote
from drawn_photos import jpeg, scene
from pages import book
from photos_help import Library, write

DAY = 86_400.0


def aged(workspace: Path, days: float) -> None:
    """Have all that is told in a workspace be so many days older."""
    with sqlite3.connect(workspace / "lote.db") as connection:
        connection.execute("UPDATE event SET at = at - ?", (days * DAY,))
        connection.execute("UPDATE job SET finished_at = finished_at - ?", (days * DAY,))
        for table in ("photo_scans", "photo_look_runs"):
            there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            if there:
                connection.execute(
                    f"UPDATE {table} SET finished_at = datetime(finished_at, ?)",  # noqa: S608
                    (f"-{days} days",),
                )


def count(workspace: Path, sql: str) -> int:
    with sqlite3.connect(workspace / "lote.db") as connection:
        return int(connection.execute(sql).fetchone()[0])


def colored(tmp_path: Path) -> Workspace:
    """A workspace with a job that has ended and one that is queued, which have events."""
    pages = book(tmp_path / "pages", 2)
    config = {"backend": "noop", "max_concurrent": 1}
    colorize_comic(pages, tmp_path / "a.cbz", config=config, workspace=tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws")
    workspace.ledger.submit("comics", [str(pages)], str(tmp_path / "b.cbz"), {"settings": {}}, owner=None)
    return workspace


def test_old_events_of_ended_jobs_go_and_others_stay(tmp_path: Path) -> None:
    workspace = colored(tmp_path)
    of_job = "SELECT count(*) FROM event WHERE job_id = {}"
    ended, waiting = (count(workspace.root, of_job.format(number)) for number in (1, 2))
    assert ended > 2
    assert waiting == 1
    assert clean(workspace, older_than=90 * DAY) == Cleaned(0, 0, 0)
    aged(workspace.root, 100)
    kept = sorted(path for path in workspace.root.rglob("*") if path.is_file())
    would = clean(workspace, older_than=90 * DAY, dry_run=True)
    assert (would.jobs, would.events) == (1, ended)
    assert would.bytes > 0
    assert sorted(path for path in workspace.root.rglob("*") if path.is_file()) == kept
    assert count(workspace.root, of_job.format(1)) == ended
    freed = clean(workspace, older_than=90 * DAY)
    assert (freed.jobs, freed.events, freed.bytes) == (would.jobs, would.events, would.bytes)
    assert count(workspace.root, of_job.format(1)) == 0
    assert count(workspace.root, of_job.format(2)) == waiting
    assert not (workspace.root / "jobs" / "1" / "pages").exists()
    assert (tmp_path / "a.cbz").exists()
    # And the job still is one: what is asked for again is done again.
    config = {"backend": "noop", "max_concurrent": 1}
    again = colorize_comic(tmp_path / "pages", tmp_path / "a.cbz", config=config, workspace=tmp_path / "ws")
    assert (again.job, again.completed) == (1, 2)
    workspace.close()


def test_a_workspace_without_photos_gets_no_tables_of_them(tmp_path: Path) -> None:
    workspace = colored(tmp_path)
    tables = "SELECT count(*) FROM sqlite_master"
    before = count(workspace.root, tables)
    for options in (["--dry-run"], []):
        assert lote("clean", "--older-than", "90d", *options, workspace=workspace.root).code == 0
        assert count(workspace.root, tables) == before


def test_old_scans_go_but_the_latest_of_each_folder_and_no_photo(tmp_path: Path) -> None:
    root, others = tmp_path / "photos", tmp_path / "others"
    Workspace(tmp_path / "ws").ledger.close()
    with Library(tmp_path / "ws" / "lote.db") as library:
        for number in range(6):
            write(root / f"{number}.jpg", jpeg(scene(number, 60, 40)))
            library.scan(root, 2)
        library.scan(root, 2)  # which finds nothing new: it has no batch
        write(others / "1.jpg", jpeg(scene(9, 60, 40)))
        library.scan(others, 2)
        before = library.dump("photos", "photo_directories")
    assert count(tmp_path / "ws", "SELECT count(*) FROM photo_scans") == 8
    assert count(tmp_path / "ws", "SELECT count(*) FROM photo_batches") == 7
    young = lote("clean", "--older-than", "90d", "--dry-run", "--json", workspace=tmp_path / "ws")
    assert (young.events[-1]["scans"], young.events[-1]["batches"]) == (0, 0)
    aged(tmp_path / "ws", 100)
    would = lote("clean", "--older-than", "90d", "--dry-run", workspace=tmp_path / "ws")
    assert "old scans and looks: 5" in would.out
    assert "batches of them: 5" in would.out
    assert count(tmp_path / "ws", "SELECT count(*) FROM photo_scans") == 8
    done = lote("clean", "--older-than", "90d", "--json", workspace=tmp_path / "ws").events[-1]
    assert (done["scans"], done["batches"], done["dry_run"]) == (5, 5, False)
    # Of each folder the latest scan, and the latest with a batch.
    assert count(tmp_path / "ws", "SELECT count(*) FROM photo_scans") == 3
    assert count(tmp_path / "ws", "SELECT count(*) FROM photo_batches") == 2
    with Library(tmp_path / "ws" / "lote.db") as library:
        assert library.dump("photos", "photo_directories") == before | {
            "photos": [
                row if place in (5, 6) else without_batch(library, row)
                for place, row in enumerate(before["photos"])
            ]
        }
        stats = library.scan(root, 2)
        assert (stats.registered, stats.already_processed) == (0, 6)


def without_batch(library: Library, row: tuple[object, ...]) -> tuple[object, ...]:
    """A photo as it was, but for the number of its batch."""
    kept = {new[0]: new for new in library.dump("photos")["photos"]}[row[0]]
    changed = [(old, new) for old, new in zip(row, kept, strict=True) if old != new]
    assert len(changed) <= 1
    assert all(new is None for _old, new in changed)
    return kept


def test_a_log_that_is_large_is_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "background.log"
    rotate(log)
    assert list(tmp_path.iterdir()) == []
    for number in range(8):
        log.write_text(str(number))
        rotate(log)
        assert log.exists()
        os.truncate(log, 11 * 2**20)
        rotate(log)
        assert not log.exists()
    kept = {path.name: path.read_bytes()[:1] for path in tmp_path.iterdir()}
    assert kept == {f"background.log.{number}": str(8 - number).encode() for number in range(1, 6)}
