"""`--backend cobra` through the whole engine: a worker process, the small networks, files in the end."""

from __future__ import annotations

import os
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backends.cobra.test_backend import colored_reference, drawn_page
from batch_processing.colorize import Comics, submit
from batch_processing.core.coordinator import run_job
from batch_processing.core.ledger import Ledger
from batch_processing.core.workspace import Workspace
from command import lote

PATIENCE_S = 120.0
PAGES = 6

# Only on a GPU do pages share batches. The networks do not mind, so that a CPU can show what becomes of them.
BATCHES_OF_THREE = """
from batch_processing.backends.cobra.backend import CobraBackend
CobraBackend._together = lambda *_: 3
"""


@pytest.fixture
def cobra(small_model: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a command that has the small networks and takes three pages at once."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(BATCHES_OF_THREE)
    path = os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")])
    return {
        "PYTHONPATH": path,
        "LOTE_COBRA_MODEL": str(small_model),
        "LOTE_COBRA_DEVICE": "cpu",
        "SOURCE_DATE_EPOCH": "1700000000",
    }


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Pages of which the second is the first with a hint, a reference, and one that cannot be read."""
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(PAGES):
        page = drawn_page(96, 144, max(1, number))
        Image.fromarray(page.rgb).save(pages / f"{number}.png")
    hint = Image.new("RGBA", (96, 144))
    hint.paste((255, 0, 0, 255), (20, 20, 70, 70))
    hint.save(pages / "1.hints.png")
    (tmp_path / "references").mkdir()
    colored_reference(tmp_path / "references", 0)
    (tmp_path / "references" / "broken.png").write_bytes(b"no picture")
    return pages


def arguments(book: Path, output: Path) -> list[str | Path]:
    return [
        "colorize", book, "-o", output, "--references", book.parent / "references", "--backend", "cobra",
        "--as-lineart", "*.png", "--steps", "2", "--keep-ink",
    ]  # fmt: skip


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_page_that_is_redone_gives_the_same_book(cobra: dict[str, str], book: Path, tmp_path: Path) -> None:
    output = tmp_path / "book.cbz"
    whole = lote(*arguments(book, output), workspace=tmp_path / "ws", **cobra)
    assert whole.code == 0, whole.err
    assert "broken.png is left out" in whole.err
    ledger = Ledger(tmp_path / "ws" / "lote.db")
    items = list(ledger.items(1))
    ledger.close()
    assert sorted(item.turn for item in items) == [1, 1, 1, 2, 2, 2]
    before = output.read_bytes()
    check_book(output)

    # The second page of a batch is lost: it comes alone, to a process that knows nothing.
    lost = next(item for item in items if item.place == [1, 3])
    Path(lost.output).unlink()
    output.unlink()
    again = lote(*arguments(book, output), "--json", workspace=tmp_path / "ws", **cobra)
    assert (again.code, again.summary["reused"]) == (0, PAGES - 1), again.err
    assert output.read_bytes() == before


def check_book(output: Path) -> None:
    with zipfile.ZipFile(output) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        plain, hinted = (np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names[:2])
    assert len(names) == PAGES
    assert plain.shape == (144, 96, 3)
    assert not np.array_equal(plain, hinted)
    ink = drawn_page(96, 144, 1).rgb
    assert np.array_equal(plain[ink.max(axis=2) <= 74], ink[ink.max(axis=2) <= 74])


def test_a_model_that_takes_every_worker_down_stops_the_job(
    cobra: dict[str, str], book: Path, tmp_path: Path
) -> None:
    hook = "import os\nCobraBackend.load = lambda *_: os._exit(9)\n"
    (tmp_path / "hook" / "sitecustomize.py").write_text(BATCHES_OF_THREE + hook)
    done = lote(*arguments(book, tmp_path / "out"), workspace=tmp_path / "ws", **cobra)
    assert done.code == 1
    assert (
        "The backend cobra cannot be started: its worker process ended by itself with exit code 9" in done.err
    )


@pytest.mark.slow
def test_a_cancel_acts_at_the_next_step(
    cobra: dict[str, str], book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cobra.items():
        monkeypatch.setenv(name, value)
    workspace = Workspace(tmp_path / "ws")
    config = {"backend": "cobra", "num_inference_steps": 500, "as_lineart": ["*.png"]}
    job = submit(workspace, [book], tmp_path / "out", references=[tmp_path / "references"], config=config)
    shares: list[float] = []

    def watch(_events: object, news: Any) -> None:
        if news.job.state == "running":
            shares.append(news.progress)

    thread = threading.Thread(
        target=run_job, args=(workspace, job.id, Comics(workspace)), kwargs={"on_news": watch}
    )
    thread.start()
    until(lambda: any(0 < share < 2 for share in shares))
    asked = time.monotonic()
    workspace.ledger.want(job.id, "cancel")
    thread.join(PATIENCE_S)
    assert time.monotonic() - asked < 5.0  # a batch of five hundred steps takes longer
    assert workspace.ledger.job(job.id).state == "cancelled"
    counts = workspace.ledger.counts(job.id)
    assert counts["cancelled"] >= 3  # what was in flight, and what waited
    assert counts["completed"] + counts["cancelled"] == PAGES
    assert not list((tmp_path / "out").glob("*.part"))
    workspace.close()
