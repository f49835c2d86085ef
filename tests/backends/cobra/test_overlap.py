"""`--backend cobra` with pages side by side: the same book, byte for byte, and a GPU that waits for nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from backends.cobra.test_backend import colored_reference, drawn_page
from batch_processing.core.ledger import Ledger
from command import lote

PAGES = 5
PATIENCE_S = 120.0

ONE_BY_ONE = """
from batch_processing.comics import application
from batch_processing.core.workers import LocalPool
application.OverlapPool = lambda **options: LocalPool(1, **options)
"""

# A model that is known: each page in a gray of its own. It waits, as a person's eyes would, until the page after it was
# begun; and what is finished waits until the next page is painted. One after the other, both would wait for ever.
PAINTED = """
import os, pathlib, time
from batch_processing.backends.base import Colored
from batch_processing.backends.cobra.backend import CobraBackend, CobraUnderway

log = pathlib.Path(os.environ["EVENTS"])
begin = CobraBackend.begin

def number(underway):
    return int((underway.jobs[0].page.rgb[0, 0, 0] + 1) // 10)  # see `book`

def say(line):
    with log.open("a") as file:
        file.write(line + "\\n")

def wait(progress, *lines):
    while not set(lines) <= set(log.read_text().splitlines()):
        progress(1, 2)
        time.sleep(0.01)

def begun(self, jobs, progress):
    underway = begin(self, jobs, progress)
    say(f"begin {number(underway)}")
    return underway

def paint(self, underway, progress):
    at = number(underway)
    say(f"paint {at}")
    if 1 < at < LAST:
        wait(progress, f"begin {at + 1}")
    if at == STOP:
        wait(progress, "never")

def finish(self, progress):
    at = number(self)
    say(f"finish {at}")
    if at < LAST:
        wait(progress, f"paint {at + 1}")
    return [Colored(job.page.rgb // 2, details={"references": {}}) for job in self.jobs]

CobraBackend.begin, CobraBackend.paint, CobraUnderway.finish = begun, paint, finish
"""


# Memory runs out three times with the second page, and nobody ends the first before.
SHORT = """
import os, pathlib, time
from batch_processing.backends.cobra.backend import CobraUnderway
from batch_processing.backends.cobra.shared import Book

log = pathlib.Path(os.environ["EVENTS"])
color, finish = Book.color, CobraUnderway.finish

def say(line):
    with log.open("a") as file:
        file.write(line + "\\n")

def short(self, pictures, width, worked):
    said = log.read_text().splitlines()
    say("paint")
    if said and said.count("short") < 3:
        say("short")
        raise MemoryError
    bands, offload = self.pipeline.tiled, self.pipeline.offload
    say(f"budget {self.entries.budget}, bands {bands}, offload {offload}")
    return color(self, pictures, width, worked)

def waiting(self, progress):
    while log.read_text().splitlines().count("short") < 3:
        time.sleep(0.01)
    return finish(self, progress)

Book.color, CobraUnderway.finish = short, waiting
"""


@pytest.fixture
def environment(small_model: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "hook").mkdir()
    (tmp_path / "events").touch()
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]),
        "LOTE_COBRA_MODEL": str(small_model),
        "LOTE_COBRA_DEVICE": "cpu",
        "SOURCE_DATE_EPOCH": "1700000000",
        "EVENTS": str(tmp_path / "events"),
    }


def hook(folder: Path, text: str) -> None:
    (folder / "hook" / "sitecustomize.py").write_text(text)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Pages that say their number in the corner."""
    pages, references = tmp_path / "pages", tmp_path / "references"
    pages.mkdir()
    references.mkdir()
    for number in range(1, PAGES + 1):
        rgb = np.array(drawn_page(96, 144, number).rgb)
        rgb[0, 0] = 10 * number
        Image.fromarray(rgb).save(pages / f"{number}.png")
    hint = Image.new("RGBA", (96, 144))
    hint.paste((255, 0, 0, 255), (20, 20, 70, 70))
    hint.save(pages / "2.hints.png")
    colored_reference(references, 0)
    return pages


def words(book: Path, output: Path) -> list[str | Path]:
    return [
        "colorize", book, "-o", output, "--references", book.parent / "references", "--backend", "cobra",
        "--as-lineart", "*.png", "--steps", "2", "--keep-ink", "--layers", "psd",
    ]  # fmt: skip


def files(folder: Path) -> dict[Path, bytes]:
    """The pages and their documents."""
    found = {path.relative_to(folder): path for path in folder.rglob("[1-9].*") if path.suffix != ".json"}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.mark.slow
def test_pages_side_by_side_are_those_of_one_after_the_other(
    environment: dict[str, str], book: Path, tmp_path: Path
) -> None:
    made = []
    for name, text in (("side", ""), ("one", ONE_BY_ONE)):
        hook(tmp_path, text)
        done = lote(*words(book, tmp_path / name), workspace=tmp_path / f"ws {name}", **environment)
        assert done.code == 0, done.err
        made.append(files(tmp_path / name))
    assert len(made[0]) == 2 * PAGES
    assert made[0] == made[1]


def test_the_next_page_is_begun_and_the_last_finished_while_one_is_painted(
    environment: dict[str, str], book: Path, tmp_path: Path
) -> None:
    hook(tmp_path, PAINTED.replace("LAST", str(PAGES)).replace("STOP", "0"))
    done = lote(*words(book, tmp_path / "out"), workspace=tmp_path / "ws", **environment)
    assert done.code == 0, done.err
    for number in range(1, PAGES + 1):
        page = np.asarray(Image.open(tmp_path / "out" / f"{number}.png").convert("RGB"))
        assert page[0, 0].tolist() == [5 * number] * 3
    events = (tmp_path / "events").read_text().splitlines()
    painted = [line for line in events if line.startswith("paint")]
    assert painted == [f"paint {number}" for number in range(1, PAGES + 1)]


def test_memory_that_runs_out_while_another_page_is_finished_costs_no_page(
    environment: dict[str, str], book: Path, tmp_path: Path
) -> None:
    hook(tmp_path, SHORT)
    done = lote(*words(book, tmp_path / "out"), "--json", workspace=tmp_path / "ws", **environment)
    assert (done.code, done.summary["completed"]) == (0, PAGES), done.err
    events = [line for line in (tmp_path / "events").read_text().splitlines() if line.startswith("budget")]
    # Kept from the second page on, for all that follow.
    assert events[1:] == ["budget 0, bands True, offload True"] * (PAGES - 1)
    assert events[0].endswith("bands False, offload False")


def test_a_kill_while_pages_are_side_by_side_costs_these(
    environment: dict[str, str], book: Path, tmp_path: Path
) -> None:
    """Of the whole command: the same one goes on, and no page that was done is done again."""
    hook(tmp_path, PAINTED.replace("LAST", str(PAGES)).replace("STOP", "4"))
    output, workspace = tmp_path / "out", tmp_path / "ws"
    command = [sys.executable, "-m", "batch_processing", *map(str, words(book, output))]
    process = subprocess.Popen(
        [*command, "--workspace", str(workspace)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE_S
    while not (workspace / "lote.db").exists() or done_pages(workspace) != {"1", "2", "3"}:
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=PATIENCE_S)
    before = {name: content for name, content in files(output).items() if name.stem in {"1", "2", "3"}}

    hook(tmp_path, PAINTED.replace("LAST", str(PAGES)).replace("STOP", "0"))
    again = lote(*words(book, output), workspace=workspace, **environment)
    assert again.code == 0, again.err
    events = (tmp_path / "events").read_text().splitlines()
    assert [events.count(f"paint {number}") for number in range(1, PAGES + 1)] == [1, 1, 1, 2, 1]
    after = files(output)
    assert len(after) == 2 * PAGES
    assert before.items() <= after.items()
    assert not list(output.rglob("*.part"))


def done_pages(workspace: Path) -> set[str]:
    ledger = Ledger(workspace / "lote.db")
    try:
        return {Path(item.key).stem for item in ledger.items(1, "completed")}
    finally:
        ledger.close()
