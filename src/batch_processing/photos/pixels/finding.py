"""The search for similar photos, as work for a worker: it takes the processor for itself, and more memory than a server
should.

Promises: what is found is written to a file as a whole or not at all, and is a snapshot: who shows it looks whether the
photos are still there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.plain import from_plain, to_plain
from ...core.workers import Progress
from ...io.publish import SaveFile
from .similar import Group, Kind, groups, shots_of

if TYPE_CHECKING:
    from ..store import Store


@dataclass(frozen=True)
class FoundGroup:
    """A group by the ids and contents (SHA-256 in hexadecimal) of its photos; see `similar.Group`."""

    kind: Kind
    photos: tuple[tuple[int, str], ...]
    kinds: tuple[Kind | None, ...]

    def now(self, store: Store) -> Group | None:
        """The group as it is by now; None if there are not two contents left of it."""
        digests = list(dict.fromkeys(bytes.fromhex(digest) for _, digest in self.photos))
        there = {(shot.id, shot.digest.hex()): shot for shot in shots_of(store, digests)}
        left = [
            (there[photo], kind)
            for photo, kind in zip(self.photos, self.kinds, strict=True)
            if photo in there
        ]
        if len({shot.digest for shot, _ in left}) < 2:
            return None
        return Group(self.kind, tuple(shot for shot, _ in left), tuple(kind for _, kind in left))


@dataclass(frozen=True)
class Found:
    """All groups, the surest kinds first, of each those of which most would be free. `looks`: how many contents were compared."""

    looks: int
    groups: tuple[FoundGroup, ...]

    @classmethod
    def read(cls, path: Path) -> Found:
        """What a worker has written. ValueError for anything else."""
        return from_plain(cls, json.loads(path.read_bytes()))


@dataclass(frozen=True)
class Find:
    """Work of the engine: write a `Found` of the library in `database` to `target`."""

    database: str
    distance: int
    with_turned: bool
    target: str

    def run(self, progress: Progress) -> None:
        from ..store import Store, open_database

        database = open_database(self.database)
        store = Store(database)
        try:
            compared = contents(store)
            made = groups(store, distance=self.distance, with_turned=self.with_turned)
            made.sort(key=lambda group: list(Kind).index(group.kind))
        finally:
            store.close()
            database.close()
        found = Found(
            compared,
            tuple(
                FoundGroup(
                    group.kind, tuple((shot.id, shot.digest.hex()) for shot in group.shots), group.kinds
                )
                for group in made
            ),
        )
        with SaveFile(Path(self.target)) as file:
            file.write(json.dumps(to_plain(found)).encode())


def contents(store: Store) -> int:
    """How many contents can be compared."""
    import sqlalchemy as sa

    from ..tables import looks

    with store.read() as connection:
        query = sa.select(sa.func.count()).select_from(looks).where(looks.c.phash.is_not(None))
        return connection.scalar(query) or 0
