"""Taking photos back from the trash: the very bytes, to a name that nobody has, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from send2trash import plat_other

from batch_processing.photos import removals, trash
from batch_processing.photos.duplicates import Keep, Rule, groups, remove_copies
from batch_processing.photos.removal import How, Protected
from batch_processing.photos.store import Store
from batch_processing.photos.trash import NotBack, NotBackError, Trash
from photos_help import Library, write

PHOTO = b"\xff\xd8 a photo \xff\xd9" * 40
NAMES = ["a photo.jpg", "ä=%41.jpg", os.fsdecode(b"\xff odd\n.jpg"), "[Trash Info]"]


@pytest.fixture(autouse=True)
def bin_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trash of this user, below the test's own folder."""
    data = tmp_path / "share"
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(data))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(data / "Trash"))
    monkeypatch.setattr(plat_other, "get_dev", lambda path: 1)
    return data / "Trash"


def gone(path: Path, content: bytes = PHOTO) -> tuple[bytes, int, bytes]:
    """A file that was moved to the trash."""
    write(path, content)
    plat_other.send2trash(str(path))
    assert not path.exists()
    return os.fsencode(path), len(content), hashlib.sha256(content).digest()


def why(*wanted: bytes | int) -> NotBack:
    with pytest.raises(NotBackError) as found:
        Trash().take_back(*wanted)  # type: ignore[arg-type]
    return found.value.code


@pytest.mark.parametrize("name", NAMES)
def test_what_was_moved_comes_back_whatever_it_is_called(tmp_path: Path, bin_of: Path, name: str) -> None:
    first = gone(tmp_path / "album" / name)
    second = gone(tmp_path / "other" / name, PHOTO[::-1])  # of the same name in the trash
    both = Trash()
    both.take_back(*second)
    both.take_back(*first)
    assert (tmp_path / "album" / name).read_bytes() == PHOTO
    assert (tmp_path / "other" / name).read_bytes() == PHOTO[::-1]
    assert [path for path in bin_of.rglob("*") if path.is_file()] == []


def test_the_one_that_was_removed_comes_back_of_several_with_one_path(tmp_path: Path) -> None:
    path = tmp_path / "album" / "a.jpg"
    gone(path, b"older" * 60)
    wanted = gone(path)
    gone(path, b"newer" * 60)
    Trash().take_back(*wanted)
    assert path.read_bytes() == PHOTO


def test_nothing_is_replaced_and_nothing_else_comes(tmp_path: Path, bin_of: Path) -> None:
    path, size, digest = gone(tmp_path / "album" / "a.jpg")
    write(tmp_path / "album" / "a.jpg", b"another")
    assert why(path, size, digest) is NotBack.NAME_TAKEN
    assert (tmp_path / "album" / "a.jpg").read_bytes() == b"another"
    (tmp_path / "album" / "a.jpg").unlink()
    assert why(path, size, b"\0" * 32) is NotBack.OTHER_BYTES
    assert why(path, size + 1, digest) is NotBack.OTHER_BYTES
    file = bin_of / "files" / "a.jpg"
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to(write(tmp_path / "elsewhere.jpg", kept))
    assert why(path, size, digest) is NotBack.OTHER_BYTES
    file.unlink()
    assert why(path, size, digest) is NotBack.OTHER_BYTES
    (bin_of / "info" / "a.jpg.trashinfo").unlink()
    assert why(path, size, digest) is NotBack.NOT_IN_TRASH
    (tmp_path / "album").rmdir()
    assert why(path, size, digest) is NotBack.FOLDER_GONE


def test_hostile_notes_are_passed_over(tmp_path: Path, bin_of: Path) -> None:
    wanted = gone(tmp_path / "album" / "a.jpg")
    info = bin_of / "info"
    (info / "big.trashinfo").write_bytes(b"[Trash Info]\n" + b"x" * 10_000_000)
    (info / "nul.trashinfo").write_bytes(b"[Trash Info]\nPath=%00\n")
    (info / "link.trashinfo").symlink_to("/dev/zero")
    os.mkfifo(info / "pipe.trashinfo")
    (info / "up.trashinfo").write_bytes(b"[Trash Info]\nPath=../../../etc/passwd\nDeletionDate=9\n")
    Trash().take_back(*wanted)
    assert (tmp_path / "album" / "a.jpg").read_bytes() == PHOTO


def test_a_trash_of_another_disk_names_its_files_from_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    here = f".Trash-{os.getuid()}"
    write(disk / here / "files" / "b.jpg", PHOTO)
    write(
        disk / here / "info" / "b.jpg.trashinfo",
        b"[Trash Info]\nPath=album/a.jpg\nDeletionDate=2026-01-01T00:00:00\n",
    )
    (disk / "album").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: os.fsdecode(path) == os.path.realpath(disk))
    path = disk / "album" / "a.jpg"
    Trash().take_back(os.fsencode(path), len(PHOTO), hashlib.sha256(PHOTO).digest())
    assert path.read_bytes() == PHOTO


def test_where_the_system_does_not_tell_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = gone(tmp_path / "a.jpg")
    monkeypatch.setattr(trash.sys, "platform", "darwin")
    assert why(*wanted) is NotBack.SYSTEM_TRASH


def test_a_removal_is_undone_from_its_log_and_the_library_knows(tmp_path: Path) -> None:
    tree, logs = tmp_path / "album", tmp_path / "logs"
    logs.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write(tree / name, PHOTO)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        store = Store(library.database)
        (group,) = groups(store)
        choice = group.choose([Keep(Rule.OLDEST)], Protected([]))
        assert choice is not None
        log = removals.new_log(logs, "duplicates")
        with log.open("w") as file:
            for deed in remove_copies(store, group, choice, How.TRASH, Protected([])):
                file.write(json.dumps(removals.line_of(deed, group.digest)) + "\n")
            file.write('{"done": true, "action": "tr')  # torn by a kill
        assert removals.new_log(logs, "duplicates") != log
        (past,) = removals.removals(logs)
        assert (past.photos, past.bytes, past.back) == (2, 2 * len(PHOTO), 0)
        assert len(library.hashes()) == 1
        wanted = removals.trashed(removals.log_named(logs, log.name))
        write(Path(os.fsdecode(wanted[0].path)), b"taken")
        found = list(removals.take_back(store, wanted))
        assert [one.refusal for one in found] == [NotBack.NAME_TAKEN, None]
        with log.open("a") as file:
            file.write("\n" + "".join(json.dumps(removals.line_of_back(one)) + "\n" for one in found))
        assert [one.path for one in removals.trashed(log)] == [wanted[0].path]
        assert removals.removals(logs)[0].back == 1
        assert len(library.hashes()) == 2
        assert len(library.copies()) == 1
        store.close()


@pytest.mark.parametrize(
    "name", ["../x.jsonl", "duplicates-20200101-000000.jsonl", "background.log", "", "similar-1.jsonl\0"]
)
def test_other_files_are_no_logs(tmp_path: Path, name: str) -> None:
    with pytest.raises(Exception, match="no log"):
        removals.log_named(tmp_path, name)
