"""Photos on the file systems that people have: case that is ignored, inodes that are made up, one file on
two ways, drives that come and go. Through the command, on file systems mounted for the test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from photos.file_systems import (
    LATER_NS,
    RACY_S,
    TWO_WAYS,
    Mounts,
    Photos,
    Ways,
    bind_ways,
    bindfs_of_exfat_ways,
    bindfs_ways,
    contents,
    copy_on_write,
    figures,
    fill,
    news,
    picture,
    put,
    recase,
    with_copies,
)

SAME_FILE = "the same file, seen on another way"


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    with Mounts(tmp_path) as mounts:
        yield mounts


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path)


# A1: case


@pytest.mark.parametrize("kind", ["exfat", "ntfs"])
def test_a_rename_in_case_is_a_move_and_no_photo_is_trashed(
    mounts: Mounts, photos: Photos, kind: str
) -> None:
    card = getattr(mounts, kind)("card")
    fill(card / "DCIM", 4)
    photos.scan(card)
    recase(card / "DCIM", "Dcim")
    assert news(photos.scan(card)) == {"moved": 4}
    recase(card / "Dcim" / "IMG_0002.JPG", "img_0002.jpg")
    assert news(photos.scan(card)) == {"moved": 1}
    assert news(photos.scan(card), "already_processed") == {"already_processed": 4}
    there = contents(card)
    assert sorted(there) == [
        f"Dcim/{name}" for name in sorted(("IMG_0000.JPG", "IMG_0001.JPG", "IMG_0003.JPG"))
    ] + ["Dcim/img_0002.jpg"]
    for how in ("--trash", "--hardlink"):
        photos.run("duplicates", how, "--yes")
        assert contents(card) == there


def test_a_real_copy_beside_renamed_photos_is_trashed_alone(mounts: Mounts, photos: Photos) -> None:
    card = mounts.exfat("card")
    names = fill(card / "DCIM", 3)
    photos.scan(card)
    recase(card / "DCIM", "Dcim")
    put(card / "backup" / "copy.jpg", names["IMG_0001.JPG"], at_ns=LATER_NS)
    assert news(photos.scan(card)) == {"moved": 3, "duplicates": 1}
    photos.run("duplicates", "--trash", "--yes")
    assert contents(card) == {f"Dcim/{name}": content for name, content in names.items()}


def test_a_root_that_was_renamed_in_case_is_moved(mounts: Mounts, photos: Photos) -> None:
    card = mounts.exfat("card")
    fill(card / "DCIM", 3)
    photos.scan(card / "DCIM")
    recase(card / "DCIM", "Dcim")
    there = contents(card)
    for typed in ("DCIM", "Dcim"):
        summary = photos.scan(card / typed)
        assert (summary["duplicates"], summary["missing"], summary["registered"]) == (0, 0, 0)
    assert photos.json("stats")["photos"] == 3
    photos.run("duplicates", "--trash", "--yes")
    assert contents(card) == there


# A2: the same files on two ways


def assert_none_is_lost(photos: Photos, ways: tuple[Path, Path], order: list[Path], how: str) -> None:
    """Scan, get rid of "copies", and find every photo at its place on both ways; then none is listed again."""
    before = contents(ways[0])
    assert before
    assert contents(ways[1]) == before
    photos.scan(*order)
    listed, _ = photos.copies()
    run = photos.run("duplicates", how, "--yes", code=(0, 3))
    assert [contents(way) for way in ways] == [before, before]
    if listed:
        assert SAME_FILE in run.out + run.err
    assert photos.copies() == (0, 0)
    summary = photos.scan(*order)
    assert (summary["duplicates"], summary["missing"], summary["registered"]) == (0, 0, 0)
    assert photos.copies() == (0, 0)


@pytest.mark.parametrize("make", TWO_WAYS)
@pytest.mark.parametrize(
    ("order", "how"), [(1, "--trash"), pytest.param(-1, "--trash", marks=pytest.mark.long), (1, "--hardlink")]
)
def test_the_same_files_on_two_ways_are_no_copies(
    mounts: Mounts, photos: Photos, make: Ways, order: int, how: str
) -> None:
    ways = make(mounts)
    fill(ways[0] / "2024", 3)
    assert_none_is_lost(photos, ways, [*ways[::order]], how)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("how", ["--trash", "--hardlink"])
def test_layers_of_an_overlay_are_no_copies(mounts: Mounts, photos: Photos, order: int, how: str) -> None:
    # A file renamed below an overlay is still found in the overlay under its old name: that proves nothing.
    lower = mounts.folder / "lower"
    fill(lower / "2024", 3)
    ways = lower, mounts.overlay(lower, "merged")
    assert_none_is_lost(photos, ways, [*ways[::order]], how)


@pytest.mark.parametrize("make", [make for make in TWO_WAYS if make is not bindfs_of_exfat_ways])
@pytest.mark.parametrize("how", ["--trash", "--hardlink"])
def test_a_real_copy_among_files_seen_twice_is_dealt_with(
    mounts: Mounts, photos: Photos, make: Ways, how: str
) -> None:
    library, view = make(mounts)
    names = fill(library / "2024", 2)
    twice = names["IMG_0000.JPG"]
    put(library / "backup" / "IMG_0000.JPG", twice, at_ns=LATER_NS)
    other = put(
        library / "backup" / "other.jpg", picture(99)
    ).read_bytes()  # no folder becomes empty as a whole
    photos.scan(library, view)
    photos.run("duplicates", how, "--yes", code=(0, 3))
    there = contents(library)
    assert contents(view) == there
    assert there.pop("2024/IMG_0001.JPG") == names["IMG_0001.JPG"]
    assert there.pop("backup/other.jpg") == other
    assert set(there.values()) == {twice}
    if how == "--trash":
        assert len(there) == 1
    else:
        assert sorted(there) == ["2024/IMG_0000.JPG", "backup/IMG_0000.JPG"]
        assert len({(library / name).stat().st_ino for name in there}) == 1
    # Replaced by a link, the copy is another file on the other way, of which nothing is known yet.
    photos.scan(library, view)
    left = contents(library)
    photos.run("duplicates", how, "--yes", code=(0, 3))
    assert contents(library) == contents(view) == left
    assert photos.copies() == (0, 0)


# A3: --keep under, by other names of the folder


@pytest.mark.parametrize("how", ["--trash", "--hardlink"])
def test_nothing_below_the_folder_to_keep_is_removed(mounts: Mounts, photos: Photos, how: str) -> None:
    library = mounts.ext4("library")
    originals, kept = with_copies(library)
    inodes = {name: (library / name).stat().st_ino for name in kept}
    photos.scan(library)
    photos.run("duplicates", how, "--yes", "--keep", "under", originals)
    there = contents(library)
    if how == "--trash":
        assert there == kept
    else:
        assert there == kept | {"elsewhere/one.jpg": picture(0), "3.jpg": picture(2)}
        assert (library / "3.jpg").samefile(originals / "three.jpg")
    assert {name: (library / name).stat().st_ino for name in kept} == inodes


def test_several_folders_to_keep_are_tried_in_order(mounts: Mounts, photos: Photos) -> None:
    library = mounts.ext4("library")
    one, two, three = (picture(seed) for seed in range(3))
    kept = {"best/1.jpg": one, "good/1.jpg": one, "good/2.jpg": two, "x/3.jpg": three, "y/3.jpg": three}
    for name, content in kept.items():
        put(library / name, content, at_ns=LATER_NS)
    put(library / "x" / "1.jpg", one)
    put(library / "x" / "2.jpg", two)
    photos.scan(library)
    order = "--keep", "under", library / "best", "--keep", "under", library / "good"
    groups = photos.run("duplicates", "--json", *order).events[:-1]
    assert {group["keep"] for group in groups if group["keep"]} == {
        str(library / name) for name in ("best/1.jpg", "good/2.jpg")
    }
    photos.run("duplicates", "--trash", "--yes", *order)
    assert contents(library) == kept


def test_the_folder_to_keep_may_be_named_through_a_link(mounts: Mounts, photos: Photos) -> None:
    library = mounts.ext4("library")
    originals, kept = with_copies(library)
    link = mounts.folder / "link"
    link.symlink_to(originals)
    photos.scan(library)
    photos.run("duplicates", "--trash", "--yes", "--keep", "under", link)
    assert contents(library) == kept


def test_the_folder_to_keep_may_be_named_in_another_case(mounts: Mounts, photos: Photos) -> None:
    library = mounts.exfat("library")
    _, kept = with_copies(library)
    photos.scan(library)
    photos.run("duplicates", "--trash", "--yes", "--keep", "under", library / "ORIGINALS")
    assert contents(library) == kept


def test_the_folder_to_keep_may_be_named_through_a_bind_mount(mounts: Mounts, photos: Photos) -> None:
    library = mounts.ext4("library")
    originals, kept = with_copies(library)
    other_way = mounts.bind(originals, "other-way")
    before = contents(originals)
    photos.scan(library)
    # Whether the copies outside go is not promised: the photos are not recorded on this way.
    photos.run("duplicates", "--trash", "--yes", "--keep", "under", other_way, code=(0, 2, 3))
    assert contents(originals) == before
    assert kept.items() <= contents(library).items()


# A4: a card that is the library itself, on another way


@pytest.mark.parametrize("make", [bindfs_ways, bind_ways])
def test_a_view_of_the_library_is_not_known_by_the_library(
    mounts: Mounts, photos: Photos, make: Ways
) -> None:
    library, view = make(mounts)
    names = fill(library, 3)
    photos.scan(library)
    run = photos.run("known", view, "--json", code=3)
    assert {event["result"] for event in run.events[:-1]}.isdisjoint({"known"})
    assert len(run.events) == 1 + 3
    assert run.summary["known"] == 0
    assert contents(library) == contents(view) == names


def test_a_card_that_was_scanned_is_not_known_by_itself(mounts: Mounts, photos: Photos) -> None:
    card = mounts.exfat("card")
    names = fill(card / "DCIM", 3)
    photos.scan(card)
    mounts.unmount(card)
    again = mounts.plug(mounts.image("card"), "again", "exfat")
    assert photos.json("known", again, code=3)["known"] == 0
    assert "recorded, but not there now" in photos.run("known", again, code=3).out
    library = mounts.folder / "library"
    for name, content in names.items():
        put(library / name, content)
    photos.scan(library)
    assert photos.json("known", again, code=0)["known"] == 3


# B3: a drive at another place, or away


@pytest.mark.parametrize("kind", ["exfat", "ext4"])
def test_a_drive_that_is_mounted_elsewhere_has_moved(mounts: Mounts, photos: Photos, kind: str) -> None:
    old = getattr(mounts, kind)("old")
    fill(old / "2023", 3)
    fill(old / "2024", 3, first=10)
    photos.scan(old)
    mounts.unmount(old)
    new = mounts.plug(mounts.image("old"), "new", kind)
    assert news(photos.scan(new)) == {"moved": 6}
    assert photos.json("stats")["photos"] == 6
    assert photos.gain() == 0
    assert news(photos.scan(new), "already_processed") == {"already_processed": 6}


def test_copies_of_a_drive_that_is_away_are_nothing_to_gain(mounts: Mounts, photos: Photos) -> None:
    drive = mounts.exfat("drive")
    names = fill(drive / "2024", 3)
    photos.scan(drive)
    mounts.unmount(drive)
    library = mounts.folder / "library"
    for number, content in enumerate(names.values()):
        put(library / "restored" / f"{number}.jpg", content)
    summary = photos.scan(library)
    assert figures(summary, "absent_originals", "duplicates", "moved") == {
        "absent_originals": 3,
        "duplicates": 0,
        "moved": 0,
    }
    assert photos.gain() == 0
    before = contents(library)
    photos.run("duplicates", "--trash", "--yes", code=(0, 3))
    assert contents(library) == before
    # The drive is back: now they are copies.
    mounts.plug(mounts.image("drive"), "drive", "exfat")
    photos.scan(drive, library)
    assert photos.gain() == sum(map(len, names.values()))


# B4: the root's name


def test_a_root_is_spelled_as_its_parent_lists_it(mounts: Mounts, photos: Photos) -> None:
    card = mounts.exfat("card")
    fill(card / "DCIM" / "100Canon", 3)
    run = photos.run("scan", card / "dcim" / "100CANON", "--json")
    (batch,) = [event for event in run.events if event["event"] == "batch"]
    assert batch["first_path"] == str(card / "DCIM" / "100Canon" / "IMG_0000.JPG")
    for typed in ("DCIM", "Dcim", "dcim/100canon"):
        summary = photos.scan(card / typed)
        assert news(summary, "already_processed") == {"already_processed": 3}
    assert photos.json("stats")["photos"] == 3
    assert photos.copies() == (0, 0)


# B5: part of a library is away


@pytest.mark.parametrize("where", ["library/disk", "library/2024/disk"])
def test_a_disk_inside_the_library_that_is_not_mounted(mounts: Mounts, photos: Photos, where: str) -> None:
    library = mounts.folder / "library"
    fill(library / "2023", 95, side=8)
    fill(library / "2024", 3, first=200, side=8)
    fill(mounts.ext4("disk"), 5, first=100, side=8)
    mounts.unmount(mounts.folder / "disk")
    disk = mounts.plug(mounts.image("disk"), where, "ext4")
    assert photos.scan(library)["registered"] == 103
    mounts.unmount(disk)
    run = photos.run("scan", library, code=13)
    assert str(disk) in run.err
    assert "--allow-missing" in run.err
    assert photos.json("stats")["missing"] == 0
    mounts.plug(mounts.image("disk"), where, "ext4")
    assert news(photos.scan(library)) == {}
    mounts.unmount(disk)
    assert photos.scan(library, "--allow-missing")["missing"] == 5
    assert photos.json("stats")["missing"] == 5


# A6: times that a column does not hold


@pytest.mark.parametrize("kind", ["tmpfs", "xfs", "ext4"])
def test_any_time_of_a_photo_can_be_recorded(mounts: Mounts, photos: Photos, kind: str) -> None:
    disk = getattr(mounts, kind)("disk")
    fill(disk, 1)
    years = {1601: -11_644_473_600, 2300: 10_413_792_000, 2446: 15_032_385_535}  # year: s since 1970
    times = set()
    for year, second in years.items():
        path = put(disk / f"{year}.jpg", picture(year), at_ns=second * 1_000_000_000)
        times.add(path.stat().st_mtime)
    if kind == "tmpfs":  # the others bring a time that they cannot hold nearer to today
        assert times == set(years.values())
    assert news(photos.scan(disk)) == {"registered": 4}
    assert news(photos.scan(disk)) == {}
    assert photos.json("verify")["ok"] == 4
    card = mounts.tmpfs("card")
    put(card / "1.jpg", picture(1601))
    put(card / "2.jpg", picture(2446))
    assert photos.json("known", card)["known"] == 2
    photos.run("duplicates")
    put(disk / "copy.jpg", picture(2300))
    assert news(photos.scan(disk)) == {"duplicates": 1}
    photos.run("duplicates", "--trash", "--yes", "--keep", "newest")
    assert len(contents(disk)) == 4


# B6, B7: verify


def test_verify_says_what_is_missing(mounts: Mounts, photos: Photos) -> None:
    drive = mounts.ext4("drive")
    assert photos.run("verify", code=2).err
    fill(drive / "2024", 120, side=8)
    photos.scan(drive)
    lost = drive / "2024" / "IMG_0007.JPG"
    lost.rename(drive / "kept-aside")
    run = photos.run("verify", "--quiet", code=3)
    assert str(lost) in run.err
    assert figures(photos.json("verify", code=3), "ok", "missing") == {"ok": 119, "missing": 1}
    mounts.unmount(drive)
    assert photos.run("verify", "--quiet", code=13).err
    assert photos.run("verify", drive, "--quiet", code=13).err
    assert photos.json("stats")["missing"] == 0


@pytest.mark.parametrize("kind", ["exfat", "ext4"])
def test_equal_bytes_are_whole_whatever_the_time(mounts: Mounts, photos: Photos, kind: str) -> None:
    disk = getattr(mounts, kind)("disk")
    names = fill(disk, 3)
    photos.scan(disk)
    for name in names:
        os.utime(disk / name, ns=(LATER_NS, LATER_NS))
    time.sleep(RACY_S)
    assert figures(photos.json("verify"), "ok", "changed", "corrupt") == {"ok": 3, "changed": 0, "corrupt": 0}
    summary = photos.scan(disk)
    assert news(summary, "bytes_read", "already_processed") == {"bytes_read": 0, "already_processed": 3}


# B16: shared extents


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_reflinks_are_nothing_to_gain_and_copies_become_reflinks(
    mounts: Mounts, photos: Photos, kind: str
) -> None:
    library = getattr(mounts, kind)("library")
    content = picture(1, side=200)
    original = put(library / "original.jpg", content)
    clone = library / "clone.jpg"
    copy_on_write(original, clone)
    os.sync()
    photos.scan(library)
    assert photos.gain() == 0
    copy = put(library / "copy.jpg", content, at_ns=LATER_NS)
    os.sync()
    photos.scan(library)
    assert photos.gain() == len(content)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (original, clone, copy)}
    photos.run("duplicates", "--reflink", code=0)  # only says what it would do
    assert photos.gain() == len(content)
    photos.run("duplicates", "--reflink", "--yes", code=(0, 3))  # one of the three needs nothing
    assert contents(library) == dict.fromkeys(("original.jpg", "clone.jpg", "copy.jpg"), content)
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in before} == before
    os.sync()
    assert photos.gain() == 0
    assert news(photos.scan(library)) == {}
    assert photos.gain() == 0


def test_reflinks_where_there_are_none_leave_copies_alone(mounts: Mounts, photos: Photos) -> None:
    library = mounts.ext4("library")
    content = picture(1, side=200)
    put(library / "original.jpg", content)
    put(library / "copy.jpg", content, at_ns=LATER_NS)
    photos.scan(library)
    run = photos.run("duplicates", "--reflink", "--yes", code=3)
    assert str(library / "copy.jpg") in run.err
    assert contents(library) == dict.fromkeys(("original.jpg", "copy.jpg"), content)
    assert photos.gain() == len(content)
