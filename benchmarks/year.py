"""What the commands of every day cost after a year: 1,000 jobs of 24 pages, and a library of a million photos.

    python benchmarks/year.py [--folder DIR] [--jobs N] [--photos N]

A real job and a real scan are made, and their rows multiplied in SQL: a year in a minute. Each command is run as a person
does, several times; its CPU seconds (of all its processes, the best of the rounds) stand beside those of the same command in a
workspace with one job and a hundred photos, so that what is start-up and what grows can be told apart.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import drawn_photos as drawn  # type: ignore[import-not-found]
import pages  # type: ignore[import-not-found]
from batch_processing import colorize_comic
from batch_processing.core.transitions import EVENTS_KEPT, job_key

PAGES, ROUNDS = 24, 3
# CPU seconds that a command may take beyond what it takes in a small workspace.
MUST_S = {
    "list": 0.5,
    "status --pages": 0.5,
    "status": 0.1,
    "photos stats": 2.0,
    "photos batches": 1.0,
    "clean": 1.0,
}


def copied(connection: sqlite3.Connection, table: str, source: str, **values: str) -> None:
    """Insert the rows that `source` selects from `table`, but with these columns as these expressions have them."""
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(values.get(name, f"t.{name}") for name in names)
    connection.execute(f"INSERT INTO {table} SELECT {columns} FROM {table} t, {source}")  # noqa: S608


def multiply(database: Path, jobs: int, photos: int) -> None:
    """Have the ledger hold so many jobs like its first, and the library so many photos like its own."""
    with sqlite3.connect(database) as connection:
        first, last = connection.execute("SELECT 1, max(id) FROM job").fetchone()
        numbers = f"(WITH RECURSIVE n(i) AS (SELECT {last + 1} UNION ALL SELECT i + 1 FROM n WHERE i < {jobs}) SELECT i FROM n) n"  # noqa: S608
        inputs, output = connection.execute("SELECT inputs, output FROM job WHERE id = 1").fetchone()
        connection.create_function("key", 1, lambda i: job_key("comics", [inputs], f"{output}{i}"))
        of_first = f"{numbers} WHERE t.job_id = {first}"
        copied(
            connection,
            "job",
            f"{numbers} WHERE t.id = {first}",
            id="n.i",
            key="key(n.i)",
            output="t.output || n.i",
        )
        copied(connection, "item", of_first, id="NULL", job_id="n.i", output="t.output || n.i")
        copied(connection, "source", of_first, id="NULL", job_id="n.i")
        copied(connection, "event", of_first, id="NULL", job_id="n.i")
        connection.execute("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?", (EVENTS_KEPT,))
        there = connection.execute("SELECT count(*) FROM photos").fetchone()[0]
        times = photos // there
        each = f"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times - 1}) SELECT i FROM n) n"  # noqa: S608
        base = {
            table: connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0] + 1  # noqa: S608
            for table in ("photo_directories", "photos", "photo_batches")
        }
        copied(
            connection, "photo_directories", each, id=f"t.id + n.i * {base['photo_directories']}",
            path="CAST(t.path || n.i AS BLOB)",
        )  # fmt: skip
        copied(
            connection,
            "photo_batches",
            each,
            id=f"t.id + n.i * {base['photo_batches']}",
            number="t.number + n.i * 1000",
        )
        copied(
            connection, "photos", each, id=f"t.id + n.i * {base['photos']}", hash="randomblob(32)",
            directory_id=f"t.directory_id + n.i * {base['photo_directories']}",
            batch_id=f"t.batch_id + n.i * {base['photo_batches']}",
        )  # fmt: skip
        copied(connection, "photo_facts", each, photo_id=f"t.photo_id + n.i * {base['photos']}")
        connection.execute("ANALYZE")


def workspace(root: Path) -> Path:
    """A workspace with one job and a scan of a hundred photos."""
    book = pages.book(root / "pages", PAGES)
    colorize_comic(book, root / "book.cbz", config={"backend": "noop"}, workspace=root / "ws")
    (root / "photos").mkdir()
    for number in range(100):
        (root / "photos" / f"{number}.jpg").write_bytes(drawn.jpeg(drawn.scene(number, 60, 40)))
    lote(root, "photos", "scan", root / "photos", "--quiet")
    return root / "ws" / "lote.db"


def lote(root: Path, *words: str | Path) -> tuple[float, float]:
    """CPU seconds and seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-P", "-m", "batch_processing", *map(str, words)],
        env=os.environ | {"LOTE_WORKSPACE": str(root / "ws")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def measure(small: Path, large: Path, words: Sequence[str]) -> tuple[float, float, float]:
    """Least CPU seconds in a small and in a large workspace, in turns, and the least seconds in the large."""
    rounds = [(lote(small, *words), lote(large, *words)) for _ in range(ROUNDS)]
    return (
        min(one[0] for one, _ in rounds),
        min(other[0] for _, other in rounds),
        min(other[1] for _, other in rounds),
    )


def main() -> int:
    """Print the table; 1 where something takes too long."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, help="where the workspaces are made; a temporary folder if left out"
    )
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--photos", type=int, default=1_000_000)
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        for root in (small, large):
            root.mkdir()
            database = workspace(root)
        multiply(database, options.jobs, options.photos)
        print(f"{options.jobs} jobs, {options.photos} photos: {database.stat().st_size / 1e6:.0f} MB")
        print(f"{'lote ...':<44} {'small':>8} {'large':>8} {'seconds':>8}")
        for line in (
            "list", "list --json", "status", "status --pages", "photos stats", "photos batches",
            "clean --older-than 90d --dry-run",
        ):  # fmt: skip
            few, many, seconds = measure(small, large, line.split())
            limit = next((most for name, most in MUST_S.items() if line.startswith(name)), 1.0)
            late = many - few > limit
            missed += late
            print(
                f"{line:<44} {few:>8.2f} {many:>8.2f} {seconds:>8.2f}{'  MISSED' if late else ''}", flush=True
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
