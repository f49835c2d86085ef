"""Looking at a library: lists by date, exact paths for other programs, and what people are told."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import sqlalchemy as sa
from PIL import Image

from batch_processing.core import database as core_database
from batch_processing.core.database import Database
from batch_processing.exceptions import ResourceError
from batch_processing.photos.damage import Damage
from batch_processing.photos.listing import Wanted, damaged, listed
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.tables import directories, facts, photos
from batch_processing.ui.cli.photos.look import DAMAGE_WORDS
from command import command, environment, lote
from photos_help import write

MAKE, MODEL, EXIF_IFD, ORIGINAL, OFFSET = 0x010F, 0x0110, 0x8769, 0x9003, 0x9011
# No UTF-8, and a line break: what no text can carry.
ODD = b"caf\xe9\nfin.png"


def photo(path: Path, color: int, taken: str = "", camera: str = "", offset: str = "") -> Path:
    """A small image, all of one colour."""
    exif = Image.Exif()
    if camera:
        exif[MAKE], exif[MODEL] = camera.split(" ", 1)
    if taken:
        exif.get_ifd(EXIF_IFD)[ORIGINAL] = taken
    if offset:
        exif.get_ifd(EXIF_IFD)[OFFSET] = offset
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "PNG" if path.suffix == ".png" else "JPEG"
    Image.new("RGB", (40, 30), (color, 90, 200)).save(path, kind, exif=exif)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanned library: `pictures` beside its `workspace`."""
    place = tmp_path_factory.mktemp("library")
    root = place / "pictures"
    photo(root / "b" / "july.jpg", 1, "2019:07:31 23:59:59", "Canon EOS 5D")
    photo(root / "a" / "august.jpg", 2, "2019:08:31 23:59:58", "NIKON D750", "+02:00")
    photo(root / "a" / "september.jpg", 3, "2019:09:01 00:00:00", "Canon PowerShot G9")
    photo(root / "same time" / "z.jpg", 4, "2019:08:31 23:59:58", "FUJIFILM X-T3", "-10:00")
    photo(root / "a.jpg", 5, "2018:01:01 10:00:00")
    photo(root / "undated.png", 6)
    photo(root / "b" / "undated.jpg", 7)
    photo(root / os.fsdecode(ODD), 8)
    assert lote("photos", "scan", root, workspace=place / "workspace").code == 0
    with database(place) as connection:  # as a name tells it: without a time
        connection.execute(
            "UPDATE photo_facts SET taken_at = '2019-08-31', taken_from = 'name' "
            "WHERE photo_id = (SELECT id FROM photos WHERE filename = 'undated.jpg')"
        )
    return place


@contextmanager
def database(place: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(place / "workspace" / "lote.db")
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def names(place: Path, *arguments: str | Path) -> list[str]:
    """The paths that `lote photos list` gives, below the library."""
    done = lote("photos", "list", *arguments, "--json", workspace=place / "workspace")
    assert done.code == 0, done.err
    found = done.events[:-1]
    assert done.summary["photos"] == len(found)
    assert done.summary["bytes"] == sum(event["size"] for event in found)
    return [os.path.relpath(event["path"], place / "pictures") for event in found]


IN_AUGUST = ["b/undated.jpg", "a/august.jpg", "same time/z.jpg"]


def test_photos_are_listed_by_date_then_path_and_those_without_last(place: Path) -> None:
    odd = os.fsdecode(ODD)
    undated = [odd, "undated.png"]
    assert names(place) == ["a.jpg", "b/july.jpg", *IN_AUGUST, "a/september.jpg", *undated]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2019-08", "2019-08", IN_AUGUST),
        ("2019-07", "2019-08", ["b/july.jpg", *IN_AUGUST]),
        ("2019-08-31", "2019-08-31", IN_AUGUST),
        ("2019-08-31T00:00", "2019-08-31", IN_AUGUST[1:]),
        ("2019-08-31 23:59:59", "2019", ["a/september.jpg"]),
        ("2019-07-31T23", "2019-08-31T12:00", ["b/july.jpg", "b/undated.jpg"]),
        ("2019", None, ["b/july.jpg", *IN_AUGUST, "a/september.jpg"]),
        (None, "2019-08-31T23:59:57", ["a.jpg", "b/july.jpg", "b/undated.jpg"]),
        ("2020", None, []),
    ],
)
def test_from_and_to_take_dates_as_people_give_them(
    place: Path, since: str | None, until: str | None, expected: list[str]
) -> None:
    """To the end of what is named, by the camera's clock; a date without a time comes before the day's times."""
    given = [("--from", since), ("--to", until)]
    assert names(place, *(word for option, date in given if date for word in (option, date))) == expected


def test_photos_without_a_date_are_counted_where_a_date_is_asked_for(place: Path) -> None:
    workspace = place / "workspace"
    done = lote("photos", "list", "--from", "2019", workspace=workspace)
    assert "not listed, since they have no date: 2" in done.err
    assert "undated.png" not in done.out
    assert "no date" not in lote("photos", "list", workspace=workspace).err
    below = place / "pictures" / "b"
    dated = lote("photos", "list", below, "--to", "2019", "--json", workspace=workspace)
    assert (dated.summary["without_date"], dated.err) == (0, "")


def test_photos_are_listed_by_camera_format_and_folder(place: Path) -> None:
    root = place / "pictures"
    assert names(place, "--camera", "canon") == ["b/july.jpg", "a/september.jpg"]
    assert names(place, "--camera", "D750") == ["a/august.jpg"]
    assert names(place, "--camera", "%") == names(place, "--camera", os.fsdecode(b"\xff")) == []
    assert (
        names(place, "--format", "png")
        == names(place, "--format", ".PNG")
        == [os.fsdecode(ODD), "undated.png"]
    )
    jpegs = ["a.jpg", "b/july.jpg", *IN_AUGUST, "a/september.jpg"]
    assert names(place, "--format", "JPEG") == names(place, "--format", "jpg") == jpegs
    assert names(place, "--format", "nef") == []
    assert names(place, root / "a") == ["a/august.jpg", "a/september.jpg"]
    assert names(place, root / "a", root / "b", "--to", "2019-07") == ["b/july.jpg"]
    assert names(place, root / "a", "--camera", "canon", "--format", "jpg", "--from", "2019-09") == [
        "a/september.jpg"
    ]


def test_the_content_decides_the_format_and_the_name_where_it_is_not_known(tmp_path: Path) -> None:
    root, workspace = tmp_path / "p", tmp_path / "workspace"
    photo(root / "a.jpg", 1)
    photo(root / "b.png", 2).rename(root / "b.jpg")
    arguments = ("photos", "list", "--style", "null", "--format")
    assert lote("photos", "scan", root, "--no-facts", workspace=workspace).code == 0
    assert lote(*arguments, "jpeg", workspace=workspace).out == f"{root}/a.jpg\0{root}/b.jpg\0"
    assert lote("photos", "scan", root, workspace=workspace).code == 0
    assert lote(*arguments, "jpeg", workspace=workspace).out == f"{root}/a.jpg\0"
    assert lote(*arguments, "png", workspace=workspace).out == f"{root}/b.jpg\0"


def test_missing_photos_are_listed_apart(tmp_path: Path) -> None:
    root, workspace = tmp_path / "p", tmp_path / "workspace"
    for number in range(3):
        photo(root / f"{number}.jpg", number, f"2019:07:0{3 - number} 10:00:00")
    assert lote("photos", "scan", root, workspace=workspace).code == 0
    (root / "0.jpg").unlink()
    assert lote("photos", "scan", root, "--allow-missing", workspace=workspace).code == 0
    arguments = ("photos", "list", "--style", "null")
    assert lote(*arguments, workspace=workspace).out == f"{root}/2.jpg\0{root}/1.jpg\0"
    assert lote(*arguments, "--missing", workspace=workspace).out == f"{root}/0.jpg\0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "2019-13"), "'2019-13' is no date: give one such as 2019"),
        (("--to", "2019-02-30"), "'2019-02-30' is no date"),
        (("--to", "July"), "'July' is no date"),
        (("--from", ""), "'' is no date"),
        (("--from", "2019-08", "--to", "2019-07"), "--from 2019-08 comes after --to 2019-07"),
        (("--format", "docx"), "'docx' is no format of photos"),
        (("--style", "xml"), "--style must be table, csv, json or null, not 'xml'"),
    ],
)
def test_what_cannot_be_asked_for_is_said(place: Path, arguments: tuple[str, ...], said: str) -> None:
    done = lote("photos", "list", *arguments, workspace=place / "workspace")
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_folder_that_is_not_in_the_library_is_refused(place: Path, tmp_path: Path) -> None:
    done = lote("photos", "list", tmp_path, workspace=place / "workspace")
    assert done.code == 1
    assert f"No photo is known below {tmp_path}" in done.err


def test_the_table_has_a_line_a_photo_and_its_path_last(place: Path) -> None:
    done = lote("photos", "list", place / "pictures" / "a", "--to", "2019-08", workspace=place / "workspace")
    head, line = done.out.splitlines()
    assert head.split() == ["taken", "told", "by", "camera", "format", "size", "pixels", "path"]
    assert line.startswith("2019-08-31T23:59:58+02:00")
    assert line.endswith(f"40 x 30  {place}/pictures/a/august.jpg")
    assert {"NIKON", "D750", "JPEG"} <= set(line.split())
    assert done.err.startswith("photos listed: 1 (")


# -- exact paths ---------------------------------------------------------------------------------------


def test_null_style_gives_the_exact_bytes_and_nothing_else(place: Path) -> None:
    arguments = command("photos", "list", "--format", "png", "--style", "null")
    done = subprocess.run(
        arguments, env=environment(place / "workspace"), capture_output=True, check=True, timeout=60
    )
    root = os.fsencode(place / "pictures")
    paths = done.stdout.split(b"\0")
    assert paths == [root + b"/" + ODD, root + b"/undated.png", b""]
    assert all(os.path.exists(path) for path in paths[:-1])  # noqa: PTH110 - bytes


def test_csv_and_json_carry_the_exact_bytes(place: Path) -> None:
    done = lote("photos", "list", "--format", "png", "--style", "csv", workspace=place / "workspace")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    event = lote("photos", "list", "--format", "png", "--json", workspace=place / "workspace").events[0]
    path = os.fsencode(place / "pictures") + b"/" + ODD
    assert [unquote_to_bytes(row["path_bytes"]) for row in (rows[0], event)] == [path, path]
    assert rows[0]["path"] == path.decode("ascii", "replace").replace("�", "?")
    assert event["path_bytes"].endswith("/caf%E9%0Afin.png")
    plain = {
        "taken_at": "",
        "taken_from": "",
        "camera": "",
        "format": "PNG",
        "extension": ".png",
        "width": "40",
    }
    assert plain.items() <= rows[1].items()
    assert rows[1]["path"] == unquote_to_bytes(rows[1]["path_bytes"]).decode()
    assert list(rows[1])[-2:] == ["path", "path_bytes"]
    assert (event["width"], event["height"], event["format"], event["camera"]) == (40, 30, "PNG", None)


def test_batches_carry_the_exact_bytes(place: Path) -> None:
    batch, _ = lote("photos", "batches", "--json", workspace=place / "workspace").events
    root = os.fsencode(place / "pictures")
    assert unquote_to_bytes(batch["first_path_bytes"]) == root + b"/a.jpg"
    assert unquote_to_bytes(batch["last_path_bytes"]) == root + b"/same time/z.jpg"


def test_errors_carry_the_exact_bytes(tmp_path: Path) -> None:
    root, workspace = tmp_path / "p", tmp_path / "workspace"
    write(root / os.fsdecode(b"not \xff.jpg"), b"no image")
    path = os.fsencode(root) + b"/not \xff.jpg"
    lote("photos", "scan", root, workspace=workspace)
    event, summary = lote("photos", "errors", "--json", workspace=workspace).events
    assert (unquote_to_bytes(event["path_bytes"]), event["stage"], summary["errors"]) == (path, "facts", 1)
    (row,) = csv.DictReader(io.StringIO(lote("photos", "errors", "--style", "csv", workspace=workspace).out))
    assert (unquote_to_bytes(row["path_bytes"]), row["stage"]) == (path, "facts")
    null = subprocess.run(
        command("photos", "errors", "--style", "null"), env=environment(workspace), capture_output=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert null.stdout == path + b"\0"
    assert "(facts)" in lote("photos", "errors", workspace=workspace).out


def test_damaged_photos_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    root, workspace = tmp_path / "p", tmp_path / "workspace"
    for name in ("whole.jpg", "b.jpg", "a.jpg", "gone.jpg"):
        photo(root / name, len(name) + ord(name[0]))
    assert lote("photos", "scan", root, workspace=workspace).code == 0
    none = lote("photos", "errors", "--damaged", "--json", workspace=workspace)
    assert (none.code, none.summary["damaged"]) == (0, 0)
    with database(tmp_path) as connection:
        connection.execute(
            "UPDATE photo_facts SET damaged = 'cut off' "
            "WHERE photo_id IN (SELECT id FROM photos WHERE filename <> 'whole.jpg')"
        )
        connection.execute(
            "UPDATE photo_facts SET damaged = 'from the future' "
            "WHERE photo_id IN (SELECT id FROM photos WHERE filename = 'b.jpg')"
        )
        connection.execute("UPDATE photos SET state = 'missing' WHERE filename = 'gone.jpg'")
    found = lote("photos", "errors", "--damaged", "--json", workspace=workspace)
    assert found.code == 0
    assert [(event["path"], event["kind"]) for event in found.events[:-1]] == [
        (f"{root}/a.jpg", "cut off"),
        (f"{root}/b.jpg", "from the future"),
    ]
    shown = lote("photos", "errors", "--damaged", workspace=workspace).out
    why = "is cut off: it ends before its picture does; restore it from a backup"
    assert shown == f"{root}/a.jpg: {why}\n{root}/b.jpg: from the future\n"
    assert lote("photos", "errors", workspace=workspace).out == ""


def test_every_damage_has_a_sentence() -> None:
    assert set(DAMAGE_WORDS) == {damage.value for damage in Damage}


# -- large libraries -----------------------------------------------------------------------------------


def many(store: Store, number: int) -> list[tuple[str, bytes]]:
    """A library of rows alone; (date, path) in the order in which they should be listed."""
    rows: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    for key in range(1, number + 1):
        common = {"size": 1, "mtime_ns": 0, "hash": f"{key:064x}", "extension": ".jpg"}
        name = f"{key * 7919 % number:06d}.jpg"
        when = sa.func.current_timestamp()
        rows.append({"id": key, "directory_id": 1 + key % 2, "name": name, "filename": name, **common})
        told.append({"photo_id": key, "taken_at": f"2019-07-{1 + key % 28:02d}T10:00:00", "mismatch": False})
    with store.write() as connection:
        connection.execute(directories.insert(), [{"id": 1, "path": "/p"}, {"id": 2, "path": "/p/a"}])
        connection.execute(photos.insert().values(processed_at=when), rows)
        connection.execute(facts.insert(), told)
    paths = [("/p/a/" if row["directory_id"] == 2 else "/p/") + row["name"] for row in rows]
    return sorted((fact["taken_at"], path.encode()) for fact, path in zip(told, paths, strict=True))


def test_a_long_list_comes_in_pages_and_in_order(tmp_path: Path) -> None:
    opened = open_database(tmp_path / "lote.db")
    try:
        store = Store(opened)
        expected = many(store, 3000)
        pages = list(listed(store, Wanted()))
        assert len(pages) == 6
        assert [(photo.taken_at, photo.path) for page in pages for photo in page] == expected
        assert list(damaged(store)) == []
        store.close()
    finally:
        opened.close()


def test_a_reader_that_has_seen_enough_ends_a_list_quietly(tmp_path: Path) -> None:
    """`| head`: exit code 0 and not a word."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    opened = open_database(workspace / "lote.db")
    many(Store(opened), 20_000)
    opened.close()
    for style in ("table", "csv", "json", "null"):
        arguments = command("photos", "list", "--style", style)
        with subprocess.Popen(
            arguments, env=environment(workspace), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as done:
            assert done.stdout is not None
            assert done.stderr is not None
            assert done.stdout.read(10)
            done.stdout.close()
            said = done.stderr.read().decode()
        assert done.returncode == 0, said
        assert "rror" not in said
        if style == "table":  # the list was not read to its end
            assert int(said.removeprefix("photos listed: ").split()[0]) < 20_000


def test_an_output_that_is_full_is_said_and_one_that_is_closed_is_not(place: Path) -> None:
    env = environment(place / "workspace")
    for line in ("list", "list --json", "list --style null", "stats", "errors --json"):
        words = line.split()
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command("photos", *words), env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                check=False,
            )  # fmt: skip
        assert "The result cannot be written to the end" in done.stderr
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        closed = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command("photos", *words)],
            env=env, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (closed.returncode, "rror" in closed.stderr) == (0, False), closed.stderr


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    root, workspace = tmp_path / "p", tmp_path / "workspace"
    one = photo(root / "one.jpg", 1)
    os.link(one, root / "the same.jpg")
    os.link(one, root / "a third name.jpeg")
    other = photo(root / "other.jpg", 2)
    assert lote("photos", "scan", root, workspace=workspace).code == 0
    found = lote("photos", "stats", "--json", workspace=workspace).summary
    assert (found["photos"], found["hard_links"]) == (4, 2)
    assert found["bytes"] == one.stat().st_size + other.stat().st_size
    assert sum(kind["bytes"] for kind in found["extensions"].values()) == found["bytes"]
    assert sum(kind["photos"] for kind in found["extensions"].values()) == 4


@pytest.mark.parametrize("value", ["", "relative/folder", "./here", "{home}/data"])
def test_a_data_folder_counts_only_where_it_is_absolute(tmp_path: Path, value: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home), "LOTE_WORKSPACE": "", "XDG_DATA_HOME": value.format(home=home)}
    done = lote("photos", "stats", "--json", workspace=tmp_path, cwd=tmp_path, **env)
    assert (done.code, done.summary["photos"]) == (0, 0)
    used = home / "data" if value == "{home}/data" else home / ".local" / "share"
    assert (used / "lote" / "lote.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_a_locked_database_says_who_locks_it_and_nothing_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_database, "BUSY_TIMEOUT_S", 0.2)
    path = tmp_path / "lote.db"
    code = (
        "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    opened = open_database(path)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(ResourceError) as core, opened.write():
                pass
            with pytest.raises(ResourceError) as scan, Store(opened).write():
                pass
        for said in (str(core.value), str(scan.value)):
            assert f"{path} is kept locked by process {holder.pid} (python" in said
            assert "wait until that program has ended, or close it" in said
            assert "disk" not in said
    finally:
        opened.close()


def test_a_lock_that_nobody_is_seen_to_hold_is_another_programs(tmp_path: Path) -> None:
    assert str(core_database.who_locks(sa.make_url("postgresql://server/photos"))) == "another program"
    nobody = Database(tmp_path / "lote.db")
    try:
        assert str(core_database.who_locks(nobody.engine.url)) == "another program"
    finally:
        nobody.close()
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
    full = sqlite3.OperationalError("database or disk is full: not locked")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert [core_database.is_locked(error) for error in (busy, full)] == [True, False]
