"""The same scans with PostgreSQL behind them: a real server, started for this file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from batch_processing.exceptions import QueueError, ResourceError
from batch_processing.photos import DuplicateRepository, Photo, ScanGuardError, scan_images_recursively
from batch_processing.photos.audit import forget, statistics
from batch_processing.photos.duplicates import groups
from batch_processing.photos.store import Store
from batch_processing.photos.verify import Verification
from photos_help import Library, write
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


def test_questions_and_copies(library: Library, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("1", "2", "3"):
        write(tree / f"{name}.jpg", b"same")
    library.scan(tree, facts=True)
    store = Store(library.database)
    found = statistics(store)
    assert (found["photos"], found["contents"], found["duplicates"], found["duplicate_bytes"]) == (3, 1, 2, 8)
    (group,) = groups(store)
    assert group.gain == 8
    assert {finding.result for finding in Verification(store, sample=2)} == {"ok"}
    copies = DuplicateRepository(library.session)
    assert copies.get_duplicates_summary() == [("hash_duplicate", 2)]
    library.session.commit()
    assert forget(store, [os.fsencode(tree)], missing=False, really=True) == 3
    assert statistics(store)["photos"] == 0
    store.close()


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
    assert (stats.files_seen, statistics(Store(library.database))["photos"]) == (60, 60)
