"""The journal of file changes: every state that a kill can leave, and what `recover` makes of it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from batch_processing.photos import steps
from batch_processing.photos.steps import Action, Outcome
from batch_processing.photos.store import Store, open_database
from photos_help import write

WHOLE = b"all bytes of a photo"
DIGEST = hashlib.sha256(WHOLE).digest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = open_database(tmp_path / "photos.db")
    store = Store(database)
    yield store
    store.close()
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "folder" / "other.jpg", b"a stranger's")
    return tmp_path / "folder"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM photo_steps")) or 0


def begun(store: Store, action: Action, folder: Path, name: str = "a.jpg") -> tuple[int, Path, Path]:
    path = folder / name
    spare = Path(os.fsdecode(steps.spare_name(os.fsencode(folder))))
    step = steps.begin(store, action, os.fsencode(path), os.fsencode(spare), len(WHOLE), DIGEST)
    return step, path, spare


def outcome(store: Store) -> Outcome:
    (one,) = steps.recover(store)
    return one.outcome


OTHER = {"other.jpg": b"a stranger's"}


def test_a_spare_name_is_hidden_and_nobody_elses(folder: Path) -> None:
    name = os.fsdecode(steps.spare_name(os.fsencode(folder)))
    assert Path(name).parent == folder
    assert len(Path(name).name) == len(".lote-") + 16
    assert steps.spare_name(b"/").startswith(b"/.lote-")


def test_a_step_that_is_ended_is_not_recovered(store: Store, folder: Path) -> None:
    step, path, _ = begun(store, Action.COPY, folder)
    write(path, WHOLE)
    steps.finish(store, step)
    assert steps.recover(store) == []
    assert files(folder) == {"a.jpg": WHOLE, **OTHER}


def test_a_step_is_ended_with_the_transaction_or_not_at_all(store: Store, folder: Path) -> None:
    step, *_ = begun(store, Action.COPY, folder)

    def fail() -> None:
        with store.write() as connection:
            steps.end(connection, step)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rows(store) == 1
    with store.write() as connection:
        steps.end(connection, step)
    assert rows(store) == 0


def test_a_photo_that_stands_aside_comes_back(store: Store, folder: Path) -> None:
    _, path, spare = begun(store, Action.ASIDE, folder)
    write(path, WHOLE).rename(spare)
    (one,) = steps.recover(store)
    assert (one.outcome, one.action, one.path, one.spare) == (
        Outcome.BACK, Action.ASIDE, os.fsencode(path), os.fsencode(spare),
    )  # fmt: skip
    assert (one.size, one.digest) == (len(WHOLE), DIGEST)
    assert files(folder) == {"a.jpg": WHOLE, **OTHER}
    assert rows(store) == 0


def test_a_photo_that_was_not_yet_aside_stays(store: Store, folder: Path) -> None:
    _, path, _ = begun(store, Action.ASIDE, folder)
    write(path, WHOLE)
    assert outcome(store) is Outcome.NOTHING
    assert files(folder) == {"a.jpg": WHOLE, **OTHER}
    assert rows(store) == 0


def test_another_file_under_the_name_of_a_photo_aside_is_not_replaced(store: Store, folder: Path) -> None:
    _, path, spare = begun(store, Action.ASIDE, folder)
    write(path, b"new, by somebody else")
    write(spare, WHOLE)
    for _ in range(2):  # said until somebody has seen to it
        assert outcome(store) is Outcome.BOTH
        assert files(folder) == {"a.jpg": b"new, by somebody else", spare.name: WHOLE, **OTHER}
    path.unlink()
    assert outcome(store) is Outcome.BACK
    assert files(folder) == {"a.jpg": WHOLE, **OTHER}


def test_a_kill_between_the_two_names_of_one_photo(store: Store, folder: Path) -> None:
    _, path, spare = begun(store, Action.ASIDE, folder)
    path.hardlink_to(write(spare, WHOLE))
    assert outcome(store) is Outcome.BACK
    assert files(folder) == {"a.jpg": WHOLE, **OTHER}


def test_what_lies_on_a_drive_that_is_not_there_waits(store: Store, folder: Path) -> None:
    for action in Action:
        _, _, spare = begun(store, action, folder, f"{action}.jpg")
        write(spare, WHOLE)
    elsewhere = folder.rename(folder.with_name("unmounted"))
    for _ in range(2):
        assert [one.outcome for one in steps.recover(store)] == [Outcome.AWAY] * len(Action)
        folder.mkdir(exist_ok=True)  # an empty mount point
    folder.rmdir()
    elsewhere.rename(folder)
    assert [one.outcome for one in steps.recover(store)] == [
        Outcome.BACK,
        Outcome.UNDONE,
        Outcome.BACK,
    ]
    assert files(folder) == {"aside.jpg": WHOLE, "link.jpg": WHOLE, **OTHER}
    assert rows(store) == 0


def test_an_unfinished_copy_is_removed(store: Store, folder: Path) -> None:
    _, _, spare = begun(store, Action.COPY, folder)
    write(spare, WHOLE[:5])
    assert outcome(store) is Outcome.UNDONE
    assert files(folder) == OTHER
    assert rows(store) == 0


def test_a_copy_that_had_reserved_its_name_is_removed_with_it(store: Store, folder: Path) -> None:
    _, path, spare = begun(store, Action.COPY, folder)
    write(path, b"")
    write(spare, WHOLE)
    assert outcome(store) is Outcome.UNDONE
    assert files(folder) == OTHER


def test_an_empty_file_that_is_not_our_reservation_stays(store: Store, folder: Path) -> None:
    _, path, _ = begun(store, Action.COPY, folder)
    write(path, b"")
    assert outcome(store) is Outcome.NOTHING
    assert files(folder) == {"a.jpg": b"", **OTHER}


@pytest.mark.parametrize("with_spare", [False, True])
def test_a_whole_copy_waits_for_who_records_it(store: Store, folder: Path, with_spare: bool) -> None:
    step, path, spare = begun(store, Action.COPY, folder)
    write(path, WHOLE)
    if with_spare:
        spare.hardlink_to(path)
    for _ in range(2):
        (one,) = steps.recover(store)
        assert (one.id, one.outcome) == (step, Outcome.COMPLETE)
        assert files(folder) == {"a.jpg": WHOLE, **OTHER}
    steps.finish(store, step)
    assert steps.recover(store) == []


def test_a_stranger_of_the_same_size_under_the_final_name_stays(store: Store, folder: Path) -> None:
    _, path, spare = begun(store, Action.COPY, folder)
    write(path, WHOLE.upper())
    write(spare, WHOLE)
    assert outcome(store) is Outcome.UNDONE
    assert files(folder) == {"a.jpg": WHOLE.upper(), **OTHER}
    assert rows(store) == 0


def test_what_the_system_refuses_is_said_and_tried_again(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, spare = begun(store, Action.COPY, folder)
    write(spare, WHOLE)

    def refuse(path: bytes) -> None:
        raise OSError(errno.EROFS, "in the system's words", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        (one,) = steps.recover(store)
    assert one.outcome is Outcome.FAILED
    assert one.problem
    assert outcome(store) is Outcome.UNDONE


def test_names_that_are_no_utf8(store: Store, tmp_path: Path) -> None:
    name = b"\xff\xfe photo.jpg"
    folder = os.fsencode(tmp_path)
    path, spare = folder + b"/" + name, steps.spare_name(folder)
    steps.begin(store, Action.ASIDE, path, spare, len(WHOLE), DIGEST)
    write(Path(os.fsdecode(spare)), WHOLE)
    (one,) = steps.recover(store)
    assert (one.path, one.outcome) == (path, Outcome.BACK)
    assert name in os.listdir(folder)


@pytest.mark.parametrize("has_links", [True, False])
def test_a_name_is_taken_and_never_taken_away(
    folder: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: bytes, target: bytes, **_: object) -> None:
        raise OSError(errno.EPERM, "no links here", source)  # as FAT says it

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    spare = write(folder / ".lote-0", WHOLE)
    steps.take_name(os.fsencode(spare), os.fsencode(folder / "a.jpg"))
    assert files(folder) == {"a.jpg": WHOLE, **OTHER}
    write(spare, b"another")
    for taken in ("a.jpg", "other.jpg"):
        with pytest.raises(FileExistsError):
            steps.take_name(os.fsencode(spare), os.fsencode(folder / taken))
    assert files(folder) == {".lote-0": b"another", "a.jpg": WHOLE, **OTHER}
