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


def bring_back(folder: Path) -> None:
    """Have the files be of another time, as a backup brings them back."""
    for path in folder.glob("*.png"):
        os.utime(path, ns=(10**18, 10**18))


@pytest.fixture
def colored(tmp_path: Path) -> Colored:
    """Runs the job, which ran once: how many pages were taken over, and which files were changed since they were written."""
    book(tmp_path / "in", 3)

    def run() -> tuple[int, list[str]]:
        result = colorize_comic(tmp_path / "in", tmp_path / "out", workspace=tmp_path / "ws", backend="noop")
        said = (warning.partition(" was changed since Lote wrote it") for warning in result.warnings)
        return result.reused, [Path(path).name for path, changed, _ in said if changed]

    run()
    return run


def test_what_stands_as_it_was_written_is_not_read_again(colored: Colored, tmp_path: Path) -> None:
    out = tmp_path / "out"
    damage(out / "1.png")
    assert colored() == (3, [])
    bring_back(out)
    assert colored() == (3, ["1.png"])
    damage(out / "2.png")  # all were read when they had come back, and are known again
    damage(out / "0_cover.png")
    assert colored() == (3, ["1.png"])


def test_a_ledger_of_an_earlier_version_has_all_read_once(colored: Colored, tmp_path: Path) -> None:
    bring_back(tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "ws" / "lote.db", isolation_level=None)) as ledger:
        ledger.execute("ALTER TABLE item DROP COLUMN output_stamp")
        ledger.execute("ALTER TABLE source DROP COLUMN written_stamp")
        ledger.execute("DELETE FROM migration WHERE name = '0008_stamps'")
    damage(tmp_path / "out" / "1.png")
    assert colored() == (3, ["1.png"])
    damage(tmp_path / "out" / "2.png")
    assert colored() == (3, ["1.png"])


def test_a_page_whose_size_or_time_is_another_is_noticed(colored: Colored, tmp_path: Path) -> None:
    first, second, third = (tmp_path / "out" / f"{number}.png" for number in (1, 2, 3))
    damage(first)
    os.utime(first)
    before = second.stat()
    second.write_bytes(second.read_bytes() + b"\n")
    os.utime(second, ns=(before.st_atime_ns, before.st_mtime_ns))
    before = third.stat()
    damage(third)
    (tmp_path / "copy").write_bytes(third.read_bytes())
    os.utime(tmp_path / "copy", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "copy").replace(third)  # size and time are the same
    assert colored() == (3, ["1.png", "2.png", "3.png"])


def test_what_a_disk_has_changed_is_found_by_verifying(colored: Colored, tmp_path: Path) -> None:
    page, cover = tmp_path / "out" / "1.png", tmp_path / "out" / "0_cover.png"
    whole = lote("verify", workspace=tmp_path / "ws")
    assert (whole.code, whole.out) == (0, "4 as they were written, 0 changed, 0 missing\n")
    damage(page)
    damage(cover)
    (tmp_path / "out" / "3.png").unlink()
    found = lote("verify", "--json", workspace=tmp_path / "ws")
    assert found.code == 3
    told = [(Path(event["path"]).name, event["result"], event["remedy"]) for event in found.events[:-1]]
    assert told == [
        ("1.png", "changed", "retry"),
        ("3.png", "missing", "again"),
        ("0_cover.png", "changed", "move"),
    ]
    assert found.summary == {"event": "summary", "whole": 1, "changed": 2, "missing": 1}
    said = lote("verify", workspace=tmp_path / "ws").err
    assert f"lote: {page} is not as Lote wrote it: `lote retry 1 --page 1.png` makes it again" in said
    cover.unlink()
    assert colored() == (2, ["1.png"])  # from now on runs see it, too
    assert lote("retry", "1", "--page", "1.png", workspace=tmp_path / "ws").code == 0
    assert lote("verify", workspace=tmp_path / "ws").code == 0


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
    assert lote("verify", workspace=tmp_path / "ws").code == 0
