"""Getting rid of copies, attacked: random trees and rules, other programs between two system calls, and what a disk,
a trash or a name can do. Whatever happens: no content is lost, and nothing protected is touched.

The trash of these tests lies in their own folders."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batch_processing.exceptions import ValidationError
from batch_processing.photos import duplicates, removal, steps
from batch_processing.photos.duplicates import Deed, Keep, Rule
from batch_processing.photos.ingest import Scan
from batch_processing.photos.relocation import relocate
from batch_processing.photos.removal import How, Protected, Refusal
from batch_processing.photos.store import Store
from command import Run, lote
from photos.file_systems import LATER_NS, LONG_AGO_NS, Mounts, Photos, contents, picture, put
from photos_help import Library, write
from shared_data import lacking

LONG = os.environ.get("LOTE_FAULTS") == "long"
SECOND_NS = 1_000_000_000


@pytest.fixture(autouse=True)
def own_trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have this process's trash lie in the test's folder, whatever disk that is on."""
    from send2trash import plat_other

    data = tmp_path / "data"
    monkeypatch.setenv(
        "HOME", str(tmp_path)
    )  # the same disk as the photos: else each disk has a trash of its own
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setattr("send2trash.send2trash", plat_other.send2trash)
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(data))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(data / "Trash"))
    return data / "Trash"


@dataclass(frozen=True)
class File:
    """A regular file as it stands."""

    inode: int
    mtime_ns: int
    content: bytes


def snapshot(root: Path) -> dict[str, File]:
    """Each file below a folder that is in no trash can: relative path -> file."""
    found = {}
    for name, content in contents(root).items():
        status = (root / name).stat()
        found[name] = File(status.st_ino, status.st_mtime_ns, content)
    return found


def scan(library: Library, *roots: Path) -> None:
    work = Scan(Store(library.database), [os.fsencode(root) for root in roots])
    for _ in work.run():
        pass


def get_rid(
    library: Library, how: How, rules: Sequence[Keep] = (Keep(Rule.OLDEST),), folders: Sequence[Path] = ()
) -> list[Deed]:
    """What `lote photos duplicates --yes` does, in this process."""
    store = Store(library.database)
    try:
        protected = Protected([one.folder for one in rules if one.folder is not None])
        steps.recover(store)
        done: list[Deed] = []
        for group in list(duplicates.groups(store, [os.fsencode(folder) for folder in folders])):
            if (choice := group.choose(rules, protected)) is not None:
                done += duplicates.remove_copies(store, group, choice, how, protected)
        return done
    finally:
        store.close()


def open_steps(library: Library) -> int:
    with library.database.read() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM photo_steps")) or 0


# Any tree, any operations, any rules

# Two have the same size. So few that nearly all files are copies.
CONTENTS = [b"first photo", b"other photo", b"a third, longer photo" * 400]
FOLDERS = ["a", "a/b", "Originals", "Originals/2024", "My.photoslibrary/originals", ".stversions"]
NAMES = ["1.jpg", "2.jpg", "IMG.JPG", "img.jpg"]
UNTOUCHED = ("My.photoslibrary/", ".stversions/")
places = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map("/".join)


class Tree(RuleBasedStateMachine):
    """A folder that can be seen on a second way, and everything that people and programs do to it."""

    def __init__(self, root: Path, view: Path, numbers: Iterator[int]) -> None:
        super().__init__()
        number = str(next(numbers))
        self._clock = 0
        self.real, self.view = root / number, view / number
        for folder in FOLDERS:
            (self.real / folder).mkdir(parents=True)
        (self.real / "shortcut").symlink_to(self.real / "Originals")
        self._database = root.parent / f"{number}.db"
        self.library = Library(self._database)

    def teardown(self) -> None:
        self.library.__exit__()
        shutil.rmtree(self.real)

    def _here(self, place: str, *, on_view: bool = False) -> Path:
        return (self.view if on_view else self.real) / place

    @staticmethod
    def _by(*, on_view: bool) -> AbstractContextManager[None]:
        """FUSE answers from its memory for a while: what a person does on such a way may fail."""
        return suppress(OSError) if on_view else nullcontext()

    def _files(self) -> list[str]:
        return sorted(snapshot(self.real))

    @initialize(start=st.lists(st.tuples(places, st.integers(0, 2)), min_size=3, max_size=8))
    def fill(self, start: list[tuple[str, int]]) -> None:
        for place, number in start:
            self.write(place, number, False)

    @rule(place=places, number=st.integers(0, 2), on_view=st.booleans())
    def write(self, place: str, number: int, on_view: bool) -> None:
        """A file, new or with other content, in place; each has a time of its own."""
        self._clock += 1
        with self._by(on_view=on_view):
            at_ns = LONG_AGO_NS + self._clock * SECOND_NS
            put(self._here(place, on_view=on_view), CONTENTS[number], at_ns=at_ns)

    @precondition(lambda self: bool(self._files()))
    @rule(data=st.data(), place=places)
    def copy(self, data: st.DataObject, place: str) -> None:
        source = data.draw(st.sampled_from(self._files()))
        if source != place:
            self._here(place).unlink(missing_ok=True)
            shutil.copy2(self._here(source), self._here(place))

    @precondition(lambda self: bool(self._files()))
    @rule(data=st.data(), place=places)
    def link(self, data: st.DataObject, place: str) -> None:
        source = data.draw(st.sampled_from(self._files()))
        if source != place:
            self._here(place).unlink(missing_ok=True)
            self._here(place).hardlink_to(self._here(source))

    @precondition(lambda self: bool(self._files()))
    @rule(data=st.data(), place=places, on_view=st.booleans())
    def move(self, data: st.DataObject, place: str, on_view: bool) -> None:
        source = data.draw(st.sampled_from(self._files()))
        with self._by(on_view=on_view):
            self._here(source, on_view=on_view).rename(self._here(place, on_view=on_view))

    @precondition(lambda self: bool(self._files()))
    @rule(data=st.data())
    def rename_in_case(self, data: st.DataObject) -> None:
        path = self._here(data.draw(st.sampled_from(self._files())))
        path.rename(path.with_name(path.name.swapcase().replace(".jpg", ".JPG").replace("img", "Img")))

    @precondition(lambda self: bool(self._files()))
    @rule(data=st.data(), on_view=st.booleans())
    def delete(self, data: st.DataObject, on_view: bool) -> None:
        with self._by(on_view=on_view):
            self._here(data.draw(st.sampled_from(self._files())), on_view=on_view).unlink()

    @rule(ways=st.sampled_from(["real", "view", "real view", "view real"]))
    def scan(self, ways: str) -> None:
        scan(self.library, *(getattr(self, way) for way in ways.split()))
        if "real" in ways:
            self._tables_agree()

    def _tables_agree(self) -> None:
        wanted = {
            str(self.real / name): hashlib.sha256(file.content).hexdigest()
            for name, file in snapshot(self.real).items()
            if not name.startswith(".stversions/")
        }
        known = self.library.hashes()
        assert {path: known[path] for path in known if path.startswith(f"{self.real}/")} == wanted

    @rule(
        how=st.sampled_from(How),
        kinds=st.lists(st.sampled_from(Rule), min_size=1, max_size=3),
        below=st.sampled_from(["Originals", "Originals/2024", "a/b", "shortcut", "My.photoslibrary"]),
        on_view=st.booleans(),
        touching=st.sampled_from([None, None, "a", "Originals"]),
    )
    def get_rid(self, how: How, kinds: list[Rule], below: str, on_view: bool, touching: str | None) -> None:
        """The removal, and all that it promises."""
        folder = os.fsencode(self._here(below, on_view=on_view))
        rules = [Keep(kind, folder if kind is Rule.UNDER else None) for kind in kinds]
        folders = [self.real / touching] if touching else []
        before = snapshot(self.real)
        deeds = get_rid(self.library, how, rules, folders)
        after = snapshot(self.real)
        self._nothing_is_lost(before, after)
        untouched = [*UNTOUCHED]
        if Rule.UNDER in kinds:
            untouched.append({"shortcut": "Originals"}.get(below, below) + "/")
        for name, file in before.items():
            if name.startswith(tuple(untouched)):
                assert after.get(name) == file, name
        if how is not How.TRASH:
            assert after.keys() == before.keys()
        changed = {name for name in before if after.get(name) != before[name]}
        assert changed <= {self._name(deed.path) for deed in deeds if deed.refusal is None}
        assert {*after} <= {*before}  # no name that stands aside
        assert open_steps(self.library) == 0
        get_rid(self.library, how, rules, folders)
        again = snapshot(self.real)
        if (
            how is How.HARDLINK
        ):  # the other names of what was replaced become copies: nothing is lost with them
            assert again.keys() == after.keys()
            self._nothing_is_lost(after, again)
        else:
            assert again == after
        scan(self.library, self.real)
        self._tables_agree()

    def _name(self, path: bytes) -> str:
        base = self.view if path.startswith(os.fsencode(self.view) + b"/") else self.real
        return os.path.relpath(os.fsdecode(path), base)

    @staticmethod
    def _nothing_is_lost(before: dict[str, File], after: dict[str, File]) -> None:
        for name, file in before.items():
            if after.get(name) != file:
                # What stands for it was another file before: no name of this one, and not this one on another way.
                standing = [
                    other
                    for other, one in after.items()
                    if one.content == file.content and before[other].inode != file.inode
                ]
                assert standing, f"{name} is lost"


@pytest.mark.parametrize("way", ["link", "bind", "bindfs"])
def test_no_content_is_lost_by_any_operations(tmp_path: Path, way: str) -> None:
    with ExitStack() as stack:
        root = tmp_path / "real"
        root.mkdir()
        if way == "link":
            view = tmp_path / "view"
            view.symlink_to(root)
        else:
            view = getattr(stack.enter_context(Mounts(tmp_path)), way)(root, "view")
        numbers = count()

        class Here(Tree):
            def __init__(self) -> None:
                super().__init__(root, view, numbers)

        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=150 if LONG else 15,
                stateful_step_count=40 if LONG else 15,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


# Another program between two system calls

EDITED = b"edited by another program"
PHOTO = b"the bytes of a photo: ever so"
CALLS = ("open", "lstat", "stat", "fstat", "pread", "rename", "link", "unlink", "listdir", "fsync", "access")


@dataclass
class Meddler:
    """Another program, which does something to a photo right before the so-manieth system call of a removal."""

    at: int
    what: str
    victim: Path
    calls: int = 0
    has_come: bool = False
    has_edited: bool = False

    def called(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.has_come = True  # from now on its own calls do not count
            self._meddle(self.victim)

    def _meddle(self, path: Path) -> None:
        if self.what == "saved anew":  # whether the name is free now or not
            write(path.with_name("being saved"), EDITED).replace(path)
            self.has_edited = True
        elif not os.path.lexists(path):
            pass
        elif self.what == "written to":
            path.write_bytes(EDITED)
            self.has_edited = True
        elif self.what == "touched":
            os.utime(path, ns=(LATER_NS, LATER_NS))
        elif self.what == "renamed":
            path.rename(path.with_name("renamed.jpg"))
        elif self.what == "replaced by a link":
            path.symlink_to(path.rename(path.with_name("renamed.jpg")))
        else:
            path.unlink()

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def watched(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                if not self.has_come:
                    self.called()
                return real(*arguments, **options)

            return call

        for name in CALLS:
            monkeypatch.setattr(os, name, watched(getattr(os, name)))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library(tmp_path / "photos.db") as library:
        yield library


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.mark.parametrize("how", [How.TRASH, How.HARDLINK])
@pytest.mark.parametrize("victim", ["copy.jpg", "kept.jpg"])
@pytest.mark.parametrize(
    "what", ["saved anew", "written to", "touched", "renamed", "replaced by a link", "deleted"]
)
def test_another_program_between_any_two_system_calls(
    library: Library,
    tree: Path,
    own_trash: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    victim: str,
    how: How,
) -> None:
    store = Store(library.database)
    late = 0  # moments at which what the other program wrote into the copy was lost
    for at in count(1, 1 if LONG else 3):
        for folder in (tree, own_trash):
            shutil.rmtree(folder, ignore_errors=True)
        copy, kept = (put(tree / folder / f"{folder}.jpg", PHOTO) for folder in ("copy", "kept"))
        meddler = Meddler(at, what, tree / Path(victim).stem / victim)
        wish = removal.Wish(
            os.fsencode(copy), os.fsencode(kept), [], len(PHOTO), sha256(PHOTO), Protected([])
        )
        with monkeypatch.context() as patch:
            meddler.watch(patch)
            with suppress(OSError, removal.Refused):
                steps.finish(store, removal.remove(store, wish, how))
        steps.recover(store)
        there = {name: path.content for name, path in snapshot(tree).items()}
        trashed = [path.read_bytes() for path in own_trash.glob("files/*")]
        if how is How.TRASH or what != "written to":
            assert PHOTO in [*there.values(), *trashed], at
            assert PHOTO in there.values() or (how is How.TRASH and meddler.victim == kept), at
        if meddler.has_edited:
            late += EDITED not in [*there.values(), *trashed]
        names = {Path(name).name for name in there if "/.lote-" in name}
        # Only where the other program gave the copy's name to a file of its own while the copy stood aside.
        assert not names or (victim == "copy.jpg" and what in ("saved anew", "replaced by a link")), at
        if not meddler.has_come:
            break
    # Between the last look at the copy and its end there is one call.
    assert late <= (how is How.HARDLINK and (what, victim) == ("written to", "copy.jpg"))
    assert at > 30
    store.close()


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


# What disks, trashes, names and damage can do


def two(tree: Path, content: bytes = PHOTO) -> tuple[Path, Path]:
    """The photo that the rule `oldest` keeps, and its copy."""
    return put(tree / "kept" / "kept.jpg", content), put(tree / "copy" / "copy.jpg", content, at_ns=LATER_NS)


def refusals(deeds: Sequence[Deed]) -> list[Refusal | None]:
    return [deed.refusal for deed in deeds]


HOWS = pytest.mark.parametrize("how", [How.TRASH, How.HARDLINK])


@HOWS
def test_a_photo_that_verify_found_corrupt_is_not_the_one_to_keep(
    tree: Path, tmp_path: Path, how: How
) -> None:
    photos = Photos(tmp_path)
    kept, copy = two(tree, picture(1))
    third = put(tree / "third.jpg", picture(1), at_ns=LATER_NS + SECOND_NS)
    photos.scan(tree)
    rotten = bytearray(picture(1))
    rotten[-9] ^= 1
    put(kept, bytes(rotten))
    photos.run("verify", code=3)
    photos.run("duplicates", f"--{how}", "--yes")
    assert kept.read_bytes() == bytes(rotten)
    assert copy.read_bytes() == picture(1)
    assert not third.exists() if how is How.TRASH else third.samefile(copy)


@HOWS
def test_photos_that_are_damaged_alike_are_left_alone(library: Library, tree: Path, how: How) -> None:
    paths = two(tree)
    scan(library, tree)
    for path in paths:
        put(path, bytes(len(PHOTO)), at_ns=path.stat().st_mtime_ns)
    before = snapshot(tree)
    assert refusals(get_rid(library, how)) == [Refusal.CHANGED]
    assert snapshot(tree) == before


@HOWS
def test_a_folder_to_keep_that_only_another_way_shows(tmp_path: Path, library: Library, how: How) -> None:
    with Mounts(tmp_path) as mounts:
        originals = mounts.folder / "originals"
        put(originals / "2024" / "copy.jpg", PHOTO, at_ns=LATER_NS)
        view, elsewhere = mounts.bindfs(originals, "view"), mounts.folder / "elsewhere"
        put(elsewhere / "kept.jpg", PHOTO)
        before = snapshot(originals)
        scan(library, view, elsewhere)  # the folder itself is not recorded: nothing but the disk can tell
        under = Keep(Rule.UNDER, os.fsencode(originals))
        assert refusals(get_rid(library, how, [under, Keep(Rule.OLDEST)])) == [Refusal.PROTECTED]
        assert snapshot(originals) == before
        time.sleep(1.1)  # bindfs answers from its memory for a second
        assert refusals(get_rid(library, how)) == [None if how is How.TRASH else Refusal.OTHER_DISK]


@HOWS
@pytest.mark.parametrize("change", ["away", "link to the copy", "link to itself", "folder is a link"])
def test_the_photo_to_keep_is_not_there_any_more(library: Library, tree: Path, how: How, change: str) -> None:
    kept, copy = two(tree)
    scan(library, tree)
    store = Store(library.database)
    (group,) = duplicates.groups(store)
    choice = group.choose([Keep(Rule.OLDEST)], Protected([]))
    assert choice is not None
    assert choice.kept.path == os.fsencode(kept)
    if change == "away":  # its disk was unplugged after the list was made
        kept.parent.rename(tree.parent / "unplugged")
    elif change == "folder is a link":
        kept.rename(kept.with_name("moved"))
        kept.parent.rename(tree / "old")
        kept.parent.symlink_to(copy.parent)
        copy = copy.rename(copy.with_name(kept.name))
        moved = replace(choice.going[0], path=os.fsencode(copy))
        group = replace(group, members=(choice.kept, moved))
        choice = duplicates.Choice(choice.kept, (), (moved,))
    else:
        kept.rename(tree / "moved.jpg")
        kept.symlink_to(copy if change == "link to the copy" else tree / "moved.jpg")
    assert None not in refusals(list(duplicates.remove_copies(store, group, choice, how, Protected([]))))
    store.close()
    assert copy.read_bytes() == PHOTO
    assert copy.stat().st_nlink == 1


def test_a_copy_of_another_owner_does_not_become_a_link(library: Library, tree: Path) -> None:
    if os.geteuid() != 0:
        lacking("needs to be root, to give a file to another user")
    kept, copy = two(tree)
    os.chown(kept, 12345, -1)
    scan(library, tree)
    before = snapshot(tree)
    assert refusals(get_rid(library, How.HARDLINK)) == [Refusal.OTHER_OWNER]
    assert snapshot(tree) == before
    os.chown(copy, 12345, -1)
    assert refusals(get_rid(library, How.HARDLINK)) == [None]
    assert kept.samefile(copy)


def test_no_trash_is_made_where_the_command_is_called(tmp_path: Path, tree: Path) -> None:
    _, copy = two(tree)

    def run(*arguments: str | Path, setting: str = "") -> Run:
        return lote(
            "photos",
            *arguments,
            workspace=tmp_path / "ws",
            cwd=tree,
            HOME=str(tmp_path),
            XDG_DATA_HOME=setting,
        )

    run("scan", tree)
    for number, setting in enumerate(("", "data")):
        done = run("duplicates", "--trash", "--yes", setting=setting)
        assert done.code == 0, done.err
        assert not (tree / "Trash").exists()
        assert not (tree / "data").exists()
        assert len([*tmp_path.glob(".local/share/Trash/files/*")]) == number + 1
        put(copy, PHOTO, at_ns=LATER_NS + SECOND_NS)
        run("scan", tree)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, None])
def test_a_trash_that_lies_on_another_disk_and_fails(
    library: Library, tree: Path, own_trash: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    two(tree)
    scan(library, tree)
    before = snapshot(tree)
    rename = os.rename

    def other_disk(source: Any, target: Any, **options: Any) -> None:
        if os.fsencode(own_trash) in os.fsencode(target):
            raise OSError(errno.EXDEV, "another disk", source)
        rename(source, target, **options)

    def half(source: str, target: str) -> None:
        Path(target).write_bytes(PHOTO[:5])
        raise OSError(error, "no more") if error is not None else OSError("no trash here")

    monkeypatch.setattr(os, "rename", other_disk)
    monkeypatch.setattr(shutil, "move", half)
    (deed,) = get_rid(library, How.TRASH)
    assert deed.refusal is Refusal.NO_TRASH
    assert "trash" in str(deed.problem)
    assert snapshot(tree) == before
    monkeypatch.undo()


@pytest.mark.parametrize("what", ["takes no bytes", "does nothing"])
def test_a_trash_that_does_not_take_it(
    library: Library, tree: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    two(tree)
    scan(library, tree)
    before = snapshot(tree)

    def send(path: str) -> None:
        if what == "takes no bytes":
            path.encode("ascii", "strict") + "\udcff".encode()

    monkeypatch.setattr("send2trash.send2trash", send)
    assert refusals(get_rid(library, How.TRASH)) == [Refusal.NO_TRASH]
    assert snapshot(tree) == before


@HOWS
@pytest.mark.parametrize(
    "name", [b"two\nlines.jpg", b"\xff\xfe.jpg", b"-rf .jpg", b"%2f%00.jpg", b"x" * 251 + b".jpg"]
)
def test_any_name_that_a_file_can_have(
    library: Library, tree: Path, own_trash: Path, how: How, name: bytes
) -> None:
    put(tree / "kept.jpg", PHOTO)
    copy = put(tree / "copy" / os.fsdecode(name), PHOTO, at_ns=LATER_NS)
    scan(library, tree)
    (deed,) = get_rid(library, how)
    trashed = [os.fsencode(path.name) for path in own_trash.glob("files/*")]
    if len(name) > 250 and how is How.TRASH:  # with `.trashinfo` behind it, it is longer than names can be
        assert (deed.refusal, trashed) == (Refusal.NO_TRASH, [])
        assert "too long" in str(deed.problem)
        assert copy.read_bytes() == PHOTO
    else:
        assert deed.refusal is None
        assert trashed == ([name] if how is How.TRASH else [])
        assert not copy.exists() if how is How.TRASH else copy.samefile(tree / "kept.jpg")


@HOWS
def test_a_path_that_is_as_long_as_paths_can_be(library: Library, tree: Path, how: How) -> None:
    put(tree / "kept.jpg", PHOTO)
    longest = os.fsencode(tree)
    while len(longest) < 4095 - 7 - 201:
        longest += b"/" + b"d" * 200
        Path(os.fsdecode(longest)).mkdir()
    longest += b"/" + b"d" * (4095 - 7 - len(longest))
    Path(os.fsdecode(longest)).mkdir()
    copy = Path(os.fsdecode(longest + b"/a.jpg"))  # its spare name would be longer than a path can be
    put(copy, PHOTO, at_ns=LATER_NS)
    scan(library, tree)
    (deed,) = get_rid(library, how)
    assert deed.refusal is Refusal.SYSTEM
    assert "longer than the system can open" in str(deed.problem)
    assert copy.read_bytes() == PHOTO
    assert open_steps(library) == 0


@HOWS
def test_a_copy_on_a_disk_that_is_read_only(tmp_path: Path, library: Library, tree: Path, how: How) -> None:
    with Mounts(tmp_path) as mounts:
        put(tree / "kept.jpg", PHOTO)
        disk = mounts.tmpfs("disk")
        put(disk / "copy.jpg", PHOTO, at_ns=LATER_NS)
        scan(library, tree, disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        (deed,) = get_rid(library, how)
        assert deed.refusal is Refusal.SYSTEM
        assert "read-only" in str(deed.problem)
        assert (disk / "copy.jpg").read_bytes() == PHOTO
        # The other way round, the photo that is kept lies on such a disk.
        newest = [Keep(Rule.NEWEST)]
        assert refusals(get_rid(library, how, newest)) == [None if how is How.TRASH else Refusal.OTHER_DISK]
        assert (tree / "kept.jpg").exists() is (how is How.HARDLINK)


@HOWS
def test_what_is_in_the_trash_is_not_the_one_to_keep(library: Library, tree: Path, how: How) -> None:
    put(tree / "share" / "Trash" / "files" / "oldest.jpg", PHOTO)
    put(tree / "photo.jpg", PHOTO, at_ns=LATER_NS)
    scan(library, tree)
    before = snapshot(tree)
    assert get_rid(library, how, [Keep(Rule.OLDEST)]) == []
    assert get_rid(library, how, [Keep(Rule.NEWEST)]) == []
    assert snapshot(tree) == before


def test_a_copy_with_other_names_is_not_trashed_name_by_name(library: Library, tree: Path) -> None:
    kept, copy = two(tree)
    other = tree / "other.jpg"
    other.hardlink_to(copy)
    scan(library, tree)
    before = snapshot(tree)
    assert refusals(get_rid(library, How.TRASH)) == [Refusal.OTHER_NAMES]
    assert snapshot(tree) == before
    while get_rid(library, How.HARDLINK):
        pass
    assert kept.samefile(copy)
    assert kept.samefile(other)
    assert kept.stat().st_nlink == 3


def test_a_copy_that_is_a_link_already_is_done(tree: Path, tmp_path: Path) -> None:
    photos = Photos(tmp_path)
    kept, copy = two(tree, picture(1))
    photos.scan(tree)
    copy.unlink()
    copy.hardlink_to(kept)  # as a run that was killed leaves it
    run = photos.run("duplicates", "--hardlink", "--yes", "--json")
    assert [run.summary[name] for name in ("done", "failed")] == [1, 0]
    assert photos.run("duplicates", "--hardlink", "--yes", "--json").summary["done"] == 0
    assert photos.copies() == (0, 0)
    assert photos.scan(tree)["duplicates"] == 0
    # Once they are two files again, they are copies again.
    kept.unlink()
    put(kept, picture(1))
    photos.scan(tree)
    assert photos.copies()[0] == 1


def test_lists_for_other_programs_name_no_photo_that_must_stay(tree: Path, tmp_path: Path) -> None:
    photos = Photos(tmp_path)
    for name in ("Originals/1.jpg", "Originals/2.jpg", "elsewhere/1.jpg"):
        put(tree / name, picture(1))
    for name in ("Originals/x.jpg", "Originals/y.jpg"):  # a group wholly inside: nothing may go
        put(tree / name, picture(2))
    for name in ("a.jpg", "b.jpg"):  # no rule names one of these
        put(tree / name, picture(3))
    photos.scan(tree)
    keep = "--keep", "under", tree / "Originals"
    null = photos.run("duplicates", "--format", "null", *keep).out
    assert null == f"{tree / 'elsewhere' / '1.jpg'}\0"
    events = photos.run("duplicates", "--json", *keep).events[:-1]
    assert [path for event in events for path in event["copies"]] == [str(tree / "elsewhere" / "1.jpg")]
    rows = csv.DictReader(photos.run("duplicates", "--format", "csv", *keep).out.splitlines())
    assert [row["path"] for row in rows if row["role"] == "copy"] == [str(tree / "elsewhere" / "1.jpg")]


# Relocation


def test_no_library_lies_in_the_folder_that_it_is_moved_to(library: Library, tree: Path) -> None:
    put(tree / "1.jpg", PHOTO)
    scan(library, tree)
    store = Store(library.database)
    before = library.hashes()
    for new in (b"/", os.fsencode(tree), os.fsencode(tree / "kept"), os.fsencode(tree.parent)):
        with pytest.raises(ValidationError, match="lie in each other"):
            relocate(store, os.fsencode(tree), new)
    store.close()
    assert library.hashes() == before
