"""The pictures of a library in windows: none is lost between two keys, whatever comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_processing.core.database import Database
from batch_processing.exceptions import ValidationError
from batch_processing.photos import gallery as module
from batch_processing.photos.gallery import Gallery, Key
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.tables import aliases, directories, duplicates, facts, photos
from photos_help import Library

DATES = st.one_of(
    st.none(),
    st.sampled_from(["2019", "2019-07", "2019-07-04"]),
    st.dates().map(str),
    st.builds(
        "{}T{:02d}:00:00{}".format, st.dates().map(str), st.integers(0, 23), st.sampled_from(["", "+02:00"])
    ),
)
NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: b"/" not in name and b"\0" not in name)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library(tmp_path_factory.mktemp("gallery") / "photos.db") as opened:
        yield opened


def fill(library: Library, rows: list[tuple[str | None, bytes]]) -> Gallery:
    with library.database.write() as connection:
        for table in (facts, photos, directories):
            connection.execute(table.delete())
        for number, (taken_at, name) in enumerate(rows, 1):
            connection.execute(directories.insert().values(id=number, path=f"/album/{number}"))
            connection.execute(
                photos.insert().values(
                    id=number, directory_id=number, name=name.decode("utf-8", "surrogateescape"), size=1, mtime_ns=0,
                    hash=number.to_bytes(32, "big"), filename="x", extension=".jpg", processed_at=sa.func.now(),
                )
            )  # fmt: skip
            connection.execute(facts.insert().values(photo_id=number, taken_at=taken_at))
    return Gallery(Store(library.database))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(DATES, NAMES), max_size=40), chunk=st.integers(1, 7))
def test_the_windows_between_keys_are_the_whole_in_its_order(
    library: Library, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str | None, bytes]], chunk: int
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    gallery = fill(library, rows)
    index = gallery.index()
    expected = sorted(
        range(1, len(rows) + 1),
        key=lambda number: (
            rows[number - 1][0] is None,
            [-ord(letter) for letter in (rows[number - 1][0] or "")[:19]] + [0],
            rows[number - 1][1] if rows[number - 1][0] is None else b"",
            number,
        ),
    )
    keys = [Key.read(text) for text in index.starts]
    windows = [gallery.between(first, end) for first, end in zip(keys, [*keys, None][1:], strict=True)]
    found = [thumb.id for window in windows for thumb in window]
    assert found == expected
    assert [thumb.id for thumb in gallery.between(None, None)] == expected
    assert [len(window) for window in windows[:-1]] == [chunk] * (len(windows) - 1)
    assert sum(day.photos for day in index.days) == index.photos == len(rows)
    assert [str(Key.read(text)) for text in index.starts] == list(index.starts)
    for number in expected[:3]:
        assert next(one.id for one in gallery.between(Key.read(gallery.detail(number).key), None)) == number


@given(st.text())
def test_any_text_is_a_key_or_a_sentence(text: str) -> None:
    try:
        key = Key.read(text)
    except ValidationError:
        return
    assert str(key) == text or text.split(",")[1].startswith("0")


def test_a_photo_between_two_keys_that_goes_takes_no_other_with_it(library: Library) -> None:
    gallery = fill(library, [(f"2019-07-{day:02d}", b"x") for day in range(1, 21)])
    first, end = Key(15, "2019-07-15"), Key(5, "2019-07-05")
    before = [thumb.id for thumb in gallery.between(first, end)]
    assert before == list(range(15, 5, -1))
    with library.database.write() as connection:
        connection.execute(photos.update().where(photos.c.id.in_((10, 18))).values(state="missing"))
    assert [thumb.id for thumb in gallery.between(first, end)] == [one for one in before if one != 10]
    only = Gallery(Store(library.database), [7, 8, 18])
    assert [thumb.id for thumb in only.between(None, None)] == [8, 7]
    assert (only.index().photos, only.beside().outside) == (2, 16)
    with pytest.raises(FileNotFoundError):
        only.detail(9)


def test_what_is_counted_is_what_is_listed(library: Library) -> None:
    """Copies, further names, what is missing or blank are in neither; what has no header facts yet is in both."""
    gallery = fill(library, [(f"2019-07-{day:02d}" if day % 3 else None, b"x") for day in range(1, 25)])
    with library.database.write() as connection:
        for number, state in ((1, "missing"), (3, "blank"), (4, "pending")):
            connection.execute(photos.update().where(photos.c.id == number).values(state=state))
        connection.execute(photos.update().where(photos.c.id.in_((5, 6))).values(hardlink_of_id=2))
        copy = {"duplicate_of_id": 2, "reason": "hash_duplicate"}
        connection.execute(duplicates.insert(), [{"photo_id": number} | copy for number in (7, 9)])
        connection.execute(aliases.insert(), [{"photo_id": number, "same_as_id": 2} for number in (8, 12)])
        connection.execute(facts.delete().where(facts.c.photo_id == 10))
    shown = [number for number in range(24, 0, -1) if number % 3 and number not in (1, 5, 7, 8, 10)]
    shown += [number for number in range(1, 25) if number % 3 == 0 and number not in (3, 6, 9, 12)]
    found = [thumb.id for thumb in gallery.between(None, None)]
    assert found == [*shown[:-4], *sorted([10, *shown[-4:]])]
    index, only = gallery.index(), Gallery(Store(library.database), list(range(1, 25))).index()
    assert index == only
    assert index.photos == len(found)
    assert [day.photos for day in index.days[-1:]] == [5]


def plans(database: Database, gallery: Gallery, first: Key, end: Key) -> list[str]:
    """How SQLite finds the photos between two keys."""
    asked: list[tuple[str, object]] = []

    def listen(_connection: object, _cursor: object, text: str, values: object, *_: object) -> None:
        asked.append((text, values))

    sa.event.listen(database.engine, "before_cursor_execute", listen)
    gallery.between(first, end)
    sa.event.remove(database.engine, "before_cursor_execute", listen)
    with database.read() as connection:
        return [
            row[3]
            for text, values in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        ]


def test_a_library_of_an_older_version_is_found_by_date_without_sorting(tmp_path: Path) -> None:
    path = tmp_path / "lote.db"
    with Library(path) as library:
        gallery = fill(library, [(f"2019-07-{day:02d}T10:00:00", b"x") for day in range(1, 21)])
        first, end = Key(15, "2019-07-15T10:00:00"), Key(5, "2019-07-05T10:00:00")
        before = gallery.between(first, end)
        with library.database.write() as connection:
            for change in (
                "DROP INDEX ix_photo_facts_local",
                "DROP INDEX ix_photo_faces_kind",
                "ALTER TABLE photo_look_batches DROP COLUMN faces",
                "ALTER TABLE photo_look_batches DROP COLUMN cpu_seconds",
                "ALTER TABLE photo_batches DROP COLUMN cpu_seconds",
                "DELETE FROM migration WHERE name > '0006'",
            ):
                connection.exec_driver_sql(change)
        assert any("TEMP B-TREE" in step for step in plans(library.database, gallery, first, end))
    for _again in range(2):
        database = open_database(path)
        gallery = Gallery(Store(database))
        found = plans(database, gallery, first, end)
        assert any("ix_photo_facts_local" in step for step in found)
        assert not any("TEMP B-TREE" in step for step in found)
        assert gallery.between(first, end) == before
        database.close()


def test_the_whole_of_a_huge_range_is_not_given_at_once(library: Library, tmp_path: Path) -> None:
    gallery = fill(library, [(None, str(number).encode()) for number in range(module.MOST + 30)])
    assert len(gallery.between(None, None)) == module.MOST
