"""`lote recolor JOB --learn`: what a person said of one page is known to the others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from command import command, environment, lote

PURPLE = (120, 40, 160)


def scene(path: Path, *, color: bool = False, shift: int = 0, balloon: bool = True) -> Path:
    """A house and a balloon, in ink or painted; the references show no balloon."""
    image = Image.new("RGB", (500, 600), (150, 200, 240) if color else "white")
    draw = ImageDraw.Draw(image)
    roof, wall = ((200, 40, 50), (240, 220, 160)) if color else ("white", "white")
    draw.rectangle((100, 350, 300, 550), fill=wall, outline="black", width=5)
    draw.polygon([(70, 350), (200, 220), (330, 350)], fill=roof, outline="black", width=5)
    if balloon:
        x, y = 340 - shift, 60 + shift
        draw.line((x + 55, y + 130, x + 55, y + 190), fill="black", width=4)
        draw.ellipse((x, y, x + 110, y + 130), fill="white", outline="black", width=5)
        draw.arc((x + 20, y + 15, x + 90, y + 80), 180, 270, fill="black", width=4)
    draw.rectangle((2, 2, 497, 597), outline="black", width=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def balloon_of(path: Path, shift: int) -> tuple[int, ...]:
    with Image.open(path) as image:
        return tuple(int(v) for v in np.asarray(image.convert("RGB"))[60 + shift + 90, 340 - shift + 55])


def test_other_pages_learn_what_a_hint_said_and_approved_ones_stay(tmp_path: Path) -> None:
    scene(tmp_path / "in" / "0.png", color=True, balloon=False)
    for number, shift in ((1, 0), (2, 30)):
        scene(tmp_path / "in" / f"{number}.png", shift=shift)
    hints = {"points": [{"x": 395, "y": 150, "color": "#7828a0"}]}
    (tmp_path / "in" / "1.hints.json").write_text(json.dumps(hints))
    ask = ("colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "flats", "--style", "line")
    assert lote(*ask, workspace=tmp_path / "ws").code == 0
    assert balloon_of(tmp_path / "out" / "1.png", 0) == PURPLE
    assert balloon_of(tmp_path / "out" / "2.png", 30) != PURPLE
    lote("approve", "1", "1.png", workspace=tmp_path / "ws")
    approved = (tmp_path / "out" / "1.png").stat()
    learned = lote("recolor", "1", "--learn", "--json", workspace=tmp_path / "ws")
    assert learned.code == 0, learned.err
    assert learned.summary["reused"] == 1
    assert balloon_of(tmp_path / "out" / "2.png", 30) == PURPLE
    assert (tmp_path / "out" / "1.png").stat().st_mtime_ns == approved.st_mtime_ns
    again = lote(*ask, "--json", workspace=tmp_path / "ws")
    assert again.summary["reused"] == 2, "what was learned is part of every page, and stays as it is"


def pages_done(database: Path) -> int:
    with closing(sqlite3.connect(database, timeout=60.0)) as ledger:
        return int(ledger.execute("SELECT count(*) FROM event WHERE kind = 'page'").fetchone()[0])


def test_a_wish_that_was_killed_is_one_and_goes_on(tmp_path: Path) -> None:
    """Given again, it learned from what its first part had done, and the archive came out another."""
    here, begun = tmp_path / "here", tmp_path / "begun"
    scene(here / "in" / "0.png", color=True, balloon=False)
    for number in range(1, 5):
        scene(here / "in" / f"{number}.png", shift=10 * number)
    hints = {"points": [{"x": 385, "y": 160, "color": "#7828a0"}]}
    (here / "in" / "1.hints.json").write_text(json.dumps(hints))
    workspace = here / "ws"
    ask = (
        "colorize",
        here / "in",
        "-o",
        here / "book.cbz",
        "--backend",
        "flats",
        "--style",
        "line",
        "--workers",
        "1",
    )
    assert lote(*ask, workspace=workspace, SOURCE_DATE_EPOCH="1600000000").code == 0
    shutil.copytree(here, begun)
    learn = ("recolor", "1", "--learn", "--json")
    whole = lote(*learn, workspace=workspace, SOURCE_DATE_EPOCH="1600000000")
    assert whole.code == 0, whole.err
    archive, learned = (
        (here / "book.cbz").read_bytes(),
        [path.name for path in (workspace / "memory").iterdir()],
    )
    shutil.rmtree(here)
    begun.rename(here)
    before = pages_done(workspace / "lote.db")
    killed = subprocess.Popen(
        command(*learn), env=environment(workspace), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    with killed:
        until = time.monotonic() + 120.0
        while pages_done(workspace / "lote.db") < before + 1:
            assert killed.poll() is None, "it has ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
    assert [path.name for path in (workspace / "memory").iterdir()] == learned
    again = lote(*learn, workspace=workspace, SOURCE_DATE_EPOCH="1600000000")
    assert again.code == 0, again.err
    assert again.summary["reused"] >= 1
    assert [path.name for path in (workspace / "memory").iterdir()] == learned
    assert (here / "book.cbz").read_bytes() == archive
    anew = lote(*learn, workspace=workspace)  # that wish has come to its end: this is another
    assert anew.code == 0, anew.err
    assert [path.name for path in (workspace / "memory").iterdir()] != learned


def test_what_cannot_learn_says_so(tmp_path: Path) -> None:
    scene(tmp_path / "in" / "1.png")
    args = ("-o", tmp_path / "out", "--backend", "noop")
    assert lote("colorize", tmp_path / "in", *args, workspace=tmp_path / "ws").code == 0
    assert "give --palette FILE, --learn, or both" in lote("recolor", "1", workspace=tmp_path / "ws").err
    done = lote("recolor", "1", "--learn", workspace=tmp_path / "ws")
    assert done.code == 2
    assert "The backend noop learns nothing from pages" in done.err
    assert lote("colorize", tmp_path / "in", *args, workspace=tmp_path / "ws").code == 0


def test_references_teach_the_same_to_one_worker_and_to_two(tmp_path: Path) -> None:
    for number in range(3):
        scene(tmp_path / "cast" / f"{number}.png", color=True, shift=9 * number)
    scene(tmp_path / "in" / "1.png")
    made = []
    for workers in ("1", "2"):
        workspace, output = tmp_path / f"ws{workers}", tmp_path / f"out{workers}"
        ask = ("colorize", tmp_path / "in", "-o", output, "--backend", "flats", "--workers", workers)
        done = lote(*ask, "--references", tmp_path / "cast", workspace=workspace)
        assert done.code == 0, done.err
        (artefact,) = (workspace / "cache" / "references").iterdir()
        made.append((artefact.name, artefact.read_bytes(), (output / "1.png").read_bytes()))
        assert not (workspace / "jobs" / "1" / "learning").exists()
    assert made[0] == made[1]
