"""Is this version faster than another? CPU seconds of both, in turn, in one run, and whether both make the same.

    git worktree add /tmp/before COMMIT
    python benchmarks/against.py /tmp/before [--only chapter encoder learn page png walk equal list status stats worker] [--rounds 4]

Each version runs in processes of its own. What is compared is the least of some rounds: other work on the machine
only adds to it. `same` says whether the results have the same bytes (of PNG: the same pixels, as files may become
smaller). The pages are those of the sample chapter, in 8 bit; trees are made in a temporary folder. `chapter` is the whole
command that colours it with one worker; `encoder` is what of that the network takes now that says what regions show,
learning included.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
RACY_S = 2.2
CHAPTER, NOW_ALONE = "chapter", "encoder"
"""How the measures are named of a whole command, and of what versions before may not have."""
WALKED, EQUAL = 20_000, 4_000
"""Files of the trees."""
WARM = ("encoder", "learn", "page", "png", "walk", "equal")
"""Measured within a process that is ready; the others are how long processes take to start."""
STARTS = {
    "list": ["-m", "batch_processing", "list"],
    "status": ["-m", "batch_processing", "status", "1"],
    "stats": ["-m", "batch_processing", "photos", "stats"],
    "worker": ["-c", "import batch_processing.core.workers, batch_processing.comics.tasks"],
}


def quiet(done: int, total: int) -> None:
    """Nobody watches."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


class Measured:
    """What a child can do: each gives a digest of its result."""

    def __init__(self, folder: Path) -> None:
        import cv2

        from batch_processing.backends.base import PageSettings, Reference
        from batch_processing.backends.flats import FlatsBackend
        from batch_processing.io.images import decode

        cv2.setNumThreads(1)
        self._folder = folder
        self._own = Path(tempfile.mkdtemp(dir=folder))
        self._backend, self._settings = FlatsBackend(), PageSettings()
        self._references = [Reference(path, path.name) for path in sorted(folder.glob("ref_*.png"))]
        self._page = decode(folder / "page.png")
        self.learn()
        self._backend.load(self._own / "learned.npz")
        self._drawn = self._backend.color(self._page, self._settings, None, quiet).rgb

    def learn(self) -> str:
        artefact = self._own / "learned.npz"
        self._backend.prepare(self._references, artefact, self._settings, quiet)
        return digest(artefact.read_bytes())

    def page(self) -> str:
        made = self._backend.color(self._page, self._settings, None, quiet)
        return digest(made.state + made.rgb.tobytes())

    def encoder(self) -> str:
        from batch_processing.backends.flats import encoder
        from batch_processing.io.images import decode

        pooled, within, began = encoder.pooled, 0.0, time.process_time()

        def counted(*arguments: Any) -> Any:
            nonlocal within
            since = time.process_time()
            shown = pooled(*arguments)
            within += time.process_time() - since
            return shown

        vars(encoder)["pooled"] = counted
        try:
            self.learn()
            for page in sorted((self._folder / "pages").iterdir()):
                self._backend.color(decode(page), self._settings, None, quiet)
        finally:
            vars(encoder)["pooled"] = pooled
        self.not_counted = time.process_time() - began - within
        return ""

    def png(self) -> str:
        from PIL import Image

        from batch_processing.io.images import encode

        buffer = io.BytesIO()
        encode(self._drawn, buffer, "png")
        began = time.process_time()
        with Image.open(buffer) as image:
            pixels = image.tobytes()
        self.not_counted = time.process_time() - began
        return digest(pixels)

    def walk(self) -> str:
        from batch_processing.photos.walk import Walk

        lists = Walk([os.fsencode(self._folder / "walked")], lambda _: [])
        return str(sum(len(found) for found in lists))

    def equal(self) -> str:
        from batch_processing.photos.ingest import Scan
        from batch_processing.photos.store import Store, open_database

        database = self._own / "photos.db"
        database.unlink(missing_ok=True)
        opened = open_database(database)
        for _ in Scan(Store(opened), [os.fsencode(self._folder / "equal")]).run():
            pass
        with opened.read() as connection:
            found = connection.exec_driver_sql(
                "SELECT photo_id, duplicate_of_id FROM duplicates ORDER BY photo_id"
            )
            rows = [tuple(row) for row in found]
        opened.close()
        return digest(repr(rows).encode())

    not_counted = 0.0


def child(folder: Path) -> None:
    """Do what is asked for, line by line; answer with CPU seconds, those of own children included, and a digest."""
    measured = Measured(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        measured.not_counted = 0.0
        began = spent()
        result = getattr(measured, line.strip())()
        print(json.dumps([spent() - began - measured.not_counted, result]), flush=True)


def spent(who: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def make(folder: Path) -> None:
    """The pages and trees that are measured."""
    from PIL import Image

    sys.path.insert(0, str(HERE))
    from examples import sample_chapter

    chapter = sample_chapter.draw_chapter()
    for number, drawing in enumerate([chapter.cover, *chapter.references]):
        Image.fromarray(drawing.truth()).save(folder / f"ref_{number}.png")
    Image.fromarray(chapter.pages[1].line_art()).save(folder / "page.png")
    (folder / "pages").mkdir()
    for drawing in chapter.pages:
        Image.fromarray(drawing.line_art()).save(folder / "pages" / drawing.name)
    chapter.write(folder / "sample.cbz")
    for name, count, content in (("walked", WALKED, None), ("equal", EQUAL, b"one content" * 30)):
        for number in range(count):
            path = folder / name / f"{number // 200:05d}" / f"IMG_{number % 200:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content or b"%016d" % number * 20)
    time.sleep(RACY_S)


def start(source: Path, arguments: list[str], workspace: Path) -> float:
    """CPU seconds of a process from its start to its end. CalledProcessError where it fails."""
    began = spent(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(source), "LOTE_WORKSPACE": str(workspace)}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", *arguments]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return spent(resource.RUSAGE_CHILDREN) - began


def work(source: Path, folder: Path, workspace: Path) -> None:
    """A job of each kind in a version's own workspace, for the commands that look at them."""
    (folder / "book").mkdir(exist_ok=True)
    shutil.copy(folder / "page.png", folder / "book")
    output = str(workspace.with_suffix(".out"))
    comic = ["colorize", str(folder / "book"), "-o", output, "--backend", "noop"]
    for words in (comic, ["photos", "scan", str(folder / "equal" / "00000")]):
        start(source, ["-m", "batch_processing", *words], workspace)


def colorize(source: Path, folder: Path) -> float:
    """CPU seconds of the command that colours the sample chapter, in a new workspace."""
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        book, out = str(folder / "sample.cbz"), str(Path(kept) / "out")
        words = ["-m", "batch_processing", "colorize", book, "-o", out, "--workers", "1"]
        return start(source, words, Path(kept) / "workspace")


def compare(sources: dict[str, Path], folder: Path, names: list[str], rounds: int) -> None:
    children: dict[str, Any] = {}
    for version, source in sources.items():
        if any(name in WARM and (version == "now" or name != NOW_ALONE) for name in names):
            environment = os.environ | {"PYTHONPATH": str(source), "OPENBLAS_NUM_THREADS": "1"}
            children[version] = subprocess.Popen(
                [sys.executable, "-P", __file__, "--child", str(folder)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
    for process in children.values():
        assert process.stdout.readline() == "ready\n"

    if any(name in STARTS for name in names):
        for version, source in sources.items():
            work(source, folder, folder / version)

    def asked(version: str, name: str) -> tuple[float, str]:
        if name == CHAPTER:
            return colorize(sources[version], folder), ""
        if name in STARTS:
            return start(sources[version], STARTS[name], folder / version), ""
        children[version].stdin.write(name + "\n")
        children[version].stdin.flush()
        seconds, result = json.loads(children[version].stdout.readline())
        return seconds, result

    ask: Callable[[str, str], tuple[float, str]] = asked
    print(f"{'measure':<8} {'before s':>9} {'now s':>9} {'ratio':>6}  same")
    for name in names:
        versions = ["now"] if name == NOW_ALONE else list(sources)
        best, results = dict.fromkeys(versions, float("inf")), dict.fromkeys(versions, "")
        for _ in range(rounds):
            for version in versions:
                seconds, results[version] = ask(version, name)
                best[version] = min(best[version], seconds)
        same = "" if not any(results.values()) else "yes" if len(set(results.values())) == 1 else "NO"
        before, ratio = (
            (f"{best['before']:.3f}", f"{best['now'] / best['before']:.2f}") if "before" in best else ("", "")
        )
        print(f"{name:<8} {before:>9} {best['now']:>9.3f} {ratio:>6}  {same}", flush=True)
    for process in children.values():
        process.stdin.close()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path, nargs="?", help="a checkout of the version to compare with")
    names = [CHAPTER, *WARM, *STARTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child)
        return
    if chosen.before is None:
        parser.error("name a checkout of the version to compare with")
    folder = Path(tempfile.mkdtemp(prefix="lote-against-"))
    try:
        make(folder)
        sources = {"before": chosen.before.resolve() / "src", "now": HERE / "src"}
        compare(sources, folder, chosen.only, chosen.rounds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
