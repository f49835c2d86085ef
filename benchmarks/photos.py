"""What a photo scan costs, beside `openssl speed`, `find`, and the duplicate finders that are installed.

    python benchmarks/photos.py [--folder DIR] [--million] [--only NAME ...]

Makes its own trees below DIR (default: a temporary folder), and removes them. Prints one table: each
measure as a ratio from this run, what must be reached, and what is aimed at. Rates are the best of several
rounds in which the two sides take turns, so that other work on the machine hits both. `--million` adds
the rows that need a million files (4 GB of disk, some minutes).
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import sqlalchemy as sa
from PIL import Image

from batch_processing.photos import hashing, ingest, reading
from batch_processing.photos.people import models
from batch_processing.photos.people.face import CORE_SCORE
from batch_processing.photos.pixels import fingerprints, similar
from batch_processing.photos.pixels.look import Look
from batch_processing.photos.pixels.looking import LookAt, luma_of
from batch_processing.photos.pixels.search import near_between, near_pairs
from batch_processing.photos.store import Store, open_database
from batch_processing.photos.walk import Walk

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import drawn_faces  # type: ignore[import-not-found]
import drawn_photos as drawn  # type: ignore[import-not-found]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ROUNDS = 6
RACY_S = 2.1  # files younger than this are read again, see docs/photos.md


@dataclass
class Row:
    """One line of the table. `better` says which way the figure should go."""

    name: str
    value: float
    must: float
    aim: float
    better: str = "more"
    unit: str = ""
    note: str = ""

    def verdict(self) -> str:
        def reached(limit: float) -> bool:
            return self.value >= limit if self.better == "more" else self.value <= limit

        return "aim" if reached(self.aim) else "must" if reached(self.must) else "MISSED"


def make(tree: Path, count: int, size: int, each: int = 200) -> Path:
    """`count` files of `size` bytes, all different, `each` in a folder."""
    noise = random.Random(1).randbytes(size)
    for number in range(count):
        folder = tree / f"{number // each:05d}"
        if number % each == 0:
            folder.mkdir(parents=True)
        descriptor = os.open(folder / f"IMG_{number % each:05d}.jpg", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, (b"%016d" % number + noise)[:size])
        os.close(descriptor)
    os.sync()  # else the disk writes them while scans wait for it to commit
    return tree


def openssl() -> float:
    """SHA-256 of all cores, bytes a second."""
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "-multi", str(CORES), "-bytes", "65536", "-evp", "sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"^sha256\s+([\d.]+)k", done.stdout, re.MULTILINE | re.IGNORECASE)
    assert match is not None, done.stdout
    return float(match[1]) * 1000


def find(tree: Path) -> float:
    """Seconds of `find`, writing size and time of every file."""
    began = time.perf_counter()
    subprocess.run(
        ["find", tree, "-size", "+0", "-printf", "%p %s %T@\n"], stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


def scan(tree: Path, database: Path) -> dict[str, Any]:
    """One scan in a process of its own: statistics, seconds, and when how many files were done."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(tree), str(database)], capture_output=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def child(tree: str, database: str, counter: str | None = None) -> None:
    """Scan, in the process that is measured. `counter`: a file that counts the photos read."""
    if counter is not None:
        _count_reads(counter)
    opened = open_database(database)
    gc.freeze()  # as the command does
    work = ingest.Scan(Store(opened), [os.fsencode(tree)])
    began = time.perf_counter()
    times = [time.perf_counter() - began for _ in work.run()]
    seconds = time.perf_counter() - began
    opened.close()
    print(json.dumps({"seconds": seconds, "times": times, **work.stats.to_dict()}))


def _count_reads(counter: str) -> None:
    real = reading.hash_file
    file = Path(counter).open("r+b")  # noqa: SIM115 - as long as the process
    shared = mmap.mmap(file.fileno(), 8)

    def counted(*arguments: Any) -> Any:
        result = real(*arguments)
        shared[:8] = (int.from_bytes(shared[:8], "little") + 1).to_bytes(8, "little")
        return result

    reading.hash_file = counted  # type: ignore[assignment]
    hashing.ALONE_S = float("inf")  # in this process, where they are counted


def read_alone(tree: Path) -> float:
    """Seconds of reading and hashing in one process for each core, with nothing else: no walk, no database."""
    paths = [os.fsencode(path) for path in sorted(tree.glob("*/*"))]
    began = time.perf_counter()
    children = []
    for core in range(CORES):
        if not (child := os.fork()):
            reading.answers(paths[core::CORES], reading.new_buffer(), lambda: False)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return time.perf_counter() - began


def fresh(folder: Path) -> Path:
    path = folder / "bench.db"
    for leftover in folder.glob("bench.db*"):
        leftover.unlink()
    return path


def hash_stage(folder: Path) -> list[Row]:
    """Over 6 GB each: starting and ending a scan takes 50 ms, which are not the hash stage's."""
    rows = []
    for label, size, count, must, aim in (
        ("2 MB", 2_000_000, 3000, 0.85, 0.95),
        ("300 KB", 300_000, 20_000, 0.70, 0.85),
        ("100 KB", 100_000, 60_000, 0.55, 0.75),
    ):
        tree = make(folder / "tree", count, size)
        speeds, bare, ours = [], [], []
        for _ in range(ROUNDS):
            speeds.append(openssl())
            bare.append(count * size / read_alone(tree))
            result = scan(tree, fresh(folder))
            ours.append(result["bytes_read"] / result["seconds"])
        note = f"{max(ours) / 1e9:.2f} of {max(speeds) / 1e9:.2f} GB/s; reading alone {max(bare) / max(speeds):.2f}"
        rows.append(
            Row(f"hash stage, files of {label}, of openssl", max(ours) / max(speeds), must, aim, note=note)
        )
        if size == 2_000_000:
            peers(tree, count * size)
        if hasattr(os, "posix_fadvise"):
            from_disk(tree, count * size, label, folder)
        shutil.rmtree(tree)
    return rows


def evict(tree: Path) -> None:
    """Take the files out of the page cache."""
    for path in tree.glob("*/*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def from_disk(tree: Path, size: int, label: str, folder: Path) -> None:
    """A scan of files that are not in the page cache, beside `cat` by many."""
    evict(tree)
    ours = scan(tree, fresh(folder))["seconds"]
    evict(tree)
    began = time.perf_counter()
    subprocess.run(
        ["sh", "-c", f"find {tree} -type f -print0 | xargs -0 -P8 -n 50 cat >/dev/null"], check=True
    )
    cat = time.perf_counter() - began
    print(
        f"from the disk, {label}: {size / ours / 1e9:.2f} GB/s; 8 processes of cat {size / cat / 1e9:.2f} GB/s"
    )


def peers(tree: Path, size: int) -> None:
    """Other programs over the same tree; they skip files of unique size, or do not."""
    for name, command in {
        "openssl dgst": f"find {tree} -type f -print0 | xargs -0 -P{CORES} -n 50 openssl dgst -sha256",
        "hashdeep": f"hashdeep -c sha256 -r -j{CORES} {tree}",
        "fdupes": f"fdupes -rq {tree}",
        "rdfind": f"rdfind -dryrun true -outputname /dev/null {tree}",
        "jdupes": f"jdupes -rq {tree}",
    }.items():
        if shutil.which(command.split()[0]) is None:
            print(f"{name}: not installed")
            continue
        began = time.perf_counter()
        subprocess.run(
            ["sh", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        seconds = time.perf_counter() - began
        print(f"{name}: {seconds:.2f} s, {size / seconds / 1e9:.2f} GB/s")


def walking(folder: Path) -> list[Row]:
    tree = make(folder / "tree", 200_000, 360)
    time.sleep(RACY_S)
    tiny = max(
        result["files_seen"] / result["seconds"]
        for result in (scan(tree, fresh(folder)) for _ in range(ROUNDS))
    )
    finds, walks, rescans, read = [], [], [], 0
    for _ in range(2 * ROUNDS):
        finds.append(find(tree))
        began = time.perf_counter()
        for _items in Walk([os.fsencode(tree)], lambda _: []):
            pass
        walks.append(time.perf_counter() - began)
        result = scan(tree, folder / "bench.db")
        rescans.append(result["seconds"])
        read += result["bytes_read"]
    shutil.rmtree(tree)
    note = f"find takes {min(finds):.2f} s for 200,000 files"
    return [
        Row("walk, of find's time", min(walks) / min(finds), 2.0, 1.5, "less", note=note),
        Row("rescan unchanged, of find's time", min(rescans) / min(finds), 2.5, 1.5, "less"),
        Row("rescan unchanged, bytes read", read, 0, 0, "less"),
        Row("tiny files with database, a second", tiny, 15_000, 30_000),
    ]


def copying(folder: Path) -> list[Row]:
    """50,000 files of one content, against as many that all differ, scanned in the same run."""
    tree, same = make(folder / "tree", 50_000, 360), folder / "same"
    for number in range(50_000):
        path = same / f"{number // 200:05d}" / f"IMG_{number % 200:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"one content" * 30)
    os.sync()
    time.sleep(RACY_S)
    other = min(scan(tree, fresh(folder))["seconds"] for _ in range(ROUNDS))
    equal = min(scan(same, fresh(folder))["seconds"] for _ in range(ROUNDS))
    shutil.rmtree(tree)
    shutil.rmtree(same)
    note = f"{equal:.1f} s; it was 134 s, before copies of many were kept for the scan"
    return [Row("50,000 equal files, of as many that differ", equal / other, 2.5, 1.5, "less", note=note)]


def killing(folder: Path) -> list[Row]:
    """Photos read by a scan that is killed, and not in the database afterwards."""
    tree = make(folder / "tree", 8000, 4000)
    worst = 0
    chance = random.Random(3)
    counter = folder / "counter"
    for _ in range(8):
        database = fresh(folder)
        counter.write_bytes(bytes(8))
        process = subprocess.Popen(
            [sys.executable, __file__, "--child", str(tree), str(database), str(counter)],
            stdout=subprocess.DEVNULL,
        )
        target = chance.randint(500, 6000)
        while int.from_bytes(counter.read_bytes(), "little") < target and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait()
        opened = open_database(database)
        with opened.read() as connection:
            committed = connection.scalar(sa.text("SELECT count(*) FROM photos"))
        opened.close()
        worst = max(worst, int.from_bytes(counter.read_bytes(), "little") - (committed or 0))
    shutil.rmtree(tree)
    return [
        Row("work redone after kill -9, batches", worst / 100, 3, 1, "less", note=f"{worst} photos at most")
    ]


def million(folder: Path) -> list[Row]:
    peaks = {}
    pace = 0.0
    for count in (10_000, 1_000_000):
        tree = make(folder / "tree", count, 40, 1000)
        result = scan(tree, fresh(folder))
        assert result["registered"] == count
        peaks[count] = result["peak_memory"]
        times = result["times"]
        tenth = len(times) // 10
        pace = (times[-1] - times[-tenth - 1]) / (times[tenth - 1])
        print(f"{count} files: {result['seconds']:.1f} s, peak {result['peak_memory'] / 2**20:.1f} MiB")
        shutil.rmtree(tree)
    growth = (peaks[1_000_000] - peaks[10_000]) / 2**20
    return [
        Row("growth of peak memory, 10,000 to 1,000,000 files", growth, 30, 10, "less", " MiB"),
        Row("time per file, last tenth of first, 1,000,000 files", pace, 1.5, 1.2, "less"),
    ]


# One look at the pixels, and similar photos


def decoding(folder: Path) -> list[Row]:
    """CPU time of the stage's work with a photo, in full decodes of the same file by Pillow. The photo shows one face."""
    picture = Image.fromarray(drawn.scene(5000, 3936, 2624))  # 10 megapixels
    drawn_faces.put(picture, 5000, 800, 1900, 1300)
    content = drawn.jpeg(np.asarray(picture), 90)
    path = folder / "photo.jpg"
    path.write_bytes(content)
    status = path.stat()
    work = LookAt(os.fsencode(path), status.st_size, status.st_mtime_ns)
    with_faces = replace(work, faces=models.own()) if models.lacking() is None else None

    def full() -> None:
        with Image.open(path) as image:
            image.load()

    def look() -> None:
        work.run(lambda done, total: None)

    def look_for_faces() -> None:
        assert with_faces is not None
        found = with_faces.run(lambda done, total: None)
        assert isinstance(found, Look)
        assert found.faces is not None
        assert len(found.faces) == 1

    ways = [full, look, look_for_faces] if with_faces is not None else [full, look]
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for each in ways:
            began = time.process_time()
            each()
            best[each] = min(best[each], time.process_time() - began)
    rows = []
    for name, way, must, aim in (("without", look, 1.0, 0.8), ("with", look_for_faces, 2.5, 1.9)):
        if way in best:
            note = f"{best[way] * 1000:.0f} ms a photo of 10 MP"
            label = f"look {name} faces, in full Pillow decodes"
            rows.append(Row(label, best[way] / best[full], must, aim, "less", note=note))
    return rows


def facing(folder: Path) -> list[Row]:
    """Faces found where they were drawn, by their size, and boxes on pictures of things, by the networks."""
    if (text := models.lacking()) is not None:
        print(f"faces: {text}")
        return []
    cv2.setNumThreads(1)
    finder = models.own().finder()
    rng = np.random.default_rng(8000)
    found = core = extra = 0
    count, missed = 300, []
    for number in range(8000, 8000 + count):
        size = float(np.exp(rng.uniform(np.log(28), np.log(420))))
        half = size / drawn_faces.SHARE / 2
        x, y = int(rng.uniform(half, 1024 - half)), int(rng.uniform(min(half, 384), max(768 - half, 385)))
        picture = drawn_faces.portrait(number, [(size, x, y)], 1024, 768)
        faces = finder.faces(np.ascontiguousarray(picture[:, :, ::-1]))
        hits = [
            face
            for face in faces
            if abs((face.x + face.w / 2) * 1024 - x) < size / 3
            and abs((face.y + face.h / 2) * 768 - y) < size / 2
        ]
        found += bool(hits)
        core += any(face.score >= CORE_SCORE for face in hits)
        extra += len(faces) - bool(hits)
        if not hits:
            missed.append(round(size))
    things = things_of(folder)
    boxes = [len(finder.faces(np.ascontiguousarray(picture[:, :, ::-1]))) for picture in things]
    note = f"of {count}; {core / count:.3f} at a score of {CORE_SCORE}; missed at {missed} px; {extra} boxes elsewhere"
    return [
        Row("faces of 28 to 420 px found", found / count, 0.98, 1.0, note=note),
        Row(
            "boxes on 100 pictures of things",
            sum(boxes) / len(things) * 100,
            2,
            1,
            "less",
            note=f"of {len(things)}",
        ),
    ]


def things_of(folder: Path) -> list[drawn.Pixels]:
    """Drawn pictures, and photos of things where `LOTE_SHARED` has some (data/photos)."""
    pictures = [drawn.scene(number, 1024, 683) for number in range(8500, 8560)]
    shared = Path(os.environ.get("LOTE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    for path in sorted((shared / "data" / "photos").rglob("*")):
        is_thing = path.suffix.lower() in {".jpg", ".jpeg", ".png"} and "faces" not in path.parts
        if is_thing and len(pictures) < 100:
            try:
                with Image.open(path) as image:
                    image.thumbnail((1024, 1024))
                    pictures.append(np.asarray(image.convert("RGB")))
            except OSError:
                continue  # ruined, as some are on purpose
    return pictures


def people(folder: Path) -> list[Row]:
    """100,000 faces told apart, 100 more, and what a person does then."""
    place = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, str(Path(__file__).with_name("people.py")), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    shutil.rmtree(place)
    note = f"recall {figures['recall']:.4f}"
    return [
        Row("100,000 faces anew: CPU time", figures["anew"], 180, 90, "less", " s"),
        Row("100,000 faces anew: memory", figures["memory"], 1.5, 0.8, "less", " GiB"),
        Row(
            "100 new faces: CPU time",
            figures["more"],
            0.3,
            0.1,
            "less",
            " s",
            f"none: {figures['nothing']:.2f} s",
        ),
        *(
            Row(f"{name}: CPU time", figures[name], 1.0, 0.2, "less", " s")
            for name in ("name", "merge", "undo")
        ),
        Row("faces told apart: pair precision", figures["precision"], 0.995, 0.998, note=note),
        Row("faces told apart: B-cubed F", figures["b_cubed"], 0.98, 0.99),
    ]


def searching(folder: Path) -> list[Row]:
    """All pairs of a million fingerprints at distance 8, as they are and without their borders, in a process of its own."""
    code = (
        "import sys, time, resource, numpy as np; from batch_processing.photos.pixels import search\n"
        "rng = np.random.default_rng(1); found = rng.integers(0, 2**64, 10**6, dtype=np.uint64)\n"
        "began = time.process_time()\n"
        "pairs = sum(len(left) for left, _ in search.near_pairs(found, 8))\n"
        "first = time.process_time() - began\n"
        "pairs += sum(len(left) for left, _ in search.near_between(found[::-1].copy(), found, 8))\n"
        "print(time.process_time() - began, first, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, first, memory = map(float, done.stdout.split())
    return [
        Row(
            "similar among 1,000,000, distance 8: CPU time",
            seconds,
            120,
            55,
            "less",
            " s",
            f"{first:.0f} s without crops",
        ),
        Row("similar among 1,000,000, distance 8: memory", memory, 2.5, 1.7, "less", " GiB"),
    ]


def recognizing(folder: Path) -> list[Row]:
    """What is found of pictures that no threshold was chosen on, by fingerprint and signature."""

    def signature(pixels: drawn.Pixels) -> Any:
        return fingerprints.as_array(
            fingerprints.signature_of(luma_of(np.ascontiguousarray(pixels[:, :, ::-1])))
        )

    def again(pixels: drawn.Pixels, quality: int) -> drawn.Pixels:
        return np.asarray(Image.open(io.BytesIO(drawn.jpeg(pixels, quality))))

    changes: dict[str, Callable[[drawn.Pixels], drawn.Pixels]] = {
        "again": lambda pixels: again(drawn.resized(pixels, 400, 267), 40),
        "crop": lambda pixels: again(drawn.cropped(pixels, 0.025), 85),
    }
    found = dict.fromkeys(changes, 0)
    count = 200
    for number in range(6000, 6000 + count):
        pixels = drawn.scene(number, 600, 400)
        one = signature(pixels)
        for name, change in changes.items():
            other = signature(change(pixels))
            ways = [(one, other), (one, other)]
            marks = [
                (fingerprints.fingerprints_of(one), fingerprints.fingerprints_of(other)),
                (fingerprints.cropped_fingerprints_of(one), fingerprints.fingerprints_of(other)),
            ]
            near = any(np.bitwise_count(left ^ right)[0] <= similar.DISTANCE for left, right in marks)
            found[name] += near and fingerprints.likeness(*ways[0]).best[0] >= similar.ALIKE
    crowd = np.concatenate([signature(drawn.scene(number, 96, 64)) for number in range(100_000, 104_500)])
    marks_of = fingerprints.fingerprints_of(crowd)
    wrong = 0
    for left, right in near_pairs(marks_of, similar.DISTANCE):
        wrong += int((fingerprints.likeness(crowd[left], crowd[right]).best >= similar.ALIKE).sum())
    for left, right in near_between(fingerprints.cropped_fingerprints_of(crowd), marks_of, similar.DISTANCE):
        other = left != right
        likes = fingerprints.likeness(crowd[left[other]], crowd[right[other]])
        wrong += int((likes.best >= similar.ALIKE).sum())
    pairs = len(crowd) * (len(crowd) - 1) / 2
    return [
        Row("compressed and resized anew: found", found["again"] / count, 0.99, 1.0),
        Row("cropped by 2.5 % a side: found", found["crop"] / count, 0.90, 0.97),
        Row(
            "wrong per 10 million pairs of drawn pictures",
            wrong / pairs * 1e7,
            1,
            0,
            "less",
            note=f"of {pairs:,.0f}",
        ),
    ]


def damaging(folder: Path, whole: int) -> list[Row]:
    """Damage found by decoding, and how many of `whole` whole pictures are called damaged, of pictures that no threshold was
    chosen on."""
    rng = np.random.default_rng(9)

    def judged(content: bytes) -> bool:
        path = folder / "photo.jpg"
        path.write_bytes(content)
        status = path.stat()
        look = LookAt(os.fsencode(path), status.st_size, status.st_mtime_ns).run(lambda done, total: None)
        return not isinstance(look, Look) or look.damaged is not None

    found = dict.fromkeys(drawn.DAMAGES, 0)
    wrong, count = 0, 60
    for number in range(9000, 9000 + count):
        content = drawn.jpeg(drawn.scene(number, 900, 600), 75 + number % 20)
        for name, damage in drawn.DAMAGES.items():
            found[name] += judged(damage(content, rng))
    for number in range(200_000, 200_000 + whole):
        wide = 240 + 60 * (number % 12)
        wrong += judged(drawn.jpeg(drawn.scene(number, wide, wide * 2 // 3), 60 + number % 36))
    rows = [Row(f"damaged photos found: {name}", hits / count, 0.98, 1.0) for name, hits in found.items()]
    return [
        *rows,
        Row(
            "whole photos called damaged, per 10,000", wrong / whole * 1e4, 1, 0, "less", note=f"of {whole:,}"
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where trees are made (default: a temporary folder)")
    parser.add_argument("--million", action="store_true", help="the rows that need a million files")
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        help="hash, walk, copies, kill, decode, faces, people, search, recognize, damage, million",
    )
    parser.add_argument("--whole", type=int, default=500, help="whole pictures of the part `damage`")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "hash": hash_stage, "walk": walking, "copies": copying, "kill": killing, "decode": decoding, "faces": facing,
        "people": people, "search": searching, "recognize": recognizing,
        "damage": lambda folder: damaging(folder, options.whole),
    }  # fmt: skip
    if options.million or "million" in options.only:
        parts["million"] = million
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="lote-bench-") as folder:
        for name, part in parts.items():
            if not options.only or name in options.only:
                rows += part(Path(folder))
    print(f"\n{'measure':<52} {'figure':>12} {'must':>8} {'aim':>8}  reached")
    for row in rows:
        figure = f"{row.value:,.0f}" if row.value >= 1000 or row.value == 0 else f"{row.value:.2f}"
        print(
            f"{row.name:<52} {figure + row.unit:>12} {row.must:>8,g} {row.aim:>8,g}  {row.verdict():<7} {row.note}"
        )
    sys.exit(any(row.verdict() == "MISSED" for row in rows))


if __name__ == "__main__":
    main()
