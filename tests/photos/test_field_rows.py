"""What people's libraries do to a scanner: cards, machine folders, odd times, renamed and damaged photos.
Through the command, from the rows of the field specification."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import command, environment
from photos.file_systems import (
    LATER_NS,
    LONG_AGO_NS,
    RACY_S,
    Photos,
    contents,
    figures,
    fill,
    news,
    picture,
    put,
    results,
)

NOT_THERE = "recorded, but not there now"
# Bytes of a pipe that nobody reads: a scan that prints more than this stands still, with its lock.
PIPE = 4096


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "library"
    path.mkdir()
    return path


# A4: may I format this card?


def test_a_card_is_known_only_when_every_file_is(photos: Photos, library: Path, tmp_path: Path) -> None:
    names = fill(library, 3)
    photos.scan(library)
    card = tmp_path / "card"
    for name, content in names.items():
        put(card / "DCIM" / name.lower(), content)
    run = photos.run("known", card, "--json", code=0)
    assert set(results(run, card).values()) == {"known"}
    assert run.summary["known"] == 3
    strange = {
        "DCIM/new.jpg": picture(50),
        "DCIM/video.mp4": b"\0\0\0\x18ftypmp42",
        "DCIM/clip.MOV": b"\0\0\0\x14ftypqt  ",
        "DCIM/raw.PEF": b"MM\0*raw",
        "DCIM/scan.jfif": picture(51),
        "DCIM/note.txt": b"words",
        "DCIM/.ds_store": b"\0\0\0\1Bud1",
        "DCIM/empty.jpg": b"",
        "private/.nomedia": b"",
        "private/hidden.jpg": picture(52),
        ".Trashes/501/deleted.jpg": picture(53),
        "#recycle/deleted.jpg": picture(54),
        "ignored/.lote-ignore": b"*.jpg\n",
        "ignored/ignored.jpg": picture(55),
    }
    for name, content in strange.items():
        put(card / name, content)
    (card / "DCIM" / "link.jpg").symlink_to(library / "IMG_0000.JPG")
    put(card / "private" / "again.jpg", names["IMG_0001.JPG"])
    run = photos.run("known", card, "--json", code=3)
    said = results(run, card)
    known = {f"DCIM/{name.lower()}" for name in names} | {"private/again.jpg"}
    assert {name for name, result in said.items() if result == "known"} == known
    assert said.keys() == known | strange.keys() | {"DCIM/link.jpg"}
    shown = photos.run("known", card, code=3)
    for name in ("DCIM/video.mp4", "DCIM/raw.PEF", "private/hidden.jpg", "DCIM/link.jpg", "DCIM/empty.jpg"):
        assert name in shown.out
    assert contents(library) == names


def test_one_file_that_is_not_known_is_enough(photos: Photos, library: Path, tmp_path: Path) -> None:
    (content,) = fill(library, 1).values()
    photos.scan(library)
    strange = [
        "new.jpg",
        "a.mp4",
        "a.PEF",
        "a.jfif",
        "a.txt",
        "@Recycle/a.jpg",
        "empty.jpg",
        "hidden/new.jpg",
    ]
    for number, name in enumerate(strange):
        card = tmp_path / f"card-{number}"
        put(card / "IMG.JPG", content)
        put(card / name, b"" if name == "empty.jpg" else picture(9))
        if name == "hidden/new.jpg":
            put(card / "hidden" / ".nomedia", b"")
        assert photos.json("known", card, code=3)["known"] == 1, name


@pytest.mark.parametrize("loss", ["deleted", "emptied folder", "changed", "touched", "a link now"])
def test_what_the_library_no_longer_holds_is_not_known(
    photos: Photos, library: Path, tmp_path: Path, loss: str
) -> None:
    names = fill(library / "2024", 2)
    photos.scan(library)
    card = tmp_path / "card"
    fill(card, 2)
    assert photos.json("known", card)["known"] == 2
    lost = library / "2024" / "IMG_0001.JPG"
    if loss == "deleted":
        lost.unlink()
    elif loss == "emptied folder":
        shutil.rmtree(library / "2024")
    elif loss == "changed":
        put(lost, names[lost.name] + b"more")
    elif loss == "touched":
        os.utime(lost)
    else:
        lost.unlink()
        lost.symlink_to(card / lost.name)
    run = photos.run("known", card, "--json", code=3)
    said = results(run, card)
    assert said["IMG_0001.JPG"] != "known"
    assert said["IMG_0000.JPG"] == ("known" if loss != "emptied folder" else said["IMG_0001.JPG"])
    assert NOT_THERE in photos.run("known", card, code=3).out


def test_an_empty_card_says_so(photos: Photos, library: Path, tmp_path: Path) -> None:
    fill(library, 1)
    photos.scan(library)
    card = tmp_path / "card"
    (card / "DCIM").mkdir(parents=True)
    run = photos.run("known", card, code=(1, 2, 3))
    assert str(card) in run.out + run.err
    assert photos.run("known", card, "--json", code=run.code).out


# A5, B1, B2: what is left alone

BINS = ["@Recycle", ".recycle", "#recycle", ".dtrash", "$RECYCLE.BIN", ".Trash-1000"]
VERSIONS = [".stversions", "#snapshot", ".snapshots", "@Recently-Snapshot"]
MACHINES = [*VERSIONS, ".@__thumb", ".thumbnails", "Catalog Previews.lrdata", "@eaDir"]


@pytest.mark.parametrize("case", ["as it is", "in capitals"])
def test_machine_folders_are_skipped_and_counted(photos: Photos, library: Path, case: str) -> None:
    names = fill(library / "2024", 2)
    for folder in (*BINS, *MACHINES):
        name = folder.upper() if case == "in capitals" else folder
        # Older than the photo and nearer to the top: any rule would rather keep this one.
        put(library / name / "IMG_0000.JPG", names["IMG_0000.JPG"], at_ns=LONG_AGO_NS - LATER_NS // 100)
    before = contents(library)
    summary = photos.scan(library)
    assert news(summary, "files_seen") == {"files_seen": 2, "registered": 2}
    counts = {reason: group["count"] for reason, group in summary["left_alone"].items()}
    assert counts == {"bins": len(BINS), "machine folders": len(MACHINES)}
    assert photos.copies() == (0, 0)
    for how in ("--trash", "--hardlink"):
        photos.run("duplicates", how, "--yes")
        assert contents(library) == before


@pytest.mark.parametrize("how", ["--trash", "--hardlink"])
def test_photos_inside_a_photos_library_stay_as_they_are(photos: Photos, library: Path, how: str) -> None:
    photo, other = picture(1), picture(2)
    inside = library / "Photos Library.photoslibrary"
    kept = {
        "IMG.jpg": photo,
        "Photos Library.photoslibrary/originals/1/1F.jpeg": photo,
        "Photos Library.photoslibrary/originals/2/2F.jpeg": photo,
        "Photos Library.photoslibrary/originals/3/3F.jpeg": other,
        "Photos Library.photoslibrary/originals/4/4F.jpeg": other,
        "Photos Library.photoslibrary/resources/derivatives/1/1F_1_105_c.jpeg": picture(3, side=16),
        "old.lrlibrary/1.jpg": other,
    }
    for name, content in kept.items():
        put(library / name, content, at_ns=LONG_AGO_NS if name == "IMG.jpg" else LATER_NS)
    summary = photos.scan(library)
    assert summary["files_seen"] == 6
    assert summary["left_alone"]["machine folders"]["first"].startswith(str(inside / "resources"))
    inodes = {name: (library / name).stat().st_ino for name in kept}
    photos.run("duplicates", how, "--yes", "--keep", "oldest", code=(0, 3))
    photos.run("duplicates", how, "--yes", "--keep", "under", library / "old.lrlibrary", code=(0, 3))
    assert {name: (library / name).stat().st_ino for name in kept} == inodes
    assert contents(library) == kept
    put(library / "later.jpg", photo, at_ns=LATER_NS)
    photos.scan(library)
    photos.run("duplicates", how, "--yes", code=(0, 3))
    inside_now = {path: path.stat().st_ino for path in inside.rglob("*.jpeg")}
    assert set(inside_now.values()) <= set(inodes.values())
    if how == "--trash":
        assert contents(library) == kept
    else:
        assert (library / "later.jpg").samefile(library / "IMG.jpg")


def test_what_is_left_alone_is_counted_by_reason(photos: Photos, library: Path, tmp_path: Path) -> None:
    fill(library, 1)
    outside = put(tmp_path / "outside" / "far.jpg", picture(20))
    (library / "link.jpg").symlink_to(outside)
    (library / "linked").symlink_to(outside.parent)
    put(library / "private" / ".nomedia", b"")
    put(library / "private" / "hidden.jpg", picture(21))
    put(library / ".lote-ignore", b"ignored.jpg\n")
    put(library / "ignored.jpg", picture(22))
    put(library / "#recycle" / "gone.jpg", picture(23))
    put(library / ".stversions" / "IMG~1.jpg", picture(24))
    put(library / "._IMG_0000.JPG", bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(40))
    put(library / "._photo.jpg", picture(25))  # a name alone is no sign
    summary = photos.scan(library)
    assert news(summary, "files_seen") == {"files_seen": 2, "registered": 2}
    counts = {reason: group["count"] for reason, group in summary["left_alone"].items()}
    assert counts == {
        "links": 2,
        "folders with .nomedia": 1,
        "ignored": 1,
        "bins": 1,
        "machine folders": 1,
        "macOS side files": 1,
    }
    firsts = {reason: group["first"] for reason, group in summary["left_alone"].items()}
    assert firsts["links"] == str(library / "link.jpg")
    assert firsts["ignored"] == str(library / "ignored.jpg")
    assert firsts["macOS side files"] == str(library / "._IMG_0000.JPG")
    assert firsts["folders with .nomedia"].startswith(str(library / "private"))
    assert firsts["bins"].startswith(str(library / "#recycle"))
    assert firsts["machine folders"].startswith(str(library / ".stversions"))
    shown = photos.run("scan", library).out
    for reason, first in firsts.items():
        assert f"the first is {first}" in shown, reason
        assert first in shown
    assert photos.json("stats")["photos"] == 2


# B3: renamed by hand


def test_a_library_that_was_renamed_has_moved(photos: Photos, tmp_path: Path) -> None:
    pictures = tmp_path / "Pictures"
    fill(pictures / "2023", 3)
    fill(pictures / "2024", 3, first=10)
    photos.scan(pictures)
    renamed = pictures.rename(tmp_path / "Photos")
    assert news(photos.scan(renamed)) == {"moved": 6}
    assert photos.json("stats")["photos"] == 6
    assert photos.gain() == 0
    assert news(photos.scan(renamed), "already_processed") == {"already_processed": 6}


def test_relocate_reads_nothing(photos: Photos, tmp_path: Path) -> None:
    pictures = tmp_path / "Pictures"
    fill(pictures / "2024", 4)
    time.sleep(RACY_S)
    photos.scan(pictures)
    renamed = pictures.rename(tmp_path / "Photos")
    photos.run("relocate", pictures, renamed)
    summary = photos.scan(renamed)
    assert news(summary, "bytes_read", "already_processed") == {"bytes_read": 0, "already_processed": 4}
    stats = photos.json("stats")
    assert (stats["photos"], stats["missing"], stats["duplicates"]) == (4, 0, 0)


# B5: folders that are suddenly empty


@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_a_first_level_folder_that_is_gone_as_a_whole(photos: Photos, library: Path, how: str) -> None:
    fill(library / "2023", 20, side=8)
    fill(library / "2024", 3, first=100)
    photos.scan(library)
    shutil.rmtree(library / "2024")
    if how == "emptied":
        (library / "2024").mkdir()
    run = photos.run("scan", library, "--quiet", code=13)
    assert str(library / "2024") in run.err
    assert photos.json("stats")["missing"] == 0
    assert photos.scan(library, "--allow-missing")["missing"] == 3
    assert news(photos.scan(library)) == {}


def test_deeper_folders_and_single_photos_are_marked_as_ever(photos: Photos, library: Path) -> None:
    fill(library / "2023", 3)
    fill(library / "2024" / "05", 3, first=10)
    fill(library / "2024" / "06", 2, first=20)
    photos.scan(library)
    shutil.rmtree(library / "2024" / "05")
    (library / "2023" / "IMG_0001.JPG").unlink()
    assert news(photos.scan(library)) == {"missing": 4}
    (library / "2023").rename(library / "old")
    assert news(photos.scan(library)) == {"moved": 2}


# B8: photos that are none any more


@pytest.mark.parametrize(("damage", "word"), [("emptied", "empty"), ("filled with zeros", "no image")])
def test_a_photo_that_is_none_any_more_is_an_error(
    photos: Photos, library: Path, tmp_path: Path, damage: str, word: str
) -> None:
    names = fill(library, 3)
    photos.scan(library)
    path = library / "IMG_0001.JPG"
    path.write_bytes(b"" if damage == "emptied" else bytes(len(names[path.name])))
    run = photos.run("scan", library, "--quiet", code=3)
    assert str(path) in run.err
    assert f"was a photo, is now {word}" in run.err
    summary = photos.scan(library, code=3)  # as long as it is so
    assert (summary["missing"], summary["registered"], summary["duplicates"]) == (0, 0, 0)
    texts = [
        event["text"] for event in photos.run("errors", "--json").events if event.get("path") == str(path)
    ]
    assert any(f"was a photo, is now {word}" in text for text in texts)
    assert figures(photos.json("stats"), "photos", "missing") == {"photos": 3, "missing": 0}
    card = tmp_path / "card"  # the old hash is kept: what it was is still recorded
    put(card / "IMG.JPG", names[path.name])
    assert NOT_THERE in photos.run("known", card, code=3).out
    photos.run("verify", code=3)
    put(path, names[path.name])  # from a backup
    summary = photos.scan(library)
    assert (summary["registered"], summary["duplicates"], summary["missing"]) == (0, 0, 0)
    photos.run("verify")
    assert photos.run("errors", "--json").events[:-1] == []
    assert photos.json("known", tmp_path / "card")["known"] == 1


def test_verify_finds_zeros_that_kept_size_and_time(photos: Photos, library: Path) -> None:
    names = fill(library, 3)
    photos.scan(library)
    put(library / "IMG_0001.JPG", bytes(len(names["IMG_0001.JPG"])))
    run = photos.run("verify", "--quiet", code=3)
    assert str(library / "IMG_0001.JPG") in run.err
    assert figures(photos.json("verify", code=3), "ok", "corrupt") == {"ok": 2, "corrupt": 1}


def test_equal_runs_of_zeros_are_no_copies(photos: Photos, library: Path) -> None:
    fill(library, 1)
    for name in ("1.jpg", "2.jpg", "3.heic"):
        put(library / name, bytes(5000))
    photos.scan(library, code=(0, 3))
    assert photos.copies() == (0, 0)
    before = contents(library)
    photos.run("duplicates", "--trash", "--yes")
    assert contents(library) == before


# B13: nothing but the change time


def test_a_change_of_rights_reads_nothing(photos: Photos, library: Path) -> None:
    names = fill(library / "2024", 3)
    total = sum(map(len, names.values()))
    time.sleep(RACY_S)
    assert photos.scan(library)["bytes_read"] == total
    for name in names:
        (library / "2024" / name).chmod(0o640)
    time.sleep(RACY_S)
    assert news(photos.scan(library, "--paranoid"), "bytes_read") == {"bytes_read": total}
    for name in names:
        (library / "2024" / name).chmod(0o600)
    summary = photos.scan(library)
    assert news(summary, "bytes_read", "already_processed") == {"bytes_read": 0, "already_processed": 3}


def test_hard_links_to_known_photos_read_nothing(photos: Photos, library: Path) -> None:
    names = fill(library / "2024", 3)
    time.sleep(RACY_S)
    photos.scan(library)
    (library / "linked").mkdir()
    for name in names:
        (library / "linked" / name).hardlink_to(library / "2024" / name)
    summary = photos.scan(library)
    assert news(summary, "bytes_read", "hard_links") == {"bytes_read": 0, "hard_links": 3}
    assert photos.gain() == 0


# Two scans at once


@pytest.fixture
def held(photos: Photos, library: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scan that stands still in the middle, because nobody reads what it prints."""
    fill(library, 60, side=8)
    first = subprocess.Popen(
        command("photos", "scan", library, "--json", "--batch-size", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pipesize=PIPE,
        env=environment(photos.workspace),
    )
    try:
        assert first.stdout is not None
        assert b"event" in first.stdout.readline()
        yield first
    finally:
        first.kill()
        first.communicate()


def test_no_wait_ends_at_once(photos: Photos, library: Path, held: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    run = photos.run("scan", library, "--no-wait", code=11)
    assert time.monotonic() - began < 10
    assert len(run.err.splitlines()) == 1
    assert str(held.pid) in run.err
    assert "Traceback" not in run.err
    out, _ = held.communicate(timeout=60)
    assert (held.returncode, out.count(b'"summary"')) == (0, 1)
    assert photos.scan(library, "--no-wait")["files_seen"] == 60


def test_waiting_is_said_once_even_if_quiet(
    photos: Photos, library: Path, tmp_path: Path, held: subprocess.Popen[bytes]
) -> None:
    said = tmp_path / "said"
    with said.open("wb") as file:
        second = subprocess.Popen(
            command("photos", "scan", library, "--quiet"), stderr=file, env=environment(photos.workspace)
        )
    try:
        deadline = time.monotonic() + 15
        while "waiting" not in said.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert second.poll() is None
        held.communicate(timeout=60)
        assert second.wait(timeout=60) == 0
    finally:
        second.kill()
        second.wait()
    (line,) = said.read_text().splitlines()
    assert "waiting" in line
