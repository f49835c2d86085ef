"""`lote photos import`: what it copies, where to, what it leaves alone, and what it says."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image
from typer.testing import CliRunner, Result

from batch_processing.exceptions import (
    BatchProcessingError,
    ConfigurationError,
    ResourceError,
    ValidationError,
)
from batch_processing.photos import copying, steps
from batch_processing.photos.steps import Action
from batch_processing.photos.store import Store
from batch_processing.ui.cli.photos import photos_app
from photos_help import Library, write

Command = Callable[..., Result]
TAKEN = "2019:07:04 12:30:00"


@pytest.fixture
def lote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, run inside this process; its errors are raised."""
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LOTE_DATABASE", raising=False)
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(photos_app, [str(argument) for argument in arguments])
        if isinstance(result.exception, BatchProcessingError):
            raise result.exception
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return tmp_path / "card"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def photo(path: Path, *, taken: str | None = TAKEN, camera: str = "Canon EOS 5D", shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Canon", camera
    if taken is not None:
        tags.get_ifd(0x8769)[0x9003] = taken
    Image.new("RGB", (16, 16), (shade * 20, 90, 120)).save(path, format="JPEG", exif=tags)
    return path


def old(path: Path, when: int = 1_500_000_000) -> Path:
    """Last changed on 14 July 2017."""
    os.utime(path, (when, when))
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {
        os.fsdecode(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def rows(tmp_path: Path) -> dict[str, str]:
    with Library(tmp_path / "workspace" / "lote.db") as library:
        return library.hashes()


def steps_left(tmp_path: Path) -> int:
    with Library(tmp_path / "workspace" / "lote.db") as library, library.database.read() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM photo_steps")) or 0


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def summary(result: Result) -> dict[str, Any]:
    last = events(result)[-1]
    assert last["event"] == "summary"
    return last


def test_without_yes_it_only_says_what_it_would_do(lote: Command, card: Path, home: Path) -> None:
    size = photo(card / "DCIM" / "IMG_1.JPG").stat().st_size
    result = lote("import", card, home)
    assert f"{card}/DCIM/IMG_1.JPG -> {home}/2019/2019-07-04/IMG_1.JPG" in result.stdout
    assert "1 file to copy" in result.stdout
    assert "--yes" in result.stdout
    assert not home.exists()
    result = lote("import", card, home, "--json")
    (file, last) = events(result)
    assert (file["event"], file["result"], file["target"]) == (
        "file", "to copy", f"{home}/2019/2019-07-04/IMG_1.JPG",
    )  # fmt: skip
    assert (last["state"], last["to_copy"], last["bytes_to_copy"], last["known"]) == ("dry run", 1, size, 0)


def test_files_are_copied_verified_and_recorded(
    lote: Command, card: Path, home: Path, tmp_path: Path
) -> None:
    source = old(photo(card / "DCIM" / "IMG_1.JPG"))
    source.chmod(0o755)
    video = old(write(card / "DCIM" / "CLIP.MP4", b"a video" * 50_000))
    before = tree(card)
    result = lote("import", card, home, "--yes", "--json")
    copy, clip = home / "2019/2019-07-04/IMG_1.JPG", home / "2017/2017-07-14/CLIP.MP4"
    assert tree(home) == {
        "2019/2019-07-04/IMG_1.JPG": source.read_bytes(),
        "2017/2017-07-14/CLIP.MP4": video.read_bytes(),
    }
    assert tree(card) == before
    assert copy.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert copy.stat().st_mode & 0o777 == 0o644
    assert rows(tmp_path) == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (copy, clip)
    }
    assert {event["path"]: event["sha256"] for event in events(result)[:-1]} == {
        str(source): hashlib.sha256(source.read_bytes()).hexdigest(),
        str(video): hashlib.sha256(video.read_bytes()).hexdigest(),
    }
    last = summary(result)
    assert (last["copied"], last["known"], last["failed"], last["state"]) == (2, 0, 0, "done")
    assert last["bytes_copied"] == source.stat().st_size + video.stat().st_size
    with Library(tmp_path / "workspace" / "lote.db") as library:
        found = library.photos.get_by_path(copy)
        assert found is not None
        assert (found.taken_at, found.camera, found.format) == (
            "2019-07-04T12:30:00", "Canon EOS 5D", "JPEG",
        )  # fmt: skip


def test_a_second_import_copies_nothing_and_a_scan_finds_nothing_new(
    lote: Command, card: Path, home: Path
) -> None:
    old(photo(card / "IMG_1.JPG"))
    old(write(card / "IMG_1.MOV", b"the other half of a Live Photo"))
    old(write(card / "IMG_1.xmp", b"<x/>"))
    lote("import", card, home, "--yes")
    before = tree(home)
    last = summary(lote("import", card, home, "--yes", "--json"))
    assert (last["copied"], last["known"], last["failed"]) == (0, 3, 0)
    assert tree(home) == before
    last = summary(lote("scan", home, "--json"))
    assert (last["registered"], last["missing"], last["changed"], last["bytes_read"]) == (0, 0, 0, 0)


def test_a_library_that_nobody_scanned_is_refused(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.JPG")
    photo(home / "old" / "a.jpg", shade=9)
    for more in ((), ("--yes",)):
        with pytest.raises(ValidationError, match=r"not scanned yet.*lote photos scan"):
            lote("import", card, home, *more)
    lote("scan", home)
    lote("import", card, home / "new", "--yes")
    assert len(tree(home)) == 2


def test_a_library_whose_drive_is_not_plugged_in_is_not_filled_anew(
    lote: Command, card: Path, home: Path, tmp_path: Path
) -> None:
    photo(card / "IMG_1.JPG", shade=1)
    photo(home / "a.jpg", shade=2)
    lote("scan", home)
    home.rename(tmp_path / "away")
    for make in (lambda: None, home.mkdir):
        make()
        with pytest.raises(ValidationError, match="plug its drive in"):
            lote("import", card, home, "--yes")
    assert tree(home) == {}


def test_card_and_library_must_lie_apart(lote: Command, card: Path, home: Path, tmp_path: Path) -> None:
    photo(card / "IMG_1.JPG")
    (tmp_path / "way").symlink_to(card)
    for target in (card, card / "library", tmp_path, tmp_path / "way" / "library"):
        with pytest.raises(ValidationError, match="lie in each other"):
            lote("import", card, target, "--yes")
    with pytest.raises(ValidationError, match="does not exist"):
        lote("import", tmp_path / "nothing", home)
    assert not home.exists()


def test_what_is_known_stands_in_the_library_now(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.JPG")
    photo(home / "other.jpg", shade=5)
    there = write(home / "trip" / "renamed.jpg", (card / "IMG_1.JPG").read_bytes())
    lote("scan", home)
    result = lote("import", card, home, "--json")
    assert events(result)[0]["result"] == "known"
    assert events(result)[0]["target"] == str(there)
    there.unlink()
    assert summary(lote("import", card, home, "--json"))["to_copy"] == 1
    write(there, b"another content, by somebody who kept the name")
    lote("import", card, home, "--yes")
    assert (home / "2019/2019-07-04/IMG_1.JPG").read_bytes() == (card / "IMG_1.JPG").read_bytes()


def test_a_card_that_was_scanned_is_not_its_own_library(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.JPG")
    lote("scan", card)
    assert summary(lote("import", card, home, "--yes", "--json"))["copied"] == 1


def test_equal_photos_of_a_card_are_copied_once(lote: Command, card: Path, home: Path) -> None:
    content = photo(card / "A" / "IMG_1.JPG").read_bytes()
    write(card / "B" / "IMG_7.JPG", content)
    last = summary(lote("import", card, home, "--yes", "--json"))
    assert (last["copied"], last["known"]) == (1, 1)
    assert tree(home) == {"2019/2019-07-04/IMG_1.JPG": content}


def test_units_stay_together_and_are_numbered_together(lote: Command, card: Path, home: Path) -> None:
    for folder, shade in (("100APPLE", 1), ("101APPLE", 2)):
        photo(card / folder / "IMG_1.JPG", shade=shade)
        for suffix in (".MOV", ".xmp", ".JPG.xmp", ".AAE"):
            write(card / folder / f"IMG_1{suffix}", f"{folder}{suffix}".encode())
    lote("import", card, home, "--yes")
    day = "2019/2019-07-04"
    assert tree(home) == {
        f"{day}/{stem}{suffix}": (card / folder / f"IMG_1{suffix}").read_bytes()
        for folder, stem in (("100APPLE", "IMG_1"), ("101APPLE", "IMG_1-1"))
        for suffix in (".JPG", ".MOV", ".xmp", ".JPG.xmp", ".AAE")
    }


def test_the_date_of_a_unit_is_that_of_its_photo(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.jpg")
    old(write(card / "img_1.mov", b"video"))  # another case, a time of 2017
    lote("import", card, home, "--yes", "--layout", "{camera}/{year}{month}{day}T{hour}{minute} {source}")
    folder = "Canon EOS 5D/20190704T1230 card"
    assert set(tree(home)) == {f"{folder}/IMG_1.jpg", f"{folder}/img_1.mov"}


def test_a_name_that_is_taken_in_another_case_is_numbered(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.JPG", shade=1)
    photo(home / "2019/2019-07-04/img_1.jpg", shade=2)
    lote("scan", home)
    lote("import", card, home, "--yes")
    assert set(tree(home / "2019/2019-07-04")) == {"img_1.jpg", "IMG_1-1.JPG"}


def test_a_video_is_not_put_beside_a_photo_that_it_does_not_belong_to(
    lote: Command, card: Path, home: Path
) -> None:
    old(write(card / "IMG_1.MOV", b"a video of another day"))
    photo(home / "2017/2017-07-14/IMG_1.JPG")
    lote("scan", home)
    lote("import", card, home, "--yes")
    assert set(tree(home / "2017/2017-07-14")) == {"IMG_1.JPG", "IMG_1-1.MOV"}


def test_what_a_known_photo_lacks_is_copied_beside_it(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.JPG")
    write(card / "IMG_1.MOV", b"the other half")
    write(card / "IMG_1.xmp", b"<from the card/>")
    twin = write(home / "trip" / "harbour.jpg", (card / "IMG_1.JPG").read_bytes())
    write(home / "trip" / "harbour.xmp", b"<edited in the library/>")
    lote("scan", home)
    for copied in (2, 0):
        assert summary(lote("import", card, home, "--yes", "--json"))["copied"] == copied
        assert tree(home) == {
            "trip/harbour.jpg": twin.read_bytes(),
            "trip/harbour.MOV": b"the other half",
            "trip/harbour.xmp": b"<edited in the library/>",
            "trip/harbour-1.xmp": b"<from the card/>",
        }


def test_a_video_that_lies_in_the_library_without_a_row_is_not_copied_again(
    lote: Command, card: Path, home: Path
) -> None:
    old(write(card / "CLIP.MP4", b"a video"))
    write(home / "2017/2017-07-14/CLIP.MP4", b"a video")
    photo(home / "a.jpg")
    lote("scan", home)
    last = summary(lote("import", card, home, "--yes", "--json"))
    assert (last["copied"], last["known"]) == (0, 1)


def test_the_rest_of_a_photo_that_is_known_elsewhere_goes_into_the_layout(
    lote: Command, card: Path, home: Path, tmp_path: Path
) -> None:
    photo(card / "IMG_1.JPG")
    write(card / "IMG_1.MOV", b"the other half")
    write(card / "IMG_1.xmp", b"<x/>")
    write(tmp_path / "elsewhere" / "a.jpg", (card / "IMG_1.JPG").read_bytes())
    lote("scan", tmp_path / "elsewhere")
    for copied in (2, 0):
        assert summary(lote("import", card, home, "--yes", "--json"))["copied"] == copied
        assert tree(home).keys() == {"2019/2019-07-04/IMG_1.MOV", "2019/2019-07-04/IMG_1.xmp"}
    assert set(tree(tmp_path / "elsewhere")) == {"a.jpg"}


def test_every_file_of_a_card_is_accounted_for(lote: Command, card: Path, home: Path, tmp_path: Path) -> None:
    for number, folder in enumerate((".", "hidden", ".Trashes", "@eaDir")):
        photo(card / folder / f"IMG_{number}.JPG", shade=number)
    write(card / "hidden" / ".nomedia", b"")
    write(card / ".lote-ignore", b"*.JPG\n")
    write(card / "hidden" / "._IMG_1.JPG", bytes.fromhex("00051607") + b"of macOS")
    write(card / "EMPTY.JPG", b"")
    write(card / "readme.txt", b"text")
    write(card / "index.dat", b"data")
    write(card / "LONE.xmp", b"<x/>")
    (card / "link.jpg").symlink_to(card / "IMG_0.JPG")
    (card / "way").symlink_to(tmp_path)
    os.mkfifo(card / "pipe.jpg")
    result = lote("import", card, home, "--yes", "--json")
    last = summary(result)
    assert last["copied"] == 4
    left = {each["reason"]: (each["count"], each["first"]) for each in last["left_alone"]}
    assert left == {
        "links": (2, f"{card}/link.jpg"),
        "no regular files": (1, f"{card}/pipe.jpg"),
        "macOS side files": (1, f"{card}/hidden/._IMG_1.JPG"),
        "files of the system": (2, f"{card}/.lote-ignore"),
        "empty files": (1, f"{card}/EMPTY.JPG"),
        "sidecars without a photo": (1, f"{card}/LONE.xmp"),
        "other files": (2, f"{card}/index.dat"),
    }
    shown = lote("import", card, home, "--yes").stdout
    assert f"left alone  2 links, the first is {card}/link.jpg" in shown
    assert len(tree(home)) == 4


def test_names_keep_every_byte(lote: Command, card: Path, home: Path) -> None:
    name = b"caf\xe9 \n.JPG"
    path = os.fsencode(card) + b"/" + name
    photo(card / "plain.jpg").rename(os.fsdecode(path))
    result = lote("import", card, home, "--yes", "--json")
    target = os.fsencode(home) + b"/2019/2019-07-04/" + name
    assert Path(os.fsdecode(target)).read_bytes() == Path(os.fsdecode(path)).read_bytes()
    event = events(result)[0]
    assert event["path_bytes"] == f"{card}/caf%E9%20%0A.JPG"
    assert event["target_bytes"].endswith("/2019/2019-07-04/caf%E9%20%0A.JPG")
    assert summary(lote("import", card, home, "--json"))["known"] == 1


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ("{yaer}", "'yaer'.*{year}, {month}, {day}, {hour}, {minute}, {camera}, {source}"),
        ("{}", "field"),
        ("{year!r}", "field"),
        ("{year.real}", "field"),
        ("{year:>9}", "field"),
        ("{year", "bracket"),
        ("../{year}", "leads out"),
        ("{year}/../..", "leads out"),
        ("/{year}", "leads out"),
    ],
)
def test_layouts_that_make_no_sense(lote: Command, card: Path, home: Path, layout: str, says: str) -> None:
    photo(card / "IMG_1.JPG")
    with pytest.raises(ConfigurationError, match=says):
        lote("import", card, home, "--yes", "--layout", layout)
    assert not home.exists()


@pytest.mark.parametrize(
    ("camera", "folder"),
    [("../../etc", "_.._etc"), ("..", "Canon"), ("A/B\\C:D?", "A_B_C_D_"), ("", "Canon")],
)
def test_a_camera_does_not_lead_out_of_the_library(
    lote: Command, card: Path, home: Path, camera: str, folder: str
) -> None:
    photo(card / "IMG_1.JPG", camera=camera)
    lote("import", card, home, "--yes", "--layout", "{camera}")
    (name,) = tree(home)
    assert Path(name).name == "IMG_1.JPG"
    assert Path(name).parent.name.removeprefix("Canon ").endswith(folder)
    assert len(Path(name).parts) == 2


def test_a_photo_without_a_date_goes_by_the_time_of_its_file(lote: Command, card: Path, home: Path) -> None:
    old(photo(card / "IMG_1.JPG", taken=None))
    old(write(card / "IMG_2.JPG", b"no image, but the camera says so"))
    lote("import", card, home, "--yes")
    assert set(tree(home)) == {"2017/2017-07-14/IMG_1.JPG", "2017/2017-07-14/IMG_2.JPG"}


def test_times_beyond_the_columns(lote: Command, card: Path, home: Path, tmp_path: Path) -> None:
    for number, year in enumerate((1903, 2445)):
        seconds = int((year - 1970) * 365.2425 * 86400)
        old(photo(card / f"IMG_{number}.JPG", taken=None, shade=number), seconds)
    assert summary(lote("import", card, home, "--yes", "--json"))["copied"] == 2
    assert {Path(name).parts[0] for name in tree(home)} <= {"1902", "1903", "2444", "2445"}
    assert len(rows(tmp_path)) == 2
    assert summary(lote("import", card, home, "--yes", "--json"))["known"] == 2


def test_move_removes_what_was_copied_and_nothing_else(
    lote: Command, card: Path, home: Path, tmp_path: Path
) -> None:
    content = photo(card / "IMG_1.JPG", shade=1).read_bytes()
    write(card / "IMG_1.MOV", b"the other half")
    write(card / "IMG_1.xmp", b"<x/>")
    known = photo(card / "IMG_2.JPG", shade=2)
    write(card / "IMG_2.xmp", b"<new, of a photo that stays/>")
    write(card / "notes.txt", b"text")
    write(home / "trip" / "a.jpg", known.read_bytes())
    lote("scan", home)
    result = lote("import", card, home, "--yes", "--move", "--json")
    assert set(tree(card)) == {"IMG_2.JPG", "IMG_2.xmp", "notes.txt"}
    assert tree(home)["2019/2019-07-04/IMG_1.JPG"] == content
    assert tree(home)["trip/a.xmp"] == b"<new, of a photo that stays/>"
    last = summary(result)
    assert (last["copied"], last["known"], last["removed"], last["not_removed"]) == (4, 1, 3, 0)
    assert steps_left(tmp_path) == 0


def test_a_unit_that_is_not_whole_in_the_library_stays_on_the_card(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    photo(card / "IMG_1.JPG")
    video = write(card / "IMG_1.MOV", b"video" * 100)
    before = tree(card)
    changing(monkeypatch, video)
    result = lote("import", card, home, "--yes", "--move", "--json", code=3)
    assert summary(result)["not_removed"] == 1
    assert "changed while it was being copied" in result.stderr
    assert tree(card).keys() == before.keys()
    assert set(tree(home)) == {"2019/2019-07-04/IMG_1.JPG"}
    assert steps_left(tmp_path) == 0


def changing(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Have the file change while it is read; only this one, and only once."""
    read, inode = os.readv, path.stat().st_ino
    left = [1]

    def readv(descriptor: int, buffers: list[memoryview]) -> int:
        if left and os.fstat(descriptor).st_ino == inode:
            left.pop()
            with path.open("ab") as file:
                file.write(b"more")
        return read(descriptor, buffers)

    monkeypatch.setattr(copying.os, "readv", readv)


def test_a_file_that_changes_while_it_is_read_is_left_alone(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = photo(card / "IMG_1.JPG", shade=1)
    photo(card / "IMG_2.JPG", shade=2)
    write(card / "IMG_1.xmp", b"<x/>")
    changing(monkeypatch, source)
    result = lote("import", card, home, "--yes", code=3)
    assert f"{source}: changed while it was being copied" in result.stderr
    assert f"{card}/IMG_1.xmp: belongs to a photo or video that could not be copied" in result.stderr
    assert set(tree(home)) == {"2019/2019-07-04/IMG_2.JPG"}
    assert steps_left(tmp_path) == 0
    assert summary(lote("import", card, home, "--yes", "--json"))["copied"] == 2


def test_a_copy_whose_bytes_come_back_otherwise_is_not_kept(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(card / "IMG_1.JPG")
    whole = os.write

    def flip(descriptor: int, data: memoryview) -> int:
        return whole(descriptor, bytes(data[:-1]) + b"?")

    with monkeypatch.context() as patch:
        patch.setattr(copying.os, "write", flip)
        result = lote("import", card, home, "--yes", code=3)
    assert "other bytes came back" in result.stderr
    assert tree(home) == {}
    assert summary(lote("import", card, home, "--yes", "--json"))["copied"] == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_the_import_goes_on(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    for number in range(3):
        write(card / f"IMG_{number}.JPG", os.urandom(300_000))
    whole, left = os.write, [4]

    def fill(descriptor: int, data: memoryview) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, "in the system's words")
        return whole(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(copying.os, "write", fill)
        with pytest.raises(ResourceError, match="is full: free space") as told:
            lote("import", card, home, "--yes")
    assert "in the system's words" not in str(told.value)
    assert len(tree(home)) == 2
    assert all(len(content) == 300_000 for content in tree(home).values())
    last = summary(lote("import", card, home, "--yes", "--json"))
    assert (last["copied"], last["known"]) == (1, 2)
    assert sorted(tree(home).values()) == sorted(tree(card).values())


def test_room_is_asked_for_before_anything_is_copied(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(card / "IMG_1.JPG", b"x" * 5000)
    usage = shutil.disk_usage(card)._replace(free=4999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match="5000 bytes are to be copied, and 4999 are free"):
        lote("import", card, home, "--yes")
    assert tree(home) == {}


def test_a_card_that_is_pulled_out(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write(card / f"IMG_{number}.JPG", b"%d" % number * 3000)
    away = card.with_name("away")
    read, left = os.readv, [2]

    def readv(descriptor: int, buffers: list[memoryview]) -> int:
        left[0] -= 1
        if not left[0]:
            card.rename(away)
            card.mkdir()  # its mount point
            raise OSError(errno.EIO, "in the system's words")
        return read(descriptor, buffers)

    with monkeypatch.context() as patch:
        patch.setattr(copying.os, "readv", readv)
        with pytest.raises(ResourceError, match=f"The card {card} is not there any more: plug it in again"):
            lote("import", card, home, "--yes")
    assert not [name for name in tree(home) if ".lote-" in name]
    card.rmdir()
    away.rename(card)
    lote("import", card, home, "--yes")
    assert sorted(tree(home).values()) == sorted(tree(card).values())


def test_a_name_that_is_taken_meanwhile_is_not_replaced(
    lote: Command, card: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    photo(card / "IMG_1.JPG")
    target = home / "2019/2019-07-04/IMG_1.JPG"
    link = os.link

    def taken(source: bytes, path: bytes, **options: Any) -> None:
        write(target, b"somebody else's")
        link(source, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", taken)
        result = lote("import", card, home, "--yes", code=3)
    assert "another file took the name" in result.stderr
    assert tree(home) == {"2019/2019-07-04/IMG_1.JPG": b"somebody else's"}
    lote("import", card, home, "--yes")
    assert tree(home)["2019/2019-07-04/IMG_1-1.JPG"] == (card / "IMG_1.JPG").read_bytes()
    assert steps_left(tmp_path) == 0


def test_a_photo_of_nothing_but_zeros_is_no_photo(lote: Command, card: Path, home: Path) -> None:
    write(card / "IMG_1.JPG", bytes(70_000))
    write(card / "IMG_2.JPG", bytes(70_000))
    write(card / "IMG_3.JPG", bytes(50_000))
    result = lote("import", card, home, "--yes", code=3)
    assert result.stderr.count("holds the same byte over and over") == 3
    assert tree(home) == {}


def test_quiet_says_errors_alone(lote: Command, card: Path, home: Path) -> None:
    photo(card / "IMG_1.JPG")
    assert lote("import", card, home, "--yes", "--quiet").output == ""
    write(card / "IMG_3.JPG", bytes(50_000))
    result = lote("import", card, home, "--yes", "--quiet", code=3)
    assert result.stdout == ""
    assert f"{card}/IMG_3.JPG" in result.stderr


def test_what_an_earlier_run_left_aside_comes_back_or_is_said(
    lote: Command, card: Path, home: Path, tmp_path: Path
) -> None:
    photo(card / "IMG_1.JPG", shade=1)
    lote("import", card, home, "--yes")
    aside, both = photo(card / "IMG_2.JPG", shade=2), photo(card / "IMG_3.JPG", shade=3)
    with Library(tmp_path / "workspace" / "lote.db") as library:
        for path in (aside, both):
            spare = path.with_name(f".lote-{path.stem}")
            names = os.fsencode(path), os.fsencode(spare)
            steps.begin(Store(library.database), Action.ASIDE, *names, path.stat().st_size, bytes(32))
            path.rename(spare)
    photo(both, shade=4)
    result = lote("import", card, home, "--yes", code=3)
    assert f"{both}: stands aside as {card}/.lote-IMG_3, and another file has its name" in result.stderr
    assert set(tree(card)) == {"IMG_1.JPG", "IMG_2.JPG", "IMG_3.JPG", ".lote-IMG_3"}
    assert len(tree(home)) == 3
