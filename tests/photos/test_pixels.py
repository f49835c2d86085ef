"""One look at the pixels: what is recorded, of which photos, how often, and whatever is killed meanwhile."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch_processing.photos import look_in_batches
from batch_processing.photos.pixels import decoding
from batch_processing.photos.pixels.looking import look_pool
from batch_processing.photos.pixels.previews import Previews, previews_of
from batch_processing.photos.pixels.stage import LookBatch, Looking, LookStats
from batch_processing.photos.store import Store
from batch_processing.photos.tables import LOOKS_VERSION
from command import command, environment, lote
from drawn_photos import DAMAGES, cropped, dng, exif, holed, jpeg, resized, scene, shot
from photos_help import Library, rows, write

SMALL = {"width": 240, "height": 160}


def look(
    library: Library, root: Path, batch_size: int = 100, **options: Any
) -> tuple[list[LookBatch], LookStats]:
    """Look at all photos below `root`."""
    store = Store(library.database)
    with closing(previews_of(store, None)) as previews, closing(look_pool(2)) as pool:
        looking = Looking(store, [os.fsencode(root)], previews, batch_size=batch_size, **options)
        given = list(looking.batches(pool))
    store.close()
    return given, looking.stats


def of(library: Library, path: Path) -> dict[str, Any]:
    """What is recorded of the pixels of one photo."""
    digest = library.hashes()[str(path)]
    return next(row for row in rows(library) if row["hash"] == digest)


def library_of(tree: Path, count: int) -> Path:
    for number in range(count):
        shot(tree / f"{number % 3}" / f"IMG_{number:04d}.jpg", number, **SMALL)
    return tree


def test_each_content_is_looked_at_once_and_its_copies_cost_nothing(tmp_path: Path) -> None:
    tree = library_of(tmp_path / "tree", 12)
    shutil.copytree(tree / "0", tree / "copies")
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        given, stats = look(library, tree, 5)
        assert (stats.looked, stats.errors, stats.no_pixels, stats.damaged) == (12, 0, 0, 0)
        assert [(batch.number, len(batch.photos)) for batch in given] == [(1, 5), (2, 5), (3, 2)]
        found = of(library, tree / "copies" / "IMG_0000.jpg")
        assert (found["width"], found["height"], found["quality"]) == (240, 160, 92)
        assert len(found["signature"]) == 256
        # Moved, copied, its time changed: still the same content.
        (tree / "1").rename(tree / "moved")
        library.scan(tree)
        assert look(library, tree) == ([], LookStats(seconds=pytest.approx(0, abs=60)))
        ledger = rows(library, "photo_look_batches")
        assert [(row["number"], row["state"], row["photos"]) for row in ledger] == [
            (1, "taken", 5),
            (2, "taken", 5),
            (3, "taken", 2),
        ]
        digest = bytes.fromhex(found["hash"])
        preview = Previews(tmp_path / "previews.db").get([digest])[digest]
        assert Image.open(io.BytesIO(preview)).size == (240, 160)
        assert (tmp_path / "previews.db").stat().st_mode & 0o077 == 0


def test_the_tables_are_the_same_for_batches_of_any_size(tmp_path: Path) -> None:
    tree = library_of(tmp_path / "tree", 30)
    write(tree / "0" / "broken.jpg", (tree / "0" / "IMG_0000.jpg").read_bytes()[:200] + bytes(300))
    write(tree / "1" / "text.jpg", b"no image at all")
    dumps = []
    for size in (1, 7, 100):
        with Library(tmp_path / f"{size}.db") as library:
            library.scan(tree)
            given, stats = look(library, tree, size)
            assert sum(len(batch.photos) for batch in given) == stats.looked + stats.no_pixels == 32
            dumps.append(rows(library, "photo_looks", "batch_id"))
    assert dumps[0] == dumps[1] == dumps[2]


def test_what_was_handed_out_and_not_taken_is_handed_out_again(tmp_path: Path) -> None:
    tree = library_of(tmp_path / "tree", 25)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        looking = look_in_batches(library.photos, 10, folders=[tree], processes=1)
        first = next(looking)
        looking.close()
        again = look_in_batches(library.photos, 10, processes=1)
        given = []
        while True:
            try:
                given.append(next(again))
            except StopIteration as end:
                stats = end.value
                break
        assert given[0] == first
        assert [photo.path for batch in given for photo in batch] == sorted(
            str(path) for path in tree.rglob("*.jpg")
        )
        assert [row["number"] for row in rows(library, "photo_look_batches")] == [1, 2, 3]
        assert stats.looked <= 15  # the first ten were on disk: they are handed out, not looked at again
        assert len(rows(library, "photo_looks")) == 25
        assert list(look_in_batches(library.photos, 10)) == []


def patched(tmp_path: Path, body: str) -> Path:
    """A folder whose `sitecustomize` wraps the decoder of all child processes: `body` runs before each photo."""
    write(
        tmp_path / "patch" / "sitecustomize.py",
        (
            "import os, time\n"
            "import batch_processing.photos.pixels.decoding as d\n"
            "real = d.decode\n"
            "def decode(path, size, mtime_ns, *rest):\n"
            f"    {body}\n"
            "    return real(path, size, mtime_ns, *rest)\n"
            "d.decode = decode\n"
        ).encode(),
    )
    return tmp_path / "patch"


def test_a_photo_that_kills_its_worker_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = library_of(tmp_path / "tree", 30)
    counter = tmp_path / "tries"
    body = (
        "if path.endswith(b'IMG_0013.jpg'):\n"
        f"        open({str(counter)!r}, 'ab').write(b'x'); os.kill(os.getpid(), 9)"
    )
    monkeypatch.setenv("PYTHONPATH", str(patched(tmp_path, body)))
    monkeypatch.syspath_prepend(str(tmp_path / "patch"))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        given, stats = look(library, tree, 10)
        assert (stats.looked, stats.errors) == (29, 1)
        assert sum(batch.errors for batch in given) == 1
        assert library.errors() == [(str(tree / "1" / "IMG_0013.jpg"), "pixels", "crash")]
        assert counter.read_bytes() == b"xx"  # once with others, once alone
        # The same readers would die of it again: nobody tries, and the error stays.
        assert look(library, tree)[1].done == 0
        assert counter.read_bytes() == b"xx"
        assert len(library.errors()) == 1
        # Another content is another matter.
        shot(tree / "1" / "IMG_0013.jpg", 99, **SMALL)
        (tree / "1" / "IMG_0013.jpg").rename(tree / "1" / "mended.jpg")
        library.scan(tree)
        assert look(library, tree)[1].looked == 1
        assert library.errors() == []


def test_kill_9_costs_three_batches_at_most_and_changes_nothing(tmp_path: Path) -> None:
    tree, workspace = library_of(tmp_path / "tree", 90), tmp_path / "workspace"
    counter = tmp_path / "looked"
    folder = patched(tmp_path, f"time.sleep(0.01); open({str(counter)!r}, 'ab').write(path + bytes(1))")
    env = environment(workspace)
    env["PYTHONPATH"] = os.pathsep.join([str(folder), env.get("PYTHONPATH", "")])
    assert lote("photos", "scan", tree, workspace=workspace).code == 0

    def looks() -> int:
        with closing(sqlite3.connect(workspace / "lote.db", timeout=10)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM photo_looks").fetchone()
        return int(count)

    for goal in (10, 40):
        process = subprocess.Popen(
            command("photos", "look", "--batch-size", "10", "--json"),
            env=env,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 60
        while looks() < goal and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        assert goal <= looks() < 90
    done = subprocess.run(
        command("photos", "look", "--batch-size", "10", "--json"),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tried = counter.read_bytes().split(b"\0")[:-1]
    assert len(set(tried)) == 90
    assert len(tried) - 90 <= 2 * 30, "each kill costs three batches at most"
    with Library(workspace / "lote.db") as library, Library(tmp_path / "other.db") as other:
        other.scan(tree)
        look(other, tree, 10)
        assert rows(library, "photo_looks", "batch_id") == rows(other, "photo_looks", "batch_id")
        assert [row["number"] for row in rows(library, "photo_look_batches")] == list(range(1, 10))
        assert {row["state"] for row in rows(library, "photo_look_batches")} == {"taken"}


def test_a_copy_is_looked_at_where_the_first_cannot_be_read(tmp_path: Path) -> None:
    tree = library_of(tmp_path / "tree", 3)
    shutil.copytree(tree / "0", tree / "copies")
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        (tree / "0" / "IMG_0000.jpg").unlink()
        (tree / "1" / "IMG_0001.jpg").unlink()
        (tree / "1" / "IMG_0001.jpg").symlink_to(tree / "copies" / "IMG_0000.jpg")
        shot(tree / "2" / "IMG_0002.jpg", 50, **SMALL)
        _, stats = look(library, tree)
        assert (stats.looked, stats.gone, stats.errors) == (1, 1, 2)
        assert of(library, tree / "copies" / "IMG_0000.jpg")["width"] == 240
        kinds = {path: kind for path, _, kind in library.errors()}
        assert kinds == {
            str(tree / "1" / "IMG_0001.jpg"): "not a file",  # a link is not followed
            str(tree / "2" / "IMG_0002.jpg"): "changed",
        }
        library.scan(tree, allow_missing=True)
        assert look(library, tree)[1].looked == 1
        assert library.errors() == []


# What is in files


def test_pictures_are_upright_and_measured_whole(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    pixels = scene(3, 1200, 800)
    upright = tree / "upright.jpg"
    write(upright, jpeg(pixels))
    turns = {
        3: 2,
        6: 1,
        8: 3,
    }  # what was stored turned so many quarters to the left is shown upright by these
    for orientation, quarters in turns.items():
        stored = np.ascontiguousarray(np.rot90(pixels, quarters))
        write(tree / f"exif{orientation}.jpg", jpeg(stored, exif=exif(orientation=orientation)))
        Image.fromarray(stored).save(tree / f"png{orientation}.png", exif=exif(orientation=orientation))
        Image.fromarray(stored).save(tree / f"tiff{orientation}.tif", exif=exif(orientation=orientation))
    picture = Image.fromarray(pixels)
    picture.save(tree / "a.webp", quality=80)
    picture.save(tree / "a.avif", quality=80)
    picture.save(tree / "a.jp2")
    picture.save(tree / "a.bmp")
    picture.quantize(200).save(tree / "a.gif")
    picture.convert("CMYK").save(tree / "cmyk.jpg", quality=90)
    picture.convert("L").save(tree / "gray.jpg", quality=90)
    picture.convert("RGBA").save(tree / "alpha.png")
    deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(tree / "deep.png")
    write(tree / "raw.dng", dng(jpeg(np.rot90(pixels)), orientation=6))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        _, stats = look(library, tree)
        assert (stats.looked, stats.errors, stats.no_pixels, stats.damaged) == (
            len(list(tree.iterdir())),
            0,
            0,
            0,
        )
        expected = of(library, upright)
        for path in sorted(tree.iterdir()):
            found = of(library, path)
            assert (found["width"], found["height"]) == (1200, 800), path.name
            apart = (found["phash"] ^ expected["phash"]) & (2**64 - 1)
            assert apart.bit_count() <= 8, path.name


def test_what_nothing_reads_has_no_pixels_and_is_tried_with_other_readers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = library_of(tmp_path / "tree", 2)
    write(tree / "a.jxl", b"\xff\x0a" + bytes(range(200)))
    write(tree / "clip.mp4", b"\0\0\0\x18ftypmp42" + bytes(300))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree, videos=True)
        _, stats = look(library, tree)
        assert (stats.looked, stats.no_pixels, stats.errors) == (2, 1, 0)
        assert stats.lacking == {"pillow-jxl-plugin": 1}
        assert library.errors() == []
        assert look(library, tree)[1].done == 0
        readers = decoding.readers()
        monkeypatch.setattr(decoding, "readers", lambda: readers | {"OpenCV": "99"})
        assert look(library, tree)[1].no_pixels == 1


def test_a_new_version_of_the_stage_looks_again(tmp_path: Path) -> None:
    tree = library_of(tmp_path / "tree", 4)
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree)
        with library.database.write() as connection:
            connection.exec_driver_sql("UPDATE photo_looks SET version = 0 WHERE phash % 2 = 0")
            changed = connection.exec_driver_sql(
                "SELECT count(*) FROM photo_looks WHERE version = 0"
            ).scalar_one()
        assert look(library, tree)[1].looked == changed
        assert {row["version"] for row in rows(library)} == {LOOKS_VERSION}


def test_a_version_that_tells_more_of_some_formats_looks_at_these_again(tmp_path: Path) -> None:
    tree = library_of(tmp_path / "tree", 3)
    for kind in ("bmp", "tif"):
        Image.fromarray(scene(50, 200, 150)).save(tree / f"scan.{kind}")
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        assert look(library, tree)[1].looked == 5
        with library.database.write() as connection:
            connection.exec_driver_sql("UPDATE photo_looks SET version = 1")
        assert look(library, tree)[1].looked == 2
        assert look(library, tree)[1].done == 0


# Damage


def test_damaged_photos_are_found_and_whole_ones_are_not_called_damaged(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    rng = np.random.default_rng(5)
    number = 0
    for number in range(16):
        options = [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}][number % 4]
        content = jpeg(scene(number, 640, 480), 85 + number % 10, **options)
        write(tree / "whole" / f"{number:02d}.jpg", content)
        for name, damage in DAMAGES.items():
            if name == "gray" and "progressive" in options:
                continue  # what is lost of those is not gray, but blurred
            write(tree / "damaged" / name / f"{number:02d}.jpg", damage(content, rng))
    write(tree / "whole" / "padded.jpg", jpeg(scene(1, 640, 480))[:-2] + bytes(40) + b"\xff\xd9")
    gray = np.full((480, 640, 3), 128, np.uint8)
    gray[:240, 100:500] = scene(2, 400, 240)
    write(tree / "whole" / "studio.jpg", jpeg(gray))  # a gray that was there
    png = io.BytesIO()
    Image.fromarray(scene(40, 640, 480)).save(png, "PNG")
    write(tree / "whole" / "a.png", png.getvalue())
    write(tree / "damaged" / "png" / "00.png", holed(png.getvalue(), rng))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree)
        states = {
            path: row["damaged"]
            for row in rows(library)
            for path, digest in library.hashes().items()
            if digest == row["hash"]
        }
        called = {path: kind for path, kind in states.items() if kind and "/whole/" in path}
        missed = [path for path, kind in states.items() if not kind and "/damaged/" in path]
        assert called == {}
        assert missed == []
        assert {states[str(tree / "damaged" / name / "00.jpg")] for name in ("cut", "zeros", "gray")} == {
            "cut off",
            "tail of zeros",
            "gray tail",
        }
    listed = lote(
        "photos",
        "errors",
        "--damaged",
        "--database",
        tmp_path / "photos.db",
        "--json",
        workspace=tmp_path / "w",
    )
    assert {event["path"] for event in listed.events[:-1]} == {
        str(path) for path in (tree / "damaged").rglob("*.*")
    }


def noisy(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """As a sensor sees it."""
    rng = np.random.default_rng(number)
    seen = scene(number, width, height) + rng.normal(0, 3, (height, width, 3))
    return np.asarray(np.clip(seen, 0, 255), np.uint8)


def stored(pixels: NDArray[np.uint8], kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def at_a_page(pixels: NDArray[np.uint8]) -> bytes:
    """A TIFF whose pixels begin where a block of a disk does, so that rows may, too."""
    height, width, samples = pixels.shape
    entries = [
        (256, width), (257, height), (258, 8), (259, 1), (262, 2), (273, 4096), (277, samples), (278, height),
        (279, pixels.nbytes),
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    return head + bytes(4096 - len(head)) + pixels.tobytes()


def test_blocks_that_were_never_written_are_found_where_nothing_is_compressed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(6):
        for kind in ("BMP", "TIFF"):
            content = stored(noisy(number, 700, 500), kind)
            at = 4096 * (40 + 7 * number)
            lost = {"zeros": bytes(8192), "worn": b"\xff" * 4096}
            for name, block in lost.items():
                damaged = content[:at] + block + content[at + len(block) :]
                write(tree / name / f"{number}.{kind.lower()}", damaged)
            # A black pixel of the picture beside it, which makes the run of zeros begin and end elsewhere.
            beside = content[: at - 3] + bytes(4096 + 6) + content[at + 4096 + 3 :]
            write(tree / "beside" / f"{number}.{kind.lower()}", beside)
            write(tree / "tail" / f"{number}.{kind.lower()}", content[:at] + bytes(len(content) - at))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        look(library, tree)
        told = {path.relative_to(tree): of(library, path)["damaged"] for path in tree.rglob("*.*")}
    assert {str(path) for path, kind in told.items() if path.parts[0] != "tail" and kind != "holes"} == set()
    assert {kind for path, kind in told.items() if path.parts[0] == "tail"} <= {"tail of zeros", "cut off"}


def test_black_and_flat_areas_are_no_holes(tmp_path: Path) -> None:
    """Also where rows have as many bytes as a block of a disk, and begin where one does."""
    tree = tmp_path / "tree"
    pictures = []
    for number, width in enumerate((1024, 700, 4096, 683)):
        photo = noisy(number, width, 360)
        bars, border, marked, dark, lined = (photo.copy() for _ in range(5))
        bars[:60] = bars[-60:] = 0
        border[:, : width // 5] = border[:, -width // 5 :] = 0
        marked[100:140, width // 4 : width * 3 // 4] = 0
        dark = np.asarray(np.clip(photo.astype(int) - 120, 0, 255), np.uint8)
        lined[::9] = 0
        chart = np.full_like(photo, 255)
        for part in range(12):
            chart[part * 20 : part * 20 + 90, part * width // 12 : (part + 1) * width // 12] = part * 23
        pictures += [photo, bars, border, marked, dark, lined, chart, np.zeros_like(photo)]
    for number, picture in enumerate(pictures):
        write(tree / f"{number}.bmp", stored(picture, "BMP"))
        write(tree / f"{number}.tif", stored(picture, "TIFF"))
        write(tree / f"{number}-page.tif", at_a_page(picture))
    with Library(tmp_path / "photos.db") as library:
        library.scan(tree)
        stats = look(library, tree)[1]
        assert stats.looked > 80
        assert {path.name for path in tree.iterdir() if of(library, path)["damaged"]} == set()


# As commands


def test_look_is_a_job_that_pauses_goes_on_and_is_cancelled(tmp_path: Path) -> None:
    tree, workspace = library_of(tmp_path / "tree", 20), tmp_path / "workspace"
    gate = tmp_path / "gate"  # what comes after the first is not looked at before it is open
    body = f"while b'_0000' not in path and not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    folder = patched(tmp_path, body)
    env = {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}

    def run(*words: str | Path, **more: str) -> Any:
        return lote(*words, workspace=workspace, **more)

    assert run("photos", "look").code == 2
    assert "scan" in run("photos", "look", tree).err
    assert run("photos", "scan", tree).code == 0
    process = subprocess.Popen(
        command("photos", "look", tree, "--batch-size", "5", "--json"),
        env=environment(workspace) | env,
        stdout=subprocess.PIPE,
        text=True,
    )

    def state() -> str:
        return str(run("status", "--json").summary["state"])

    def wait_for(wanted: str) -> None:
        until = time.monotonic() + 60
        while state() != wanted:
            assert time.monotonic() < until, f"never {wanted}"

    wait_for("running")
    assert "pauses" in run("pause").out
    wait_for("paused")
    assert run("photos", "look", "--no-wait").code == 11
    assert "looked at" in run("status").out
    run("resume")
    wait_for("running")
    assert "is cancelled" in run("cancel").out
    assert process.wait(60) == 4
    gate.touch()
    assert run("photos", "look", "--quiet").code == 0
    assert process.stdout is not None
    with process.stdout:
        assert '"cancelled"' in process.stdout.read().splitlines()[-1]
    listed = run("photos", "batches", "--json").events
    batches = [event for event in listed if event["event"] == "look_batch"]
    assert sum(event["photos"] for event in batches) == 20
    assert "without pixels" in run("photos", "batches").out


def test_a_scan_may_look_too_and_forgetting_takes_pictures_along(tmp_path: Path) -> None:
    tree, workspace = library_of(tmp_path / "tree", 6), tmp_path / "workspace"
    write(tree / "0" / "bad.jpg", jpeg(scene(9, 64, 64))[:100] + bytes(200))
    done = lote("photos", "scan", tree, "--look", "--json", workspace=workspace)
    assert done.code == 0
    assert (done.summary["looked"], done.summary["pixel_errors"]) == (6, 0)
    assert lote("photos", "stats", "--json", workspace=workspace).summary["damaged"] == 1
    with closing(sqlite3.connect(workspace / "previews.db")) as connection:
        (content,) = connection.execute("SELECT jpeg FROM preview LIMIT 1").fetchone()
    assert lote("photos", "forget", tree, "--yes", workspace=workspace).code == 0
    with Library(workspace / "lote.db") as library:
        assert rows(library) == []
    assert not any(content in path.read_bytes() for path in workspace.glob("previews.db*"))


def test_drawn_photos_are_what_they_say(tmp_path: Path) -> None:
    assert resized(scene(1, 300, 200), 150, 100).shape == cropped(scene(1, 150, 100), 0).shape
