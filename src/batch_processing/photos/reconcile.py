"""Copies and their originals: one photo of each content is the original, the others point to it.

Promises: for each content the photos that are present point to one original: the one they pointed to before while it
stays, else the one that has held it longest. Runs inside a transaction of the caller's and never commits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy as sa

from .contents import Contents
from .tables import CHANGED, HASH_DUPLICATE, MISSING, PRESENT, aliases, duplicates, pages, photos, raw_hash


def reconcile(connection: sa.Connection, digests: Iterable[bytes], contents: Contents | None = None) -> None:
    """Have the photos that hold each of these contents, and are present, point to one original."""
    # Sorted, so that rows get the same numbers in every run.
    for page in pages(sorted(digests)):
        # In a first scan one content may have more rows than a statement takes values.
        holding = (
            [raw_hash.element.in_(page)]
            if contents is None
            else [photos.c.id.in_(rows) for rows in pages(sorted(contents.find(page)))]
        )
        groups: dict[bytes, list[Any]] = defaultdict(list)
        links: dict[bytes, list[Any]] = defaultdict(list)
        for these in holding:
            for row in connection.execute(
                sa.select(
                    photos.c.id,
                    raw_hash,
                    photos.c.state,
                    photos.c.hardlink_of_id,
                    photos.c.found_as,
                    photos.c.batch_id,
                )
                .where(these, photos.c.state != MISSING)
                .order_by(photos.c.id)
            ):
                groups[bytes(row.hash)].append(row)
            for link in connection.execute(
                sa.select(duplicates.c.id, duplicates.c.photo_id, duplicates.c.duplicate_of_id, raw_hash)
                .select_from(duplicates.join(photos, photos.c.id == duplicates.c.photo_id))
                .where(these, duplicates.c.reason == HASH_DUPLICATE)
                .order_by(duplicates.c.id)
            ):
                links[bytes(link.hash)].append(link)
        drop: list[int] = []
        add: list[dict[str, str | int | None]] = []
        for digest in page:
            members = _promote(connection, groups[digest])
            pointed = [link.duplicate_of_id for link in links[digest] if link.duplicate_of_id in members]
            ((original, _),) = Counter(pointed).most_common(1) or [(_oldest(groups[digest], members), 0)]
            wanted = members - {original}
            for link in links[digest]:
                if link.duplicate_of_id == original and link.photo_id in wanted:
                    wanted.discard(link.photo_id)
                else:
                    drop.append(link.id)
            add += [
                {"photo_id": member, "duplicate_of_id": original, "reason": HASH_DUPLICATE}
                for member in sorted(wanted)
            ]
        for ids in pages(drop):
            connection.execute(duplicates.delete().where(duplicates.c.id.in_(ids)))
        if add:
            connection.execute(duplicates.insert(), sorted(add, key=itemgetter("photo_id")))


def _oldest(rows: Sequence[Any], members: set[int]) -> int | None:
    """Which of the members, of these rows in the order of their numbers, has held the content longest: a row that
    changed came to it after those that were there by then."""
    oldest = changed = None
    for row in rows:
        if row.id not in members:
            continue
        if row.found_as == CHANGED and row.batch_id is not None:
            changed = min(changed or row, row, key=attrgetter("batch_id"))
        elif oldest is None:
            oldest = row
    if oldest is None or (changed is not None and (oldest.batch_id or 0) > changed.batch_id):
        oldest = changed
    return oldest.id if oldest is not None else None


def _promote(connection: sa.Connection, rows: Sequence[Any]) -> set[int]:
    """The rows that count as photos of their own. Hard links whose base is gone get a new base: the
    oldest of them."""
    own = {row.id: row.state for row in rows if row.hardlink_of_id is None}
    if len(own) > 1:
        own = _without_aliases(connection, own)
    orphans: dict[int, Any] = {}
    for row in rows:
        if row.hardlink_of_id is not None and row.hardlink_of_id not in own:
            orphans.setdefault(row.hardlink_of_id, row)
    for base, first in orphans.items():
        release(connection, base, bytes(first.hash), first=first.id)
        own[first.id] = first.state
    return {key for key, state in own.items() if state == PRESENT}


def _without_aliases(connection: sa.Connection, own: dict[int, str]) -> dict[int, str]:
    """Of rows that were shown to be one file, seen on several ways, the oldest that is present."""
    kept = dict(own)
    for page in pages(own):
        pairs = sa.select(aliases.c.photo_id, aliases.c.same_as_id).where(aliases.c.photo_id.in_(page))
        for one, other in connection.execute(pairs.order_by(aliases.c.id)):
            if kept.get(one) == PRESENT and kept.get(other) == PRESENT:
                del kept[max(one, other)]
    return kept


def release(connection: sa.Connection, base: int, digest: bytes | None, first: int) -> None:
    """Have `first` be the base of all hard links of `base` that hold this content, of which it is one."""
    links = sa.and_(photos.c.hardlink_of_id == base, photos.c.hash == digest, photos.c.id != first)
    connection.execute(photos.update().where(links).values(hardlink_of_id=first))
    connection.execute(photos.update().where(photos.c.id == first).values(hardlink_of_id=None))
