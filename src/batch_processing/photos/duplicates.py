"""Copies: which there are, what they cost, and how to get rid of them without losing anything.

Promises: before a copy goes, its bytes are compared with those of the photo that is kept, through
descriptors that are still what the names point to; one photo of each group always stays. Refuses to
touch what changed since the scan. A hard link takes the place of a copy in one step; trashed files can
be taken back. Does not look at anything but equal bytes: RAW+JPEG pairs and Live Photos are no copies.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from ..exceptions import ValidationError, reason
from .hashing import join
from .reading import PIECE, open_file
from .settle import reconcile
from .tables import HASH_DUPLICATE, MISSING, PRESENT, directories, duplicates, pages, photos

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .store import Store

Keep = Literal["oldest", "newest", "shortest-path", "under"]
How = Literal["hardlink", "trash"]


@dataclass(frozen=True)
class Member:
    """One photo of a group."""

    id: int
    path: bytes
    mtime_ns: int
    is_original: bool


@dataclass(frozen=True)
class Group:
    """Photos of equal content. `size` in bytes, of each."""

    digest: bytes
    size: int
    members: tuple[Member, ...]

    @property
    def gain(self) -> int:
        """Bytes that are free when one photo is left."""
        return self.size * (len(self.members) - 1)

    def choose(self, keep: Keep, folder: bytes | None = None) -> Member | None:
        """The photo that stays. Where several are as good: the original, then the shortest path.
        None with "under" when no photo of the group lies below `folder`."""
        candidates = list(self.members)
        if keep == "under":
            if folder is None:
                raise ValidationError("--keep under needs a folder: --keep under FOLDER.")
            inside = os.path.abspath(folder).rstrip(b"/") + b"/"  # noqa: PTH100 - bytes
            candidates = [member for member in candidates if member.path.startswith(inside)]
            if not candidates:
                return None

        def rank(member: Member) -> tuple[int, bool, int, bytes]:
            age = {"newest": -member.mtime_ns, "shortest-path": 0}.get(keep, member.mtime_ns)
            return age, keep != "shortest-path" and not member.is_original, len(member.path), member.path

        return min(candidates, key=rank)


@dataclass(frozen=True)
class Deed:
    """What happened to one copy. `problem` None: it was done."""

    how: How
    path: bytes
    kept: bytes
    size: int
    problem: str | None = None


def groups(store: Store) -> Iterator[Group]:
    """All groups of copies, those that cost most first."""
    count = sa.func.count()
    with store.read() as connection:
        found = connection.execute(
            sa.select(duplicates.c.duplicate_of_id, photos.c.size)
            .select_from(duplicates.join(photos, photos.c.id == duplicates.c.photo_id))
            .where(duplicates.c.reason == HASH_DUPLICATE, photos.c.state == PRESENT)
            .group_by(duplicates.c.duplicate_of_id, photos.c.size)
            .order_by((photos.c.size * count).desc(), duplicates.c.duplicate_of_id)
        ).all()
    for page in pages([original for original, _ in found], 100):
        copies = sa.select(duplicates.c.photo_id).where(
            duplicates.c.duplicate_of_id.in_(page), duplicates.c.reason == HASH_DUPLICATE
        )
        with store.read() as connection:
            rows = connection.execute(
                sa.select(
                    photos.c.id,
                    sa.type_coerce(directories.c.path, sa.LargeBinary).label("directory"),
                    sa.type_coerce(photos.c.name, sa.LargeBinary).label("name"),
                    sa.type_coerce(photos.c.hash, sa.LargeBinary).label("digest"),
                    photos.c.size,
                    photos.c.mtime_ns,
                )
                .select_from(photos.join(directories, directories.c.id == photos.c.directory_id))
                .where(sa.or_(photos.c.id.in_(page), photos.c.id.in_(copies)), photos.c.state == PRESENT)
                .order_by(photos.c.id)
            ).all()
        together: dict[bytes, list[Member]] = {}
        sizes: dict[bytes, int] = {}
        originals = set(page)
        for row in rows:
            path = join(bytes(row.directory), bytes(row.name))
            member = Member(row.id, path, row.mtime_ns, row.id in originals)
            together.setdefault(bytes(row.digest), []).append(member)
            sizes[bytes(row.digest)] = row.size
        found_groups = [Group(digest, sizes[digest], tuple(members)) for digest, members in together.items()]
        yield from sorted(found_groups, key=lambda group: -group.gain)


def remove_copies(store: Store, group: Group, kept: Member, how: How) -> Iterator[Deed]:
    """Replace or trash all photos of `group` but `kept`; gives what happened to each, when it did."""
    for copy in group.members:
        if copy.id == kept.id:
            continue
        try:
            _replace(copy.path, kept.path, group.size, how)
        except (OSError, _Differs) as error:
            yield Deed(how, copy.path, kept.path, group.size, reason(error))
            continue
        with store.write() as connection:
            values: dict[str, object] = (
                {"hardlink_of_id": kept.id} if how == "hardlink" else {"state": MISSING}
            )
            connection.execute(photos.update().where(photos.c.id == copy.id).values(values))
            reconcile(connection, [group.digest])
        yield Deed(how, copy.path, kept.path, group.size)


class _Differs(Exception):  # noqa: N818 - becomes a sentence in the log
    pass


def _replace(copy: bytes, kept: bytes, size: int, how: How) -> None:
    with ExitStack() as stack:
        left, right = (_open(path, size, stack) for path in (copy, kept))
        one, other = os.fstat(left), os.fstat(right)
        if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
            raise _Differs("is the same file under another name already")
        if how == "hardlink" and one.st_dev != other.st_dev:
            raise _Differs("lies on another file system than the photo that is kept")
        _compare(left, right)
        for path, status in ((copy, one), (kept, other)):
            _same(os.lstat(path), status)
        if how == "trash":
            from send2trash import send2trash

            send2trash(os.fsdecode(copy))
            return
        folder = os.path.dirname(copy)  # noqa: PTH120 - bytes
        spare = join(folder, b".lote-" + secrets.token_hex(8).encode())
        os.link(kept, spare, follow_symlinks=False)
        try:
            _same(os.lstat(spare), other)
            os.rename(spare, copy)  # noqa: PTH104 - bytes
        except BaseException:
            with suppress(OSError):
                os.unlink(spare)  # noqa: PTH108 - bytes
            raise
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _same(now: os.stat_result, before: os.stat_result) -> None:
    for name in ("st_dev", "st_ino", "st_mtime_ns", "st_size"):
        if getattr(now, name) != getattr(before, name):
            raise _Differs("changed while it was being compared")


def _open(path: bytes, size: int, stack: ExitStack) -> int:
    descriptor = open_file(path)
    stack.callback(os.close, descriptor)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != size:
        raise _Differs("changed since it was scanned: scan again")
    return descriptor


def _compare(left: int, right: int) -> None:
    while True:
        one, other = os.read(left, PIECE), os.read(right, PIECE)
        if one != other:
            raise _Differs("has other bytes than the photo that is kept: scan again")
        if not one:
            return
