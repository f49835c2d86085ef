"""The same scans with PostgreSQL behind them: a real server, started for this file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from batch_processing.exceptions import QueueError, ResourceError, ValidationError
from batch_processing.photos import (
    DuplicateRepository,
    FaceRepository,
    PersonRepository,
    Photo,
    ScanGuardError,
    look_in_batches,
    scan_images_recursively,
)
from batch_processing.photos.audit import forget, statistics
from batch_processing.photos.duplicates import groups
from batch_processing.photos.people import forgetting
from batch_processing.photos.pixels.looking import look_pool
from batch_processing.photos.pixels.previews import previews_of
from batch_processing.photos.pixels.similar import groups as groups_of_similar
from batch_processing.photos.pixels.stage import Looking
from batch_processing.photos.store import Store
from batch_processing.photos.verify import Verification
from drawn_photos import album
from faces_help import Crowd, crowd, parts, person_of, put
from fake_faces import FakeFaces
from photos_help import Library, rows, write
from shared_data import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

RACY_S = 2.1


def _programs() -> Path:
    found = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))
    path = found[-1] if found else shutil.which("initdb")
    if path is None:
        lacking("needs PostgreSQL's server: apt-get install postgresql")
    return Path(path).parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server on a socket in a folder of its own; it listens to no network."""
    programs = _programs()
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory(prefix="lote-pg-") as folder:
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/data"

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [programs / program, *arguments], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL
            )

        run("initdb", "-D", data, "-U", "lote", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://lote@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


@pytest.fixture
def library(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()
    with Library(server) as library:
        yield library


def test_scans_say_and_store_the_same_as_with_sqlite(library: Library, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(250):
        write(tree / str(number % 5) / f"{number:03d}.jpg", b"photo %d" % (number % 200))
    odd = os.fsencode(tree) + b"/\xff\n.jpg"
    with open(odd, "wb") as file:  # noqa: PTH123 - bytes
        file.write(b"odd name")
    time.sleep(RACY_S)
    with Library(tmp_path / "photos.db") as other:
        for step in range(4):
            if step == 1:
                (tree / "0").rename(tree / "moved")
            elif step == 2:
                write(tree / "1" / "001.jpg", b"changed")
                (tree / "2" / "002.jpg").unlink()
                time.sleep(RACY_S)
            results = [one.scan(tree, 20).to_dict() for one in (library, other)]
            for result in results:
                for name in ("seconds", "seconds_per_batch", "peak_memory"):
                    del result[name]
            assert results[0] == results[1]
            assert library.hashes() == other.hashes()
            assert library.copies() == other.copies()
        assert results[0]["bytes_read"] == 0
    photo = library.photos.get_by_path(os.fsdecode(odd))
    assert photo is not None
    assert library.session.scalars(sa.select(Photo).where(Photo.path.startswith(f"{tree}/1/"))).all()


def test_a_content_that_many_new_files_hold_is_as_with_sqlite(library: Library, tmp_path: Path) -> None:
    """So many that they are remembered as one, all of them in one batch."""
    tree = tmp_path / "tree"
    for number in range(150):
        write(tree / f"{number:03d}.jpg", b"icon")
    time.sleep(RACY_S)
    with Library(tmp_path / "photos.db") as other:
        for one in (library, other):
            result = one.scan(tree, 200)
            assert (result.registered, result.duplicates) == (1, 149)
        for number in range(150, 300):
            write(tree / f"{number:03d}.jpg", b"icon")
        time.sleep(RACY_S)
        for one in (library, other):
            assert one.scan(tree, 200).duplicates == 150
        assert library.copies() == other.copies()
        assert len(other.copies()) == 299


def test_questions_and_copies(library: Library, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("1", "2", "3"):
        write(tree / f"{name}.jpg", b"same")
    library.scan(tree, facts=True)
    store = Store(library.database)
    found = statistics(store)
    assert (found.photos, found.contents, found.duplicates, found.duplicate_bytes) == (3, 1, 2, 8)
    (group,) = groups(store)
    assert group.gain == 8
    assert {finding.result for finding in Verification(store, sample=2)} == {"ok"}
    copies = DuplicateRepository(library.session)
    assert copies.get_duplicates_summary() == [("hash_duplicate", 2)]
    library.session.commit()
    assert forget(store, [os.fsencode(tree)], missing=False, really=True) == 3
    assert statistics(store).photos == 0
    store.close()


def test_rows_that_are_few_have_indexes_that_hold_nothing_else(library: Library) -> None:
    with library.database.read() as connection:
        found = connection.execute(
            sa.text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'photos'")
        )
        partial = {name: text.partition(" WHERE ")[2] for name, text in found}
    assert "IS NOT NULL" in partial["ix_photos_linked"]
    assert "'present'" in partial["ix_photos_unsettled"]
    assert partial["ix_photos_hash"] == ""


def test_a_stopped_scan_goes_on_and_the_guard_holds(library: Library, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(30):
        write(tree / f"{number:02d}.jpg", b"photo %d" % number)
    scan = scan_images_recursively(tree, library.photos, 10)
    first = next(scan)
    with pytest.raises(QueueError):
        library.scan(tree)
    scan.close()
    given, _ = library.batches(tree, 10)
    assert [one["path"] for batch in given for one in batch] == [
        str(tree / f"{number:02d}.jpg") for number in range(30)
    ]
    assert given[0] == first
    shutil.rmtree(tree)
    with pytest.raises(ScanGuardError):
        library.scan(tree)


def test_a_server_that_goes_away_ends_a_scan_in_one_sentence(
    library: Library, tmp_path: Path, server: str
) -> None:
    tree = tmp_path / "tree"
    for number in range(60):
        write(tree / f"{number:02d}.jpg", b"photo %d" % number)
    others = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    scan = library.command(tree, 5).run()
    next(scan)
    with engine.connect() as connection:
        connection.execute(others)
    with pytest.raises(ResourceError, match="start its server, and run the same scan again"):
        list(scan)
    engine.dispose()
    library.session.rollback()
    stats = library.scan(tree, 5)
    assert (stats.files_seen, statistics(Store(library.database)).photos) == (60, 60)


def test_a_transaction_that_the_server_undoes_for_anothers_is_one_sentence(
    library: Library, server: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    for number in range(30):
        write(tree / f"{number}.jpg", b"photo %d" % number)
    library.scan(tree)
    write(tree / "new.jpg", b"new")
    time.sleep(RACY_S)
    engine = sa.create_engine(server)
    for state in ("40001", "40P01"):
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE OR REPLACE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
                    f"'by another' USING ERRCODE = '{state}'; END $$; "
                    "CREATE OR REPLACE TRIGGER undo BEFORE INSERT ON photos FOR EACH ROW EXECUTE FUNCTION undo()"
                )
            )
        with pytest.raises(ResourceError, match="written by another program at the same moment") as told:
            library.scan(tree)
        assert "disk" not in str(told.value)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER undo ON photos"))
    engine.dispose()
    assert library.scan(tree).to_dict()["registered"] == 1


def test_a_look_and_what_is_similar_are_the_same_as_with_sqlite(library: Library, tmp_path: Path) -> None:
    tree = album(tmp_path / "tree")
    write(tree / "bad.jpg", (tree / "camera" / "IMG_0009.jpg").read_bytes()[:300] + bytes(300))
    found = []
    with Library(tmp_path / "photos.db") as other:
        for one in (library, other):
            one.scan(tree, facts=True)
            looking = look_in_batches(one.photos, 7, processes=2)
            given = list(looking)
            store = Store(one.database)
            made = groups_of_similar(store, with_turned=True)
            names = [(group.kind, [shot.path for shot in group.shots]) for group in made]
            found.append((given, rows(one), names))
            store.close()
        assert found[0] == found[1]
        assert len(found[0][2]) == 6
        assert list(look_in_batches(library.photos)) == []


def test_faces_are_the_same_as_with_sqlite(library: Library, tmp_path: Path) -> None:
    tree = album(tmp_path / "tree")
    found = []
    with Library(tmp_path / "photos.db") as other:
        for one, size in ((library, 3), (other, 100)):
            one.scan(tree)
            list(look_in_batches(one.photos, folders=[tree / "web"]))
            for name, shift in (("fake", 0.0), ("near", 0.01)):
                store = Store(one.database)
                with closing(previews_of(store, None)) as previews, closing(look_pool(2)) as pool:
                    looking = Looking(
                        store, [os.fsencode(tree)], previews, batch_size=size, faces=FakeFaces(name, shift=shift),
                        all_faces=True,
                    )  # fmt: skip
                    assert sum(len(batch.photos) for batch in looking.batches(pool)) == looking.stats.looked
                assert looking.stats.faces == len(rows(one, "photo_faces")) > 5
                store.close()
            found.append((rows(one, "photo_looks", "batch_id"), rows(one, "photo_faces")))
        assert found[0] == found[1]


def test_people_are_the_same_as_with_sqlite(library: Library, tmp_path: Path) -> None:
    """The same faces, in another order and in batches, the same deeds, the same groups; and none left behind."""
    some = crowd([12, 9, 6, 4, 2, 1, 1], seed=3, spread=0.1)
    some = Crowd(some.vectors, some.persons, some.photos // 2)
    weak = frozenset(range(0, len(some), 7))
    pair = [
        next(face for face in range(len(some)) if some.persons[face] == who and face not in weak)
        for who in (0, 1)
    ]
    with Library(tmp_path / "photos.db") as other:
        for one, batch in ((library, 10), (other, 17)):
            known = PersonRepository(one.session)
            for start in range(0, len(some), batch):
                put(one.database, some, range(start, min(start + batch, len(some))), weak=weak)
                known.group()
            ana, beto = (person_of(one.database, some, face) for face in pair)
            assert ana is not None
            assert beto is not None
            known.name(ana, "Ana")
            known.reject(beto, FaceRepository(one.session).of_person(beto)[0].id)
            known.name(beto, "Beto")
            with pytest.raises(ValidationError):
                known.name(beto, "ANA")
            known.undo()
            known.group()
        assert parts(library.database) == parts(other.database)
        assert len(parts(library.database)) > 5
    store = Store(library.database)
    done = forgetting.forget(store, None)
    assert done.is_complete
    assert done.is_server
    assert any("write-ahead log" in str(sentence) for sentence in done.sentences())
    assert not FaceRepository(store).are_known()
    store.close()
