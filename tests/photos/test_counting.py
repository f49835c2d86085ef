"""Counting photos ahead of their first scan, and what a person sees of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch_processing.photos.counting import CountAhead, Totals
from batch_processing.photos.ingest import ScanStats
from batch_processing.photos.progress import PHOTO_BYTES, first_eta
from command import command, environment
from photos_help import write

FOLDERS, IN_EACH = 200, 100
# Longer than a scan waits before it has its photos counted.
PAUSE_S = 1.3


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 tiny files in 200 folders, all different."""
    root = tmp_path_factory.mktemp("many")
    for folder in range(FOLDERS):
        place = root / f"{folder // 20:02d}" / f"{folder:03d}"
        place.mkdir(parents=True)
        for number in range(IN_EACH):
            (place / f"{number}.jpg").write_bytes(b"%06d" % (folder * IN_EACH + number))
    return root


def counted(*roots: Path, videos: bool = False) -> Totals | None:
    """What a count ends with."""
    count = CountAhead()
    count.start([os.fsencode(root) for root in roots], videos=videos)
    end = time.monotonic() + 60
    try:
        while time.monotonic() < end:
            totals = count.poll()
            if totals is not None and totals.is_final:
                return totals
            time.sleep(0.01)
        return None
    finally:
        count.close()


def test_what_is_counted_is_what_a_scan_sees(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write(photos / "a.jpg", b"12345")
    write(photos / "B.HEIC", b"1234")
    write(photos / "x.jpg" / "in a folder named like a photo.png", b"1")
    write(photos / "library.photoslibrary" / "originals" / "c.jpg", b"123")
    write(photos / os.fsdecode(b"2019 \xff") / "d.jpg", b"12")
    os.link(photos / "a.jpg", photos / "the same.jpg")
    left_alone = {
        "empty.jpg": b"",
        "notes.txt": b"1",
        "._a.jpg": bytes.fromhex("00051607") + bytes(20),
        ".Trash-1000/e.jpg": b"1",
        "@eaDir/f.jpg": b"1",
        "hidden/.nomedia": b"",
        "hidden/g.jpg": b"1",
        "hidden/below/h.jpg": b"1",
        "library.photoslibrary/resources/derivatives/i.jpg": b"1",
    }
    for name, content in left_alone.items():
        write(photos / name, content)
    write(photos / "film.mov", b"1234567")
    (photos / "link.jpg").symlink_to(photos / "a.jpg")
    (photos / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(photos / "pipe.jpg")
    assert counted(photos) == Totals(photos=6, bytes=5 + 4 + 1 + 3 + 2, is_final=True, fraction=1.0)
    assert counted(photos, videos=True) == Totals(photos=7, bytes=22, is_final=True, fraction=1.0)
    scan = subprocess.run(
        command("photos", "scan", photos, "--json", "--no-facts"),
        env=environment(tmp_path / "workspace"), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(scan.stdout.splitlines()[-1])["files_seen"] == 6


def test_a_count_of_several_folders_and_of_none(tmp_path: Path, many: Path) -> None:
    assert counted(many / "00", many / "01") == Totals(4000, 24000, is_final=True, fraction=1.0)
    assert counted(tmp_path / "not there") == Totals(0, 0, is_final=True, fraction=1.0)


def test_the_total_is_estimated_from_the_share_that_is_done() -> None:
    half = Totals(photos=300, bytes=6000, is_final=False, fraction=0.25)
    assert half.is_estimable
    assert (half.total_photos, half.total_bytes) == (1200, 24000)
    assert not Totals(photos=300, bytes=6000, is_final=False, fraction=0.001).is_estimable
    done = Totals(photos=300, bytes=6000, is_final=True, fraction=1.0)
    assert (done.total_photos, done.total_bytes) == (300, 6000)


def test_no_counter_fails_a_scan(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be started, one that is killed, one that has nobody to talk to."""
    count = CountAhead()
    assert count.poll() is None
    before = set(psutil.Process().children())
    count.start([b"/"])
    (child,) = set(psutil.Process().children()) - before
    child.kill()
    end = time.monotonic() + 10
    while child.is_running() and time.monotonic() < end:
        count.poll()
        time.sleep(0.01)
    assert not child.is_running()
    assert count.poll() is None
    count.close()
    count.close()
    another = CountAhead()
    another.start([os.fsencode(many)])
    another.close()
    assert set(psutil.Process().children()) == before
    monkeypatch.setattr(sys, "executable", str(many / "no python"))
    lost = CountAhead()
    lost.start([os.fsencode(many)])
    assert lost.poll() is None
    lost.close()


def is_at_work(process: psutil.Process) -> bool:
    """Also where nobody asks what became of a process without a parent (a container)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_counter_ends_with_a_scan_that_is_killed(tmp_path: Path) -> None:
    """A tree without an end would be counted for ever."""
    code = (
        "import os, sys, time\nfrom batch_processing.photos.counting import CountAhead\n"
        "count = CountAhead(); count.start([b'/'] * 1000); print(count._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    end = time.monotonic() + 20
    while is_at_work(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_at_work(child)


def test_a_first_scan_says_how_much_is_left(many: Path, tmp_path: Path) -> None:
    """With a consumer that is slow twice: then the photos are counted, and the rest of the scan has a total."""
    events: list[dict[str, Any]] = []
    paused = 0
    arguments = command("photos", "scan", many, "--json", "--no-facts", "--batch-size", "20")
    with subprocess.Popen(
        arguments, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as scan:
        assert scan.stdout is not None
        for line in scan.stdout:
            events.append(json.loads(line))
            total = events[-1].get("total_photos")
            if (paused == 0 and len(events) == 20) or (paused == 1 and total is not None):
                time.sleep(PAUSE_S)
                paused += 1
    assert scan.returncode == 0
    *events, summary = events
    assert summary["files_seen"] == FOLDERS * IN_EACH
    assert events[0]["total_photos"] is events[0]["eta_seconds"] is None
    with_total = [event for event in events if event["total_photos"] is not None]
    assert {"batch", "progress"} <= {event["event"] for event in with_total}
    assert all(event["eta_seconds"] >= 0 for event in with_total)
    early = next(event for event in with_total if event["total_is_final"])
    assert early["files_seen"] < FOLDERS * IN_EACH
    assert early["eta_seconds"] > 0
    final = [event for event in with_total if event["total_is_final"]]
    assert {(event["total_photos"], event["total_bytes"]) for event in final} == {(20_000, 120_000)}


def test_a_first_scan_says_it_in_words_and_a_rescan_goes_by_the_last(many: Path, tmp_path: Path) -> None:
    arguments = command("photos", "scan", many, "--no-facts", "--batch-size", "20")
    lines: list[str] = []
    with subprocess.Popen(
        arguments, env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as scan:
        assert scan.stderr is not None
        for line in scan.stderr:
            lines.append(line)
            if len(lines) in (20, 400):
                time.sleep(PAUSE_S)
    assert scan.returncode == 0
    told = re.compile(
        r"batch \d+: 20 photos, [\d,]+ of (about )?[\d,]+ photos  .*  ([\d.:]+|[\d.]+ s) left  .*"
    )
    assert any(told.match(line) for line in lines), lines[:50]
    assert "of 20,000 photos" in lines[-1]
    assert "so far" in lines[0]
    again = subprocess.run(
        [*arguments, "--json"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    events = [json.loads(line) for line in again.stdout.splitlines()]
    assert all(event["total_photos"] is None for event in events[:-1])


def test_time_left_goes_by_bytes_where_photos_are_large() -> None:
    stats = ScanStats(files_seen=100, bytes_read=1_000_000_000, seconds=10.0)
    assert first_eta(1000, 2_000_000_000, stats) == pytest.approx(10.0, rel=0.1)
    assert first_eta(1000, 10_000_000_000, stats) == pytest.approx(90.0, rel=0.1)


def test_time_left_goes_by_number_where_photos_are_small() -> None:
    stats = ScanStats(files_seen=1000, bytes_read=20_000, seconds=10.0)
    assert first_eta(5000, 100_000, stats) == pytest.approx(40.0, rel=0.01)
    assert first_eta(5000, 5 * PHOTO_BYTES, stats) == pytest.approx(40.0, rel=0.01)


def test_time_left_of_a_scan_that_goes_on_counts_what_is_new() -> None:
    """An earlier run has read 8000 of 10,000 photos; this one has seen them in no time, and read 500 more."""
    stats = ScanStats(files_seen=8500, already_processed=8000, bytes_read=500_000_000, seconds=50.0)
    assert first_eta(10_000, 10_000_000_000, stats) == pytest.approx(150.0, rel=0.01)
    assert (
        first_eta(10_000, 10_000_000_000, ScanStats(files_seen=100, already_processed=100, seconds=1.0))
        is None
    )
    assert first_eta(0, 0, ScanStats(seconds=1.0)) is None
