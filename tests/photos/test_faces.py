"""Faces within the look at pixels: which are recorded, of which photos, and whatever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_processing.exceptions import ConfigurationError
from batch_processing.photos import look_in_batches
from batch_processing.photos.audit import forget
from batch_processing.photos.people import models
from batch_processing.photos.people.asked import asked
from batch_processing.photos.people.bringing import bring
from batch_processing.photos.people.face import LEAST_PX, LEAST_SCORE, SCALE, Face, FaceFinder
from batch_processing.photos.people.recording import record
from batch_processing.photos.pixels.looking import look_pool
from batch_processing.photos.pixels.previews import previews_of
from batch_processing.photos.pixels.stage import LookBatch, Looking, LookStats
from batch_processing.photos.store import Store
from command import command, environment, lote
from drawn_faces import canvas, portrait
from drawn_photos import Pixels, jpeg, scene, shot
from face_networks import astronaut, wheels
from fake_faces import FakeFaces
from photos_help import Library, rows, write

SMALL = {"width": 240, "height": 160}
FAKE = FakeFaces()


def look(
    library: Library,
    root: Path,
    faces: FakeFaces | None = FAKE,
    batch_size: int = 100,
    *,
    all_faces: bool = True,
) -> tuple[list[LookBatch], LookStats]:
    """Look at all photos below `root`, for faces too."""
    store = Store(library.database)
    with closing(previews_of(store, None)) as previews, closing(look_pool(2)) as pool:
        looking = Looking(
            store, [os.fsencode(root)], previews, batch_size=batch_size, faces=faces, all_faces=all_faces
        )
        given = list(looking.batches(pool))
    store.close()
    return given, looking.stats


def tree_of(tree: Path, count: int) -> Path:
    for number in range(count):
        shot(tree / f"{number % 3}" / f"IMG_{number:04d}.jpg", number, **SMALL)
    return tree


def tables(library: Library, *left_out: str) -> list[list[dict[str, Any]]]:
    return [rows(library, "photo_looks", "batch_id", *left_out), rows(library, "photo_faces", *left_out)]


def test_faces_are_the_same_for_batches_of_any_size_and_for_photos_that_were_looked_at_before(
    tmp_path: Path,
) -> None:
    tree = tree_of(tmp_path / "tree", 20)
    # Is decoded larger where faces are wanted.
    write(tree / "large.jpg", jpeg(np.asarray(canvas(30, 2400, 1600))))
    write(tree / "text.jpg", b"no image at all")
    dumps = []
    for size, before in ((1, False), (7, True), (100, False)):
        with Library(tmp_path / f"{size}.db") as library:
            library.scan(tree)
            if before:
                look(library, tree, None)
                assert rows(library, "photo_faces") == []
            given, stats = look(library, tree, batch_size=size)
            found = rows(library, "photo_faces")
            assert (
                stats.faces
                == len(found)
                == sum(photo.faces or 0 for batch in given for photo in batch.photos)
                > 5
            )
            assert stats.with_faces == len({row["hash"] for row in found})
            dumps.append(tables(library))
    assert dumps[0] == dumps[1] == dumps[2]
    for content in {row["hash"] for row in dumps[0][1]}:
        assert [row["number"] for row in dumps[0][1] if row["hash"] == content] in ([0], [0, 1])


def test_batches_say_how_many_faces_they_hold_and_what_they_took(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", 12)
    with Library(tmp_path / "lote.db") as library:
        library.scan(tree)
        look(library, tree, None)
        for content in tree.rglob("*.jpg"):
            write(content, content.read_bytes() + b"\0")
        library.scan(tree)
        given, stats = look(library, tree, batch_size=5)
    run = lote("photos", "batches", "--json", workspace=tmp_path)
    assert run.code == 0, run.err
    scanned, looked = (
        [event for event in run.events if event["event"] == kind] for kind in ("batch", "look_batch")
    )
    assert [batch["faces"] for batch in looked] == [None, *(batch.faces for batch in given)]
    assert sum(batch["faces"] for batch in looked[1:]) == stats.faces > 5
    for batch in (*scanned, *looked):
        assert batch["cpu_seconds"] > 0
        assert batch["peak_memory"] > 10_000_000  # bytes: less than any process with an interpreter has
        assert batch["bytes"] > 1000
    run = lote("photos", "batches", workspace=tmp_path)
    _, table = run.out.split("\n\n")
    assert table.splitlines()[0].split()[:12] == [
        "look", "batch", "state", "looked", "at", "damaged", "without", "pixels", "faces", "errors", "read", "time",
    ]  # fmt: skip


def test_a_content_is_decoded_once_and_the_finder_opened_once_in_each_worker(tmp_path: Path) -> None:
    tree, log = tree_of(tmp_path / "tree", 40), tmp_path / "log"
    faces = replace(FAKE, log=str(log))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree / "0", faces)
        assert log.read_text().count("f") == 14
        assert 1 <= log.read_text().count("o") <= 2
        log.unlink()
        look(library, tree, faces)
        assert log.read_text().count("f") == 26
        log.unlink()
        assert look(library, tree, faces)[1].done == 0
        assert not log.exists(), "nothing to do, nothing opened"
        (tree / "0").rename(tree / "moved")
        library.scan(tree)
        assert look(library, tree, faces)[1].done == 0


def test_what_is_known_of_a_photo_stays_when_it_cannot_be_looked_at_for_faces(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", 6)
    red = tree / "red.jpg"
    write(red, jpeg(np.full((160, 240, 3), (220, 30, 20), np.uint8) | (scene(3, 240, 160) & 31)))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree, None)
        before = rows(library, "photo_looks")
        (tree / "0" / "IMG_0000.jpg").unlink()
        shot(tree / "1" / "IMG_0001.jpg", 77, **SMALL)
        _, stats = look(library, tree, replace(FAKE, fault="crash"))
        assert (stats.looked, stats.gone, stats.errors) == (4, 1, 2)
        left_out = ("batch_id", "faces_model", "failed")
        assert rows(library, "photo_looks", *left_out) == [
            {name: value for name, value in row.items() if name not in left_out} for row in before
        ]
        models_of = {row["hash"]: row["faces_model"] for row in rows(library)}
        assert list(models_of.values()).count("fake") == 4
        assert sorted(library.errors()) == [
            (str(tree / "1" / "IMG_0001.jpg"), "pixels", "changed"),
            (str(red), "pixels", "crash"),
        ]
        # The same libraries would crash again: not tried. What changed is another matter.
        library.scan(tree, allow_missing=True)
        assert look(library, tree, replace(FAKE, fault="crash"))[1].looked == 1


def test_networks_that_cannot_be_opened_are_no_photos_fault(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", 3)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        with pytest.raises(ConfigurationError, match="these networks are no good"):
            look(library, tree, replace(FAKE, fault="refuse"))
        with pytest.raises(ConfigurationError, match="crash OpenCV"):
            look(library, tree, replace(FAKE, fault="die"))
        assert library.errors() == []
        assert rows(library) == []
        assert look(library, tree)[1].looked == 3


def test_new_photos_are_looked_at_for_faces_once_these_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "find", lambda folder=None: FAKE)
    monkeypatch.setattr("batch_processing.photos.people.asked.find", lambda folder=None: FAKE)
    monkeypatch.setattr(FakeFaces, "folder", None, raising=False)
    tree = tree_of(tmp_path / "tree", 6)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        given = list(look_in_batches(library.photos, folders=[tree / "0"]))
        assert [photo.faces for batch in given for photo in batch] == [None, None]
        with library.database.read() as connection:
            assert asked(connection) is None
        list(look_in_batches(library.photos, folders=[tree / "1"], faces=True))
        assert {row["faces_model"] for row in rows(library)} == {None, "fake"}
        given = list(look_in_batches(library.photos, processes=1))  # of folder 2; those of 0 lack only faces
        assert len(given[0]) == 2
        assert all(photo.faces is not None for photo in given[0])
        assert [row["faces_model"] for row in rows(library)].count(None) == 2
        list(look_in_batches(library.photos, faces=True))
        assert {row["faces_model"] for row in rows(library)} == {"fake"}


def test_what_was_said_of_a_face_is_kept_when_another_model_looks(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", 12)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree)
        before = rows(library, "photo_faces")
        with library.database.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO people (id, label, hidden, created_at) VALUES (5, 'Ana', 0, '2026-01-01')"
            )
            connection.exec_driver_sql("UPDATE photo_faces SET person_id = 5")
            connection.exec_driver_sql(
                "INSERT INTO face_decisions (face_id, person_id, is_it, at) "
                "SELECT min(id), 5, 1, '2026-01-01' FROM photo_faces"
            )
        look(library, tree, FakeFaces("near", shift=0.01))
        after = rows(library, "photo_faces")
        assert [(row["id"], row["number"], row["person_id"], row["model"]) for row in after] == [
            (row["id"], row["number"], 5, "near") for row in before
        ]
        assert after[0]["x"] == pytest.approx(before[0]["x"] + 0.01)
        look(library, tree, FakeFaces("elsewhere", shift=0.5))
        last = rows(library, "photo_faces")
        by_hand = [row for row in last if row["model"] != "elsewhere"]
        assert [(row["id"], row["kind"], row["embedding"], row["person_id"]) for row in by_hand] == [
            (before[0]["id"], "drawn", None, 5)
        ]
        assert len(last) == len(before) + 1
        assert {row["person_id"] for row in last if row["model"] == "elsewhere"} == {None}
        assert len(rows(library, "face_decisions")) == 1


def test_faces_go_with_their_photos(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", 9)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree)
        kept = {library.hashes()[str(path)] for path in (tree / "0").iterdir()}
        store = Store(library.database)
        forget(store, [os.fsencode(tree / "1"), os.fsencode(tree / "2")], missing=False, really=True)
        store.close()
        assert {row["hash"] for row in rows(library, "photo_faces")} <= kept


def patched(tmp_path: Path, log: Path) -> dict[str, str]:
    """The environment of a command whose networks are fakes; they wait once so many photos are in the library (LIMIT)."""
    body = (
        "import os, sqlite3, time, fake_faces\n"
        "import batch_processing.photos.people.asked as a, batch_processing.photos.pixels.looks_job as j\n"
        "fake_faces.FakeFaces.folder = None\n"
        "real, limit = fake_faces.FakeFaces.faces, int(os.environ.get('LIMIT', 10**9))\n"
        "def done():\n"
        "    database = sqlite3.connect(os.environ['LOTE_WORKSPACE'] + '/lote.db', timeout=10)\n"
        f"    (count,) = database.execute({DONE!r}).fetchone()\n"
        "    database.close()\n"
        "    return count\n"
        "def faces(self, upright):\n"
        "    time.sleep(0.1 if limit < 10**9 else 0)\n"
        "    while limit < 10**9 and done() >= limit: time.sleep(0.05)\n"
        "    return real(self, upright)\n"
        "fake_faces.FakeFaces.faces = faces\n"
        f"a.find = j.find = lambda folder=None: fake_faces.FakeFaces(log={str(log)!r})\n"
    )
    write(tmp_path / "patch" / "sitecustomize.py", body.encode())
    folders = [str(tmp_path / "patch"), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(folder for folder in folders if folder)}


DONE = "SELECT count(*) FROM photo_looks WHERE faces_model IS NOT NULL"


def test_kill_9_costs_three_batches_at_most_and_changes_nothing(tmp_path: Path) -> None:
    tree, workspace, log = tree_of(tmp_path / "tree", 60), tmp_path / "workspace", tmp_path / "log"
    env = patched(tmp_path, log)
    assert lote("photos", "scan", tree, workspace=workspace).code == 0
    assert lote("photos", "look", tree / "0", "--quiet", workspace=workspace).code == 0

    def done() -> int:
        with closing(sqlite3.connect(workspace / "lote.db", timeout=10)) as connection:
            (count,) = connection.execute(DONE).fetchone()
        return int(count)

    for goal in (5, 20):
        process = subprocess.Popen(
            command("photos", "faces", "--batch-size", "10", "--json"),
            env=environment(workspace) | env | {"LIMIT": str(goal)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 60
        while done() < goal and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        assert goal <= done() < 60, goal
    ended = lote("photos", "faces", "--batch-size", "10", "--json", workspace=workspace, **env)
    assert ended.code == 0, ended.err
    tried = log.read_text().count("f")
    assert tried - 60 <= 2 * 30, "each kill costs three batches at most"
    with Library(workspace / "lote.db") as library, Library(tmp_path / "other.db") as other:
        other.scan(tree)
        look(other, tree, batch_size=7)
        # Whom the faces belong to the command says, too, and what was done here does not.
        assert tables(library, "id", "person_id") == tables(other, "id", "person_id")
        assert ended.summary["all_faces"] == len(rows(library, "photo_faces"))
    # New photos are looked at for faces by a scan, too; the terminal says how many there are.
    shot(tree / "new.jpg", 500, **SMALL)
    assert lote("photos", "scan", "--look", tree, workspace=workspace, **env).code == 0
    assert done() == 61
    told = lote("photos", "faces", workspace=workspace, **env)
    assert f"{len(rows_of(workspace))} faces on" in told.out
    assert "faces" in lote("status", workspace=workspace).out


def rows_of(workspace: Path) -> list[dict[str, Any]]:
    with Library(workspace / "lote.db") as library:
        return rows(library, "photo_faces")


# With the networks


@pytest.fixture(scope="module")
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the networks in it."""
    home = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home))
        bring(wheels())
    return home


@pytest.fixture
def finder(data_home: Path, monkeypatch: pytest.MonkeyPatch) -> FaceFinder:
    import cv2

    monkeypatch.setenv("XDG_DATA_HOME", str(data_home))
    cv2.setNumThreads(1)
    return models.own().finder()


def bgr(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, :, ::-1])


def test_drawn_faces_are_found_where_they_are_from_above_and_from_the_left(finder: FaceFinder) -> None:
    places = [(60.0, 500, 120), (120.0, 160, 130), (90.0, 180, 360), (40.0, 480, 380)]
    picture = bgr(portrait(11, places))
    found = finder.faces(picture)
    assert len(found) == 4
    assert [face.y for face in found] == sorted(face.y for face in found)
    for size, x, y in places:
        face = min(
            found,
            key=lambda face: abs((face.x + face.w / 2) * 640 - x) + abs((face.y + face.h / 2) * 480 - y),
        )
        assert abs((face.x + face.w / 2) * 640 - x) < size / 4
        assert abs((face.y + face.h / 2) * 480 - y) < size / 3
        assert face.quality == pytest.approx(size, rel=0.2)
        assert face.score >= LEAST_SCORE
        assert len(face.landmarks) == 5
        assert all(
            face.x < left < face.x + face.w and face.y < top < face.y + face.h for left, top in face.landmarks
        )
        assert face.embedding is not None
        vector = np.frombuffer(face.embedding, np.int8).astype(int)
        assert len(vector) == 128
        assert np.sqrt((vector**2).sum()) == pytest.approx(SCALE, rel=0.03)
    assert finder.faces(picture) == found, "the same, always"
    finder.faces(bgr(portrait(3, [(100.0, 200, 200)], 800, 300)))
    assert finder.faces(picture) == found, "whatever was looked at before"


def test_close_ups_are_one_face_and_things_are_none(finder: FaceFinder) -> None:
    for number in (1, 2):
        found = finder.faces(bgr(portrait(number, [(2000.0, 1200, 1200)], 2400, 2400)))
        assert [face.quality > 500 for face in found] == [True]
    assert finder.faces(bgr(np.asarray(canvas(5, 900, 600)))) == []
    assert finder.faces(np.zeros((3, 2000, 3), np.uint8)) == []
    assert finder.faces(np.zeros((1, 1, 3), np.uint8)) == []
    tiny = finder.faces(bgr(portrait(4, [(9.0, 300, 200)])))
    assert all(face.quality >= LEAST_PX for face in tiny)


def test_a_real_face_from_the_photo_to_the_table(tmp_path: Path, data_home: Path) -> None:
    """The one real face: however large its photo is and however it was compressed, it is one person's."""
    photo = astronaut()
    tree = tmp_path / "tree"
    write(tree / "a.jpg", jpeg(np.asarray(photo)))
    write(tree / "b.jpg", jpeg(np.asarray(photo.resize((1600, 1600), Image.Resampling.LANCZOS)), 70))
    photo.resize((320, 320), Image.Resampling.LANCZOS).save(tree / "c.png")
    shot(tree / "thing.jpg", 8)
    env = {"XDG_DATA_HOME": str(data_home)}
    assert lote("photos", "scan", tree, workspace=tmp_path / "w").code == 0
    done = lote("photos", "faces", "--json", workspace=tmp_path / "w", **env)
    assert done.code == 0, done.err
    assert (done.summary["faces"], done.summary["with_faces"]) == (3, 3)
    with Library(tmp_path / "w" / "lote.db") as library:
        found = rows(library, "photo_faces")
    vectors = [np.frombuffer(row["embedding"], np.int8).astype(int) for row in found]
    cosines = [int(one @ other) / SCALE**2 for one in vectors for other in vectors]
    assert min(cosines) > 0.8, cosines
    for row in found:  # her face in the picture: to the left of its middle, above
        assert 0.3 < row["x"] + row["w"] / 2 < 0.55
        assert 0.1 < row["y"] + row["h"] / 2 < 0.35
        assert row["score"] > 0.8
    again = lote("photos", "faces", workspace=tmp_path / "w", **env)
    assert "3 faces on 3 photos are known in the library." in again.out


def test_without_the_networks_the_command_says_how_to_get_them(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree", 1)
    env = {"XDG_DATA_HOME": str(tmp_path / "none")}
    assert lote("photos", "scan", tree, workspace=tmp_path / "w").code == 0
    told = lote("photos", "faces", workspace=tmp_path / "w", **env)
    assert told.code == 2
    assert "lote models path faces" in told.err
    with Library(tmp_path / "w" / "lote.db") as library:
        assert rows(library) == []
        with library.database.read() as connection:
            assert asked(connection) is None


def test_faces_of_an_earlier_look_are_not_written_twice(tmp_path: Path) -> None:
    face = Face(0.1, 0.1, 0.2, 0.2, 0.9, 40, ((0.1, 0.1),) * 5, bytes(128))
    with Library(tmp_path / "photos.db") as library:
        for _ in range(2):
            with library.database.write() as connection:
                record(connection, "m", {bytes(32): [face]})
        assert [row["number"] for row in rows(library, "photo_faces")] == [0]
