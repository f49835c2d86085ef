"""A photo library under test: scanned through the public door, looked at through its tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.orm import Session

from batch_processing.photos import Photo, PhotoRepository, ScanStats, scan_images_recursively
from batch_processing.photos.ingest import Scan
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.tables import metadata

# Columns that a clock or an accident decides.
ACCIDENTAL = {
    "hashed_ns",
    "processed_at",
    "seconds",
    "peak_memory",
    "cpu_seconds",
    "at",
    "started_at",
    "finished_at",
    "stats",
    "ctime_ns",
}


class Library:
    """A database (a path or URL) with a session on it."""

    def __init__(self, where: Path | str) -> None:
        self.database = open_database(where)
        self.session = Session(self.database.engine)
        self.photos = PhotoRepository(self.session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        self.database.close()

    def batches(
        self, root: Path, batch_size: int = 100, **options: Any
    ) -> tuple[list[list[dict[str, Any]]], ScanStats]:
        """Scan to the end: what was handed out, and the statistics."""
        scan = scan_images_recursively(root, self.photos, batch_size, **options)
        given = []
        while True:
            try:
                given.append(next(scan))
            except StopIteration as end:
                return given, end.value

    def scan(self, root: Path, batch_size: int = 100, **options: Any) -> ScanStats:
        return self.batches(root, batch_size, **options)[1]

    def command(self, root: Path, batch_size: int = 100) -> Scan:
        """A scan as the command makes it: nobody else uses the database through the same session."""
        return Scan(Store(self.database), [os.fsencode(root)], batch_size=batch_size)

    def command_scan(self, root: Path) -> ScanStats:
        scan = self.command(root)
        for _ in scan.run():
            pass
        return scan.stats

    def has_index_over_hashes(self) -> bool:
        with self.database.read() as connection:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'ix_photos_hash'"
            return connection.scalar(sa.text(query)) is not None

    def hashes(self, state: str = "present") -> dict[str, str]:
        """Path and hash of each photo in that state."""
        self.session.commit()
        rows = self.session.scalars(sa.select(Photo).where(Photo.state == state))
        found = {photo.path: photo.hash for photo in rows}
        self.session.commit()
        return found

    def copies(self) -> set[tuple[str, str]]:
        """(copy, original) as paths below nothing: absolute."""
        from batch_processing.photos import Duplicate

        self.session.commit()
        links = {
            (link.photo.path, link.duplicate_of.path) for link in self.session.scalars(sa.select(Duplicate))
        }
        self.session.commit()
        return links

    def errors(self) -> list[tuple[str, str, str]]:
        """(path, stage, kind)."""
        table = metadata.tables["photo_errors"]
        with self.database.read() as connection:
            return [
                tuple(row)
                for row in connection.execute(
                    sa.select(table.c.path, table.c.stage, table.c.kind).order_by(table.c.id)
                )
            ]

    def dump(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of the photo tables but what a clock decides."""
        names = tables or ("photo_directories", "photos", "duplicates", "photo_errors")
        with self.database.read() as connection:
            return {
                name: [
                    tuple(row)
                    for row in connection.execute(
                        sa.select(*(c for c in metadata.tables[name].c if c.name not in ACCIDENTAL)).order_by(
                            metadata.tables[name].c.id
                        )
                    )
                ]
                for name in names
            }


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows(library: Library, table: str = "photo_looks", *left_out: str) -> list[dict[str, Any]]:
    """The rows of a table, but for what a clock decides."""
    found = metadata.tables[table]
    names = {"looked_at", "started_at", "finished_at", "seconds", "cpu_seconds", "peak_memory", *left_out}
    columns = [column for column in found.c if column.name not in names]
    with library.database.read() as connection:
        key = found.c.hash if table == "photo_looks" else found.c.id
        return [dict(row._mapping) for row in connection.execute(sa.select(*columns).order_by(key))]
