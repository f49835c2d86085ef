"""Finished files are known by their size, time and inode: a run reads them again where one of these is another, and `lote
verify` reads all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from batch_processing import colorize_comic
from command import lote
from pages import book

Colored = Callable[[], tuple[int, list[str]]]


def damage(path: Path) -> None:
    """Change a byte, as a failing disk does: whoever does not read the file sees nothing of it."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def colored(tmp_path: Path) -> Colored:
    """Runs the job, which ran once: how many pages were taken over, and which files were changed since they were written."""
    book(tmp_path / "in", 4)

    def run() -> tuple[int, list[str]]:
        result = colorize_comic(tmp_path / "in", tmp_path / "out", workspace=tmp_path / "ws", backend="noop")
        said = (warning.partition(" was changed since Lote wrote it") for warning in result.warnings)
        return result.reused, [Path(path).name for path, changed, _ in said if changed]

    run()
    return run


def test_what_stands_as_it_was_written_is_not_read_again(colored: Colored, tmp_path: Path) -> None:
    first, second, third, fourth = (tmp_path / "out" / f"{number}.png" for number in (1, 2, 3, 4))
    damage(first)
    assert colored() == (4, [])
    with closing(sqlite3.connect(tmp_path / "ws" / "lote.db", isolation_level=None)) as ledger:
        for table, column in (("item", "output_stamp"), ("source", "written_stamp")):
            ledger.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        ledger.execute("DELETE FROM migration WHERE name = '0008_stamps'")
    for path in (second, third, fourth):
        os.utime(path, ns=(10**18, 10**18))
    assert colored() == (
        4,
        ["1.png"],
    )  # a ledger of an earlier version: all are read once, and are known then
    damage(second)
    assert colored() == (4, ["1.png"])
    (tmp_path / "copy").write_bytes(second.read_bytes())
    os.utime(tmp_path / "copy", ns=(10**18, 10**18))
    (tmp_path / "copy").replace(second)  # of its size and time
    third.write_bytes(third.read_bytes() + b"\n")
    os.utime(third, ns=(10**18, 10**18))
    damage(fourth)
    os.utime(fourth)
    assert colored() == (4, ["1.png", "2.png", "3.png", "4.png"])


def test_what_a_disk_has_changed_is_found_by_verifying(colored: Colored, tmp_path: Path) -> None:
    page, cover, gone = (tmp_path / "out" / name for name in ("1.png", "0_cover.png", "3.png"))
    damage(page)
    damage(cover)
    gone.unlink()
    found = lote("verify", workspace=tmp_path / "ws")
    assert (found.code, found.out) == (3, "2 as they were written, 2 changed, 1 missing\n")
    assert found.err.splitlines() == [
        f"lote: {page} is not as Lote wrote it: `lote retry 1 --page 1.png` makes it again",
        f"lote: {gone} is missing: the same command makes it again",
        f"lote: {cover} is not as Lote wrote it: move it away, and the same command makes it again",
    ]
    cover.unlink()
    assert colored() == (3, ["1.png"])  # from now on runs see it, too


def test_an_archive_and_its_pages_are_known_and_verified(tmp_path: Path) -> None:
    book(tmp_path / "in", 2)
    archive = tmp_path / "book.cbz"

    def run() -> int:
        return colorize_comic(tmp_path / "in", archive, workspace=tmp_path / "ws", backend="noop").reused

    run()
    whole = archive.read_bytes()
    damage(archive)
    damage(tmp_path / "ws" / "jobs" / "1" / "pages" / "1.png")
    assert run() == 2
    found = lote("verify", "--json", workspace=tmp_path / "ws")
    assert [(event["page"], event["remedy"]) for event in found.events[:-1]] == [
        ("1.png", "again"),
        ("", "move"),
    ]
    archive.unlink()
    assert run() == 1
    assert archive.read_bytes() == whole
    again = lote("verify", workspace=tmp_path / "ws")
    assert (again.code, again.out) == (0, "3 as they were written, 0 changed, 0 missing\n")
