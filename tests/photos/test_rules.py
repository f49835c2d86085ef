"""The rules of identity, moves, copies, missing photos and batches, as a caller sees them."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from batch_processing.exceptions import ImageProcessingError, QueueError, ValidationError, WorkspaceError
from batch_processing.photos import (
    Duplicate,
    DuplicateRepository,
    Photo,
    PhotoRepository,
    ScanGuardError,
    calculate_file_hash,
    is_valid_image_file,
    load_images_from_folder,
    scan_images_recursively,
)
from photos_help import Library, write

if TYPE_CHECKING:
    from collections.abc import Iterator

RACY_S = 2.1


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "photos.db") as library:
        yield library


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


def fill(tree: Path, count: int, folder: str = "a") -> list[Path]:
    return [
        write(tree / folder / f"{number:04d}.jpg", b"%s %d" % (folder.encode(), number))
        for number in range(count)
    ]


def test_records_have_the_documented_keys(library: Library, tree: Path) -> None:
    path = write(tree / "Käse.JPG", b"photo")
    given, stats = library.batches(tree)
    digest = calculate_file_hash(path)
    assert given == [
        [{"filename": "Käse.JPG", "path": str(path), "hash": digest, "size": 5, "extension": ".jpg"}]
    ]
    assert len(digest) == 64
    assert (stats.files_seen, stats.registered, stats.batches, stats.bytes_read) == (1, 1, 1, 5)


def test_batches_have_the_size_asked_for_whatever_lies_between(library: Library, tree: Path) -> None:
    for number in range(60):
        write(tree / f"{number:03d}.jpg", b"content %d" % (number // 3))  # two copies after each photo
    given, stats = library.batches(tree, 7)
    assert [len(batch) for batch in given] == [7, 7, 6]
    assert (stats.registered, stats.duplicates, stats.batches) == (20, 40, 3)


def test_a_moved_photo_keeps_its_row(library: Library, tree: Path) -> None:
    old = fill(tree, 3)[1]
    library.scan(tree)
    before = library.photos.get_by_path(old)
    assert before is not None
    number = before.id
    new = tree / "b" / "renamed.jpg"
    new.parent.mkdir()
    old.rename(new)
    given, stats = library.batches(tree)
    assert given == []
    assert (stats.moved, stats.duplicates, stats.missing, stats.registered) == (1, 0, 0, 0)
    after = library.photos.get_by_path(new)
    assert after is not None
    assert (after.id, after.state) == (number, "present")
    assert library.photos.get_by_path(old) is None


def test_a_renamed_folder_is_moved_copies_and_all(library: Library, tree: Path) -> None:
    fill(tree, 150)
    write(tree / "a" / "copy.jpg", b"a 7")
    library.scan(tree)
    (tree / "a").rename(tree / "z")
    stats = library.scan(tree)
    assert (stats.moved, stats.duplicates, stats.missing, stats.registered) == (151, 0, 0, 0)
    assert library.copies() == {(str(tree / "z" / "copy.jpg"), str(tree / "z" / "0007.jpg"))}


def test_the_oldest_copy_becomes_the_original(library: Library, tree: Path) -> None:
    first, second, third = (write(tree / name, b"same") for name in ("1.jpg", "2.jpg", "3.jpg"))
    library.scan(tree)
    assert library.copies() == {(str(second), str(first)), (str(third), str(first))}
    first.unlink()
    stats = library.scan(tree)
    assert (stats.missing, stats.duplicates, stats.moved) == (1, 0, 0)
    assert library.copies() == {(str(third), str(second))}
    assert library.hashes("missing").keys() == {str(first)}
    # It comes back: known, so nothing new, and now a copy like the third.
    write(first, b"same")
    stats = library.scan(tree)
    assert (stats.registered, stats.moved) == (0, 0)
    assert library.copies() == {(str(first), str(second)), (str(third), str(second))}


def test_a_first_scan_by_the_command_finds_the_same_copies(
    library: Library, tree: Path, tmp_path: Path
) -> None:
    """It looks contents up outside of the database, and makes their index at its end."""
    for number in range(900):  # one content has more rows than a statement names
        content = b"the same" if number % 3 else b"%d" % (number // 2)
        write(tree / f"{number % 4}" / f"{number:03d}.jpg", content)
    library.scan(tree)
    with Library(tmp_path / "command.db") as other:
        stats = other.command_scan(tree)
        assert other.dump() == library.dump()
        assert other.has_index_over_hashes()
    assert (stats.registered, stats.duplicates) == (301, 599)


def test_a_first_scan_sees_what_others_add_meanwhile(library: Library, tree: Path, tmp_path: Path) -> None:
    paths = fill(tree, 400)
    twin = write(tmp_path / "elsewhere" / "twin.jpg", paths[-1].read_bytes())
    scan = library.command(tree, 50).run()
    next(scan)
    library.photos.create({"path": str(twin), "hash": hashlib.sha256(twin.read_bytes()).hexdigest()})
    library.session.commit()
    for _ in scan:
        pass
    assert library.copies() == {(str(paths[-1]), str(twin))}


def test_a_first_scan_goes_on_when_others_forget_meanwhile(library: Library, tree: Path) -> None:
    """SQLite gives the numbers of forgotten rows to the next, here to one of the same content."""
    paths = [write(tree / f"{n:03d}.jpg", b"same" if n % 2 else b"%d" % n) for n in range(600)]
    scan = library.command(tree, 20).run()
    next(scan)
    with library.database.write() as connection:
        last = connection.scalar(sa.text("SELECT max(id) FROM photos"))
        connection.execute(sa.text("DELETE FROM photos WHERE id > :last - 2"), {"last": last})
    for _ in scan:
        pass
    assert len(library.hashes()) == 598
    assert library.command_scan(tree).files_seen == 600
    assert library.copies() == {(str(path), str(paths[1])) for path in paths[3::2]}


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_interrupted_first_scan_gets_its_index(library: Library, tree: Path, how: str) -> None:
    fill(tree, 300)
    scan = library.command(tree, 50).run()
    next(scan)
    scan.close()
    if how == "killed":
        with library.database.write() as connection:
            connection.execute(sa.text("DROP INDEX ix_photos_hash"))
        assert not library.has_index_over_hashes()
        library.command_scan(tree)
    assert library.has_index_over_hashes()


def test_photos_that_have_to_come_from_the_disk(library: Library, tree: Path) -> None:
    """Readers ask for a list of them at once, whatever has become of each."""
    paths = [write(tree / f"{n:03d}.jpg", b"%03d" % n * 20_000) for n in range(400)]
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # out of the page cache
        os.close(descriptor)
    scan = library.command(tree).run()
    next(scan)
    paths[390].unlink()
    for _ in scan:
        pass
    wanted = {str(path): hashlib.sha256(b"%03d" % n * 20_000).hexdigest() for n, path in enumerate(paths)}
    found = library.hashes()
    assert found == {path: digest for path, digest in wanted.items() if path in found}
    assert len(found) + len(library.errors()) == 400


def test_reading_leaves_the_time_of_last_access(library: Library, tree: Path) -> None:
    """A system that keeps it (`relatime`) writes it when it is older than the last change."""
    paths = fill(tree, 3)
    for path in paths:
        os.utime(path, ns=(10**18, 2 * 10**18))
    library.scan(tree, facts=True)
    assert {path.stat().st_atime_ns for path in paths} == {10**18}


def test_a_file_of_somebody_elses_can_be_read() -> None:
    """Linux leaves the time of last access to its owner."""
    path = Path("/etc/passwd")
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    if not (child := os.fork()):
        if os.geteuid() == 0:
            os.setuid(65534)  # nobody
        os._exit(calculate_file_hash(path) != wanted)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_swapped_photos_are_changed_and_no_copies(library: Library, tree: Path) -> None:
    one, two = write(tree / "1.jpg", b"one"), write(tree / "2.jpg", b"two")
    library.scan(tree)
    write(one, b"two")
    write(two, b"one")
    given, stats = library.batches(tree)
    assert (stats.changed, stats.duplicates, stats.moved, stats.missing) == (2, 0, 0, 0)
    assert len(given[0]) == 2
    assert library.copies() == set()


def test_changed_content_with_the_old_time_is_noticed_by_the_paranoid(library: Library, tree: Path) -> None:
    path = write(tree / "1.jpg", b"one")
    time.sleep(RACY_S)
    library.scan(tree)
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert library.scan(tree).bytes_read == 0
    stats = library.scan(tree, paranoid=True)
    assert (stats.changed, stats.already_processed) == (1, 0)
    assert library.hashes() == {str(path): calculate_file_hash(path)}


def test_a_change_time_alone_has_nothing_read_but_for_the_paranoid(library: Library, tree: Path) -> None:
    """`chmod -R`, `cp -al` and backups change it, and no content."""
    path = write(tree / "1.jpg", b"one")
    time.sleep(RACY_S)
    library.scan(tree)
    path.chmod(0o600)
    assert library.scan(tree).bytes_read == 0
    stats = library.scan(tree, paranoid=True)
    assert (stats.changed, stats.already_processed, stats.bytes_read) == (0, 1, 3)
    time.sleep(RACY_S)
    library.scan(tree, paranoid=True)
    assert library.scan(tree, paranoid=True).bytes_read == 0


def test_times_that_no_database_holds(library: Library, tree: Path) -> None:
    """Nanoseconds of 1601 and 2446 have more than 64 bits: not every file system takes such times, FUSE gives them."""
    paths = fill(tree, 3)
    for path, year in zip(paths, (1601, 2300, 2446), strict=True):
        seconds = (year - 1970) * 31_556_952
        os.utime(path, (seconds, seconds))
    stats = library.scan(tree)
    assert (stats.registered, stats.errors) == (3, 0)
    assert len(library.hashes()) == 3


def test_a_file_written_just_before_is_not_trusted(library: Library, tree: Path) -> None:
    write(tree / "1.jpg", b"one")
    library.scan(tree)
    assert library.scan(tree).bytes_read == 3


@pytest.mark.parametrize("scan", [Library.scan, Library.command_scan], ids=["session", "command"])
def test_what_nobody_has_thought_of_costs_one_photo(
    library: Library, tree: Path, monkeypatch: pytest.MonkeyPatch, scan: Any
) -> None:
    fill(tree, 250)
    from batch_processing.photos import settle

    on_disk = settle.shown

    def odd(name: bytes) -> tuple[str, str]:
        if name == b"0123.jpg":
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return on_disk(name)

    monkeypatch.setattr(settle, "shown", odd)
    stats = scan(library, tree)
    assert (stats.registered, stats.errors) == (249, 1)
    assert library.errors() == [(str(tree / "a" / "0123.jpg"), "hash", "unexpected")]
    monkeypatch.undo()
    stats = scan(library, tree)
    assert (stats.registered, stats.errors, library.errors()) == (1, 0, [])
    assert len(library.hashes()) == 250


def test_a_clock_set_back_makes_nothing_trusted(library: Library, tree: Path) -> None:
    path = write(tree / "1.jpg", b"one")
    ahead = time.time_ns() + 3600 * 10**9
    os.utime(path, ns=(ahead, ahead))
    library.scan(tree)
    assert library.scan(tree).bytes_read == 3
    path.write_bytes(b"two")
    os.utime(path, ns=(ahead, ahead))
    assert library.scan(tree).changed == 1


def test_hard_links_are_read_once_and_are_no_copies(library: Library, tree: Path) -> None:
    path = write(tree / "1.jpg", b"x" * 1000)
    for name in ("2.jpg", "3.jpg"):
        (tree / name).hardlink_to(path)
    write(tree / "4.jpg", b"x" * 1000)
    stats = library.scan(tree)
    assert (stats.registered, stats.hard_links, stats.duplicates, stats.bytes_read) == (1, 2, 1, 2000)
    assert library.copies() == {(str(tree / "4.jpg"), str(path))}
    path.unlink()
    stats = library.scan(tree)
    assert (stats.missing, stats.duplicates) == (1, 0)
    assert library.copies() in (
        {(str(tree / "4.jpg"), str(tree / "2.jpg"))},
        {(str(tree / "2.jpg"), str(tree / "4.jpg"))},
    )


def test_many_names_of_many_photos_are_one_file_each(library: Library, tree: Path) -> None:
    """As folders of backups that share what did not change: more rows in a commit than a statement takes values."""
    for path in fill(tree, 1000):
        for folder in "bcdef":
            (tree / folder).mkdir(exist_ok=True)
            (tree / folder / path.name).hardlink_to(path)
    stats = library.command_scan(tree)
    assert (stats.registered, stats.hard_links, stats.duplicates) == (1000, 5000, 0)
    assert library.copies() == set()


def test_copies_that_become_hard_links_stop_being_copies(library: Library, tree: Path) -> None:
    first, second = write(tree / "1.jpg", b"same"), write(tree / "2.jpg", b"same")
    library.scan(tree)
    second.unlink()
    second.hardlink_to(first)
    stats = library.scan(tree)
    assert (stats.changed, stats.already_processed) == (0, 2)
    assert library.copies() == set()
    assert library.hashes().keys() == {str(first), str(second)}


def links(library: Library) -> set[tuple[str, str]]:
    """(name, name of the row it is a hard link of)."""
    base = aliased(Photo)
    pairs = sa.select(Photo, base).join(base, Photo.hardlink_of_id == base.id)
    return {(Path(link.path).name, Path(first.path).name) for link, first in library.session.execute(pairs)}


def test_hard_links_stay_links_when_their_file_is_written_anew(library: Library, tree: Path) -> None:
    path = write(tree / "b" / "1.jpg", b"one")
    library.scan(tree)
    for name in ("2.jpg", "c/3.jpg"):  # in the walk before and after the first of them
        (tree / "c").mkdir(exist_ok=True)
        (tree / name).hardlink_to(path)
    library.scan(tree)
    path.write_bytes(b"other")
    stats = library.scan(tree, 1)
    assert (stats.changed, stats.duplicates) == (3, 0)
    assert links(library) == {("2.jpg", "1.jpg"), ("3.jpg", "1.jpg")}
    assert library.copies() == set()


def test_a_photo_that_moves_and_is_linked_at_once_is_no_copy(library: Library, tree: Path) -> None:
    old = write(tree / "1.jpg", b"one")
    library.scan(tree)
    (tree / "3.jpg").hardlink_to(old)
    old.rename(tree / "2.jpg")
    stats = library.scan(tree)
    assert (stats.moved, stats.hard_links, stats.duplicates) == (1, 1, 0)
    assert links(library) == {("3.jpg", "2.jpg")}
    assert library.copies() == set()


def test_a_copy_in_the_place_of_a_linked_photo_is_not_the_linked_file(library: Library, tree: Path) -> None:
    old = write(tree / "1.jpg", b"one")
    (tree / "2.jpg").hardlink_to(old)
    library.scan(tree)
    old.unlink()
    shutil.copy(tree / "2.jpg", tree / "3.jpg")
    library.scan(tree)
    assert links(library) == set()
    assert {frozenset(map(os.path.basename, pair)) for pair in library.copies()} == {
        frozenset(["2.jpg", "3.jpg"])
    }


def test_a_hard_link_that_comes_back_is_one_again(library: Library, tree: Path, tmp_path: Path) -> None:
    old = write(tree / "a" / "1.jpg", b"one")
    (tree / "2.jpg").hardlink_to(old)
    write(tree / "3.jpg", b"other")
    time.sleep(RACY_S)
    library.scan(tree)
    (tree / "a").rename(tmp_path / "away")
    assert library.scan(tree, allow_missing=True).missing == 1
    (tmp_path / "away").rename(tree / "a")
    stats = library.scan(tree)
    assert (stats.already_processed, stats.bytes_read, stats.duplicates) == (3, 0, 0)
    assert library.copies() == set()
    assert len(links(library)) == 1


def test_the_same_folder_on_another_way_holds_no_copies(library: Library, tree: Path, tmp_path: Path) -> None:
    path = fill(tree, 3)[0]
    library.scan(tree)
    (tmp_path / "way").symlink_to(tree)
    stats = library.scan(tmp_path / "way")
    assert (stats.registered, stats.hard_links, stats.duplicates) == (0, 3, 0)
    assert library.copies() == set()
    shutil.copy(path, tree / "copy.jpg")
    assert library.scan(tree).duplicates == 1


def test_a_new_spelling_of_a_name_is_a_move(
    library: Library, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on the disks of a Mac, which answer to "IMG_1.JPG" and "img_1.jpg"."""
    old = write(tree / "IMG_1.JPG", b"one")
    library.scan(tree)
    old.rename(tree / "img_1.jpg")
    lstat = os.lstat
    monkeypatch.setattr(
        os, "lstat", lambda path: lstat(os.fsencode(path).replace(b"IMG_1.JPG", b"img_1.jpg"))
    )
    stats = library.scan(tree)
    assert (stats.moved, stats.duplicates, stats.missing) == (1, 0, 0)


def test_figures_are_true_within_a_large_folder(library: Library, tree: Path) -> None:
    fill(tree, 90)
    scan = library.command(tree, 10)
    for batch in scan.run():
        scan.count()
        assert scan.stats.files_seen >= 10 * batch.number
    assert scan.stats.files_seen == 90


def test_a_photo_that_becomes_a_copy_of_another_is_the_copy(library: Library, tree: Path) -> None:
    first, second = write(tree / "1.jpg", b"one"), write(tree / "2.jpg", b"second")
    library.scan(tree)
    shutil.copy(second, first)
    stats = library.scan(tree)
    assert (stats.changed, stats.duplicates) == (1, 1)
    assert library.copies() == {(str(first), str(second))}


@pytest.mark.parametrize("gone", ["removed", "emptied"])
def test_a_root_that_is_gone_marks_nothing(library: Library, tree: Path, gone: str) -> None:
    fill(tree, 3)
    library.scan(tree)
    before = library.dump()
    shutil.rmtree(tree)
    if gone == "emptied":
        tree.mkdir()
    with pytest.raises(ScanGuardError, match="add --allow-missing") as caught:
        library.scan(tree)
    assert caught.value.exit_code == 13
    assert library.dump() == before
    assert library.scan(tree, allow_missing=True).missing == 3
    assert library.hashes() == {}


def test_too_many_missing_photos_stop_the_scan(library: Library, tree: Path) -> None:
    paths = fill(tree, 150)
    fill(tree, 5, "b")
    library.scan(tree)
    for path in paths[:101]:
        path.unlink()
    write(tree / "new.jpg", b"new")
    with pytest.raises(ScanGuardError, match="101 of 155 known photos"):
        library.scan(tree)
    assert library.hashes("missing") == {}
    paths[101].unlink()
    write(paths[0], b"a 0")
    with pytest.raises(ScanGuardError, match="101 of 155 known photos"):
        library.scan(tree)
    write(paths[1], b"a 1")
    assert library.scan(tree).missing == 100  # the limit itself is allowed


def test_missing_is_judged_only_below_the_folders_given(library: Library, tree: Path) -> None:
    fill(tree, 2, "a")
    lost = fill(tree, 2, "b")
    library.scan(tree)
    lost[0].unlink()
    assert library.scan(tree / "a").missing == 0
    assert library.hashes("missing") == {}
    assert library.scan(tree).missing == 1


def test_a_photo_moved_out_of_the_folder_given_is_moved(library: Library, tree: Path) -> None:
    old, _ = fill(tree, 2, "a")
    (tree / "b").mkdir()
    library.scan(tree)
    old.rename(tree / "b" / "x.jpg")
    stats = library.scan(tree / "b")
    assert (stats.moved, stats.duplicates, stats.registered) == (1, 0, 0)


def test_ignored_folders_are_neither_read_nor_missing(library: Library, tree: Path) -> None:
    fill(tree, 2, "a")
    fill(tree, 2, "b")
    fill(tree, 2, "c/keep")
    fill(tree, 2, "c/drop")
    assert library.scan(tree).registered == 8
    write(tree / "a" / ".nomedia", b"")
    write(tree / "c" / ".lote-ignore", b"drop/\n*1.jpg\n!keep/0001.jpg\n")
    stats = library.scan(tree, exclude=["/b"])
    assert (stats.files_seen, stats.missing) == (2, 0)
    assert len(library.hashes()) == 8


def test_what_is_no_photo_is_left_alone_and_counted(library: Library, tree: Path) -> None:
    write(tree / "1.jpg", b"one")
    write(tree / "1.xmp", b"sidecar")
    write(tree / "film.MP4", b"video")
    write(tree / "@eaDir" / "1.jpg", b"thumbnail")
    write(tree / ".Trash-1000" / "files" / "2.jpg", b"given up")
    (tree / "link.jpg").symlink_to("1.jpg")
    (tree / "loop").symlink_to(".")
    os.mkfifo(tree / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tree / "socket.jpg"))
        stats = library.scan(tree)
    assert (stats.files_seen, stats.registered, stats.errors) == (1, 1, 0)
    assert stats.unhandled == {".xmp": 1, ".mp4": 1}


def test_any_bytes_are_a_name(library: Library, tree: Path) -> None:
    root = os.fsencode(tree)
    wanted = [
        b"\xff\xfe.jpg",
        b"new\nline.jpg",
        b"e\xcc\x81.jpg",
        b"\xc3\xa9.jpg",
        b"n" * 251 + b".jpg",
        b" .jpg",
        b"'%s.jpg",
    ]
    for number, name in enumerate(wanted):
        with open(root + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
            file.write(b"photo %d" % number)
    given, stats = library.batches(tree)
    assert stats.registered == len(wanted)
    assert {os.fsencode(one["path"]) for one in given[0]} == {root + b"/" + name for name in wanted}
    for one in given[0]:
        photo = library.photos.get_by_path(one["path"])
        assert photo is not None
        assert photo.hash == one["hash"] == calculate_file_hash(one["path"])
        photo.filename.encode()  # what is shown is always text
    assert library.scan(tree).registered == 0


def test_a_consumer_that_stops_loses_nothing(library: Library, tree: Path) -> None:
    fill(tree, 50)
    scan = scan_images_recursively(tree, library.photos, 10)
    taken = [next(scan), next(scan)]
    scan.close()
    again, _ = library.batches(tree, 10)
    assert again[0] == taken[1]  # asked for nothing after it
    assert taken[0] + [one for batch in again for one in batch] == sorted(
        taken[0] + [one for batch in again for one in batch], key=lambda one: one["path"]
    )
    assert [len(batch) for batch in again] == [10, 10, 10, 10]
    assert library.batches(tree, 10)[0] == []


def test_a_consumer_has_the_database_to_itself_between_batches(
    library: Library, tree: Path, tmp_path: Path
) -> None:
    fill(tree, 60)
    mine = sqlite3.connect(tmp_path / "photos.db", timeout=0.0, isolation_level=None)
    for number, batch in enumerate(scan_images_recursively(tree, library.photos, 5), 1):
        mine.execute("BEGIN EXCLUSIVE")  # fails at once where anybody else is at work
        (there,) = mine.execute("SELECT count(*) FROM photos").fetchone()
        mine.execute("COMMIT")
        assert there >= 5 * number
        assert len(batch) == 5
    mine.close()


def test_an_interrupted_scan_goes_on_with_its_numbers(library: Library, tree: Path) -> None:
    fill(tree, 35)
    scan = scan_images_recursively(tree, library.photos, 10)
    next(scan)
    scan.close()
    library.scan(tree, 10)
    rows = library.dump("photo_scans", "photo_batches")
    assert len(rows["photo_scans"]) == 1
    table = sa.table("photo_batches", sa.column("number"), sa.column("photos"), sa.column("state"))
    with library.database.read() as connection:
        batches = connection.execute(sa.select(table).order_by(table.c.number)).all()
    assert [tuple(row) for row in batches] == [
        (1, 10, "taken"),
        (2, 10, "taken"),
        (3, 10, "taken"),
        (4, 5, "taken"),
    ]


def test_a_scan_can_start_at_a_batch(library: Library, tree: Path) -> None:
    paths = fill(tree, 40)
    library.scan(tree, 10)
    paths[3].write_bytes(b"changed before")
    paths[4].unlink()
    paths[33].write_bytes(b"changed behind")
    given, stats = library.batches(tree, 10, start_batch=3)
    assert [one["path"] for batch in given for one in batch] == [str(paths[33])]
    assert (stats.files_seen, stats.missing) == (20, 0)
    stats = library.scan(tree, 10)
    assert (stats.changed, stats.missing) == (1, 1)
    with pytest.raises(ValidationError, match="no batch 9"):
        library.scan(tree, 10, start_batch=9)


@pytest.mark.parametrize("taken", [1, 2, 3, 4])
def test_a_scan_that_began_at_a_batch_goes_on_there(library: Library, tree: Path, taken: int) -> None:
    """The batches of the run that was broken off have numbers, too, and are other ones."""
    paths = fill(tree, 40)
    library.scan(tree, 10)
    for path in paths[15:]:
        path.write_bytes(b"changed " + path.name.encode())
    begun = scan_images_recursively(tree, library.photos, 5, start_batch=3)
    given = [one["path"] for _, batch in zip(range(taken), begun, strict=False) for one in batch]
    begun.close()
    assert given == [str(path) for path in paths[20 : 20 + 5 * taken]]
    rest, stats = library.batches(tree, 5, start_batch=3)
    given += [one["path"] for batch in rest for one in batch]
    assert set(given) == {str(path) for path in paths[20:]}
    assert stats.files_seen == 20
    assert library.scan(tree, 10).changed == 5  # what lies before that batch


def test_a_moved_library_goes_on_where_its_scan_began(library: Library, tree: Path) -> None:
    from batch_processing.photos.relocation import relocate
    from batch_processing.photos.store import Store

    paths = fill(tree, 40)
    library.scan(tree, 10)
    for path in paths[20:]:
        path.write_bytes(b"changed " + path.name.encode())
    begun = scan_images_recursively(tree, library.photos, 5, start_batch=3)
    next(begun)
    begun.close()
    moved = tree.with_name("moved")
    tree.rename(moved)
    relocate(Store(library.database), os.fsencode(tree), os.fsencode(moved), really=True)
    assert library.scan(moved, 5, start_batch=3).files_seen == 20
    assert len(library.hashes()) == 40


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": True}, {"start_batch": 0}, {"readers": 0}]
)
def test_wrong_numbers_are_refused(library: Library, tree: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        list(scan_images_recursively(tree, library.photos, **wrong))


@pytest.mark.parametrize("asked", [3, 6, 9])
def test_a_wish_to_stop_that_is_taken_back_loses_nothing(library: Library, tree: Path, asked: int) -> None:
    fill(tree, 20)
    wishes = count(1)
    library.scan(tree, 5, stopped=lambda: next(wishes) == asked)
    library.scan(tree, 5)
    assert len(library.hashes()) == 20


def test_two_sessions_that_are_both_read_from_do_not_lock_the_scan_out(library: Library, tree: Path) -> None:
    fill(tree, 20)
    with Session(library.database.engine) as other:
        copies = DuplicateRepository(other)
        for _ in scan_images_recursively(tree, library.photos, copies, 2):
            assert copies.get_duplicates_count() == 0
    assert len(library.hashes()) == 20


def test_a_damaged_database_is_said_in_one_sentence(tmp_path: Path, tree: Path) -> None:
    fill(tree, 300)
    path = tmp_path / "damaged.db"
    with Library(path) as library:
        library.scan(tree)
    with sqlite3.connect(path) as connection:
        ((page, size),) = connection.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size() WHERE name = 'photos'"
        )
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    with Library(path) as library, pytest.raises(WorkspaceError, match="is damaged"):
        library.scan(tree)


def test_a_folder_that_never_was_is_refused(library: Library, tree: Path) -> None:
    with pytest.raises(ValidationError, match="does not exist"):
        library.scan(tree / "nothing")
    with pytest.raises(ValidationError, match="not a directory"):
        library.scan(write(tree / "1.jpg", b"one"))


def test_a_third_repository_is_understood(library: Library, tree: Path) -> None:
    fill(tree, 3)
    copies = DuplicateRepository(library.session)
    given = list(scan_images_recursively(str(tree), library.photos, copies, 2))
    assert [len(batch) for batch in given] == [2, 1]
    assert list(scan_images_recursively(str(tree), library.photos, 2, duplicate_repo=copies)) == []
    assert list(scan_images_recursively(str(tree), library.photos, copies, batch_size=2)) == []


@pytest.mark.parametrize("url", ["sqlite://", "file"])
def test_a_session_of_ones_own_engine_will_do(tmp_path: Path, tree: Path, url: str) -> None:
    fill(tree, 5)
    write(tree / "copy.jpg", b"a 1")
    engine = sa.create_engine(url if url != "file" else f"sqlite:///{tmp_path / 'own.db'}")
    with Session(engine) as session:
        photos, copies = PhotoRepository(session), DuplicateRepository(session)
        for batch in scan_images_recursively(tree, photos, 2):
            assert photos.get_by_hash(batch[0]["hash"]) is not None  # the session is free between batches
        assert len(photos.list_all()) == 6
        assert copies.get_duplicates_count() == 1
        session.rollback()
        assert list(scan_images_recursively(tree, photos, 2)) == []
        original = photos.get_by_hash(calculate_file_hash(tree / "copy.jpg"))
        assert original is not None
        photos.delete(original.id)
        assert copies.get_duplicates_count() == 0  # foreign keys are enforced, and cascade
    engine.dispose()


def test_a_second_scan_inside_the_first_is_refused(library: Library, tree: Path) -> None:
    fill(tree, 5)
    scan = scan_images_recursively(tree, library.photos, 2)
    next(scan)
    with pytest.raises(QueueError, match="already running"):
        library.scan(tree)
    scan.close()
    assert library.scan(tree).errors == 0


def test_load_images_from_folder(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LOTE_DATABASE", raising=False)
    paths = fill(tree, 5)
    first = load_images_from_folder(str(tree), 2)
    assert [one["path"] for one in first] == [str(path) for path in paths]
    assert load_images_from_folder(tree) == []
    assert load_images_from_folder(tree / "nothing") == []
    with pytest.raises(ImageProcessingError, match="does not exist"):
        calculate_file_hash(tree / "nothing.jpg")
    assert "does not exist" in caplog.text
    monkeypatch.setenv("LOTE_DATABASE", f"sqlite:///{tmp_path / 'other.db'}")
    assert len(load_images_from_folder(tree)) == 5
    with pytest.raises(ValidationError):
        load_images_from_folder(tree, 0)


def test_repositories(library: Library, tree: Path) -> None:
    one, two = write(tree / "1.jpg", b"same"), write(tree / "2.jpg", b"same")
    library.scan(tree)
    photos, copies = library.photos, DuplicateRepository(library.session)
    digest = calculate_file_hash(one)
    original, copy = photos.get_by_path(str(one)), photos.get_by_path(str(two))
    assert original is not None
    assert copy is not None
    assert photos.get_by_hash(digest) is original
    assert photos.get_by_hash("no hash") is None
    assert photos.get(original.id) is original
    found = library.session.scalars(
        sa.select(Photo).where(Photo.path == str(two), Photo.hash == digest)
    ).all()
    assert found == [copy]
    assert library.session.scalars(sa.select(Photo).where(Photo.path.in_([str(one), "/x"]))).all() == [
        original
    ]
    assert library.session.scalars(sa.select(Photo.path).order_by(Photo.path.desc())).all() == [
        str(two),
        str(one),
    ]
    assert library.session.scalars(sa.select(Photo).where(Photo.path.startswith(f"{tree}/"))).all() == [
        original,
        copy,
    ]
    assert [link.duplicate_of_id for link in copies.get_by_photo(copy.id)] == [original.id]
    assert [link.photo_id for link in copies.get_by_original(original.id)] == [copy.id]
    assert copies.get_duplicates_summary() == [("hash_duplicate", 1)]
    assert copies.get_duplicate_groups() == {original.id: [copy.id]}
    assert copies.exists_duplicate(copy.id, original.id)
    assert not copies.exists_duplicate(original.id, copy.id)
    again = copies.create_duplicate(copy.id, original.id, "hash_duplicate")
    assert copies.list_all() == [again]
    assert copies.get_duplicates_count() == 1
    with pytest.raises(ValidationError, match="itself"):
        copies.create_duplicate(copy.id, copy.id, "hash_duplicate")
    with pytest.raises(ValidationError):
        copies.create_duplicate(copy.id, 999, "hash_duplicate")
    made = photos.create(
        {"filename": "3.jpg", "path": str(tree / "3.jpg"), "hash": "ab" * 32, "size": 7, "extension": ".jpg"}
    )
    assert (made.filename, made.path, made.hash, made.size) == ("3.jpg", str(tree / "3.jpg"), "ab" * 32, 7)
    assert made.extension == ".jpg"
    with pytest.raises(ValidationError):
        photos.create({"path": str(tree / "3.jpg"), "hash": "ab" * 32})
    with pytest.raises(ValidationError, match="colour"):
        photos.create({"path": "/x.jpg", "hash": "ab" * 32, "colour": 1})
    assert photos.delete(made.id)
    assert not photos.delete(made.id)
    assert isinstance(copies.get_by_photo(copy.id)[0], Duplicate)


def test_small_functions_never_mislead(tree: Path) -> None:
    photo = write(tree / "a.JPG", b"abc")
    assert (
        calculate_file_hash(str(photo)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert is_valid_image_file(photo)
    for other in (
        write(tree / "b.txt", b"x"),
        write(tree / "empty.jpg", b""),
        tree,
        tree / "no.jpg",
        None,
        "\0.jpg",
    ):
        assert not is_valid_image_file(other)  # type: ignore[arg-type]
