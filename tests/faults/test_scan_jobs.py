"""A photo scan as a job: seen, paused, resumed and cancelled from other processes, and left in every way there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from command import Run, command, environment, lote
from photos_help import Library, write
from web_server import Server

# Every commit of photos takes this long: else a scan is over before anybody can wish anything of it.
SLOW_S = 0.5
SLOW = f"""
import time
from batch_processing.photos.settle import BatchWriter
settle = BatchWriter.settle
def slowly(*arguments, **options):
    time.sleep({SLOW_S})
    return settle(*arguments, **options)
BatchWriter.settle = slowly
"""
PHOTOS = 300
PATIENCE_S = 60.0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number in range(PHOTOS):
        write(tmp_path / "tree" / f"{number // 40}" / f"{number:04d}.jpg", b"%06d" % number)
    time.sleep(2.1)  # photos as young as this are read again
    return tmp_path / "tree"


@pytest.fixture
def slow(tmp_path: Path) -> dict[str, str]:
    write(tmp_path / "slow" / "sitecustomize.py", SLOW.encode())
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "slow"), *filter(None, sys.path)])}


class Scans:
    """Scans of one tree in one workspace; those that still run are killed in the end."""

    def __init__(self, workspace: Path, tree: Path, slow: dict[str, str]) -> None:
        self.workspace, self.tree, self._slow = workspace, tree, slow
        self._begun: list[subprocess.Popen[str]] = []

    def begin(self, *options: str, quick: bool = False) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command("photos", "scan", self.tree, "--no-facts", "--batch-size", "5", *options),
            env=environment(self.workspace) | ({} if quick else self._slow),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._begun.append(process)
        return process

    def command(self, *words: str | Path) -> Run:
        return lote(*words, workspace=self.workspace)

    def job(self, number: int = 1) -> dict[str, Any]:
        """What `lote status --json` says of it; nothing while there is no such job."""
        told = self.command("status", str(number), "--json")
        return told.summary if told.code == 0 else {}

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The job, once that is true of it."""
        end = time.monotonic() + PATIENCE_S
        while not (job := self.job()) or not true(job):
            assert time.monotonic() < end, job
            time.sleep(0.05)
        return job

    def at_work(self) -> dict[str, Any]:
        return self.until(lambda job: job["state"] == "running" and job["batches"] > 1)

    def recorded(self) -> int:
        with Library(self.workspace / "lote.db") as library:
            return len(library.hashes())

    def end(self) -> None:
        for process in self._begun:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def scans(tmp_path: Path, tree: Path, slow: dict[str, str]) -> Iterator[Scans]:
    scans = Scans(tmp_path / "ws", tree, slow)
    yield scans
    scans.end()


def test_a_scan_is_listed_paused_resumed_and_done(scans: Scans) -> None:
    process = scans.begin("--json")
    seen = scans.at_work()
    assert (seen["inputs"], seen["output"]) == ([str(scans.tree)], str(scans.workspace / "lote.db"))
    (listed,) = scans.command("list", "--json").events
    assert (listed["job"], listed["kind"], listed["state"]) == (1, "photos", "running")
    assert listed["registered"] >= 5
    assert f"{scans.tree} -> " in scans.command("list").out

    assert scans.command("pause").out == "job 1 pauses: lote resume 1 goes on\n"
    asked = time.monotonic()
    scans.until(lambda job: job["state"] == "paused")
    assert time.monotonic() - asked < PATIENCE_S / 2
    kept = scans.recorded()
    time.sleep(3 * SLOW_S)
    assert scans.recorded() == kept < PHOTOS  # nothing goes on
    assert process.poll() is None
    assert "job 1 is paused" in scans.command("status").out

    assert scans.command("resume").out == "job 1 goes on\n"
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    summary = json.loads(out.splitlines()[-1])
    assert (summary["state"], summary["registered"]) == ("done", PHOTOS)
    done = scans.job()
    assert (done["state"], done["files_seen"], done["registered"]) == ("done", PHOTOS, PHOTOS)
    assert (
        scans.command("resume").err
        == "lote: Job 1 is done: scan its folders again with `lote photos scan`.\n"
    )


def test_a_scan_is_cancelled_between_two_batches_and_the_same_command_goes_on(scans: Scans) -> None:
    process = scans.begin("--json")
    scans.at_work()
    told = scans.command("cancel")
    assert told.out == "job 1 is cancelled: what was done is kept, and the same command goes on\n"
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 4
    assert err == "lote: cancelled; what was done is kept. The same command goes on.\n"
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["state"] == "cancelled"
    assert scans.job()["state"] == "cancelled"
    kept = scans.recorded()
    assert 0 < kept < PHOTOS
    assert lines[-1]["registered"] == scans.job()["registered"] == kept
    again = scans.begin("--json", quick=True)
    out, _ = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0
    summary = json.loads(out.splitlines()[-1])
    assert summary["registered"] == PHOTOS - kept
    assert (scans.job()["state"], scans.recorded()) == ("done", PHOTOS)


def test_who_waited_for_a_scan_is_told_how_far_it_was_when_it_was_cancelled(scans: Scans) -> None:
    first = scans.begin("--quiet")
    scans.at_work()
    second = scans.begin("--json", quick=True)
    assert second.stderr is not None
    assert second.stderr.readline().startswith("waiting: the scan of process")
    scans.command("cancel")
    first.communicate(timeout=PATIENCE_S)
    out, _ = second.communicate(timeout=PATIENCE_S)
    told = json.loads(out.splitlines()[-1])
    assert (first.returncode, second.returncode, told["state"]) == (4, 4, "cancelled")
    assert told["registered"] == scans.recorded() > 0
    assert told["batches"] > 1


def test_a_pause_is_no_work(scans: Scans) -> None:
    process = scans.begin("--json")
    scans.at_work()
    scans.command("pause")
    scans.until(lambda job: job["state"] == "paused")
    time.sleep(8)
    scans.command("resume")
    out, _ = process.communicate(timeout=PATIENCE_S)
    lines = [json.loads(line) for line in out.splitlines()]
    summary, batches = lines[-1], [line for line in lines if line["event"] == "batch"]
    assert (summary["state"], summary["registered"]) == ("done", PHOTOS)
    # Each batch has half a second of its own, and shares commits.
    assert max(batch["seconds"] for batch in batches) < 6
    assert summary["seconds"] == pytest.approx(sum(batch["seconds"] for batch in batches), abs=4)
    assert scans.job()["seconds"] == pytest.approx(summary["seconds"], abs=0.1)


def test_more_of_sigterm_breaks_nothing_off(scans: Scans) -> None:
    process = scans.begin("--json")
    scans.at_work()
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["state"] == "stopped"
    assert err == "lote: stopped; what was done is kept. Run the same command again and it goes on.\n"
    assert (scans.job()["state"], scans.job()["registered"]) == ("paused", scans.recorded())


@pytest.mark.parametrize("resumed", [True, False])
def test_a_scan_from_a_batch_on_goes_on_from_there(scans: Scans, resumed: bool) -> None:
    scans.begin(quick=True).communicate(timeout=PATIENCE_S)
    for path in sorted(scans.tree.rglob("*.jpg"))[150:]:
        path.write_bytes(b"other " + path.name.encode())
    process = scans.begin("--from-batch", "41")
    scans.at_work()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    again = ("photos", "scan", scans.tree, "--no-facts", "--json", "--batch-size", "5", "--from-batch", "41")
    told = scans.command(*(("resume", "--json") if resumed else again))
    assert (told.code, told.err) == (0, "")
    assert told.summary["files_seen"] == 100
    other = b"other "
    with Library(scans.workspace / "lote.db") as library:
        known = library.hashes()
    new = {
        path
        for path, digest in known.items()
        if digest == sha256(other + Path(path).name.encode()).hexdigest()
    }
    assert new == {str(path) for path in sorted(scans.tree.rglob("*.jpg"))[200:]}


@pytest.mark.parametrize(
    "where", ["photos.db", "sqlite:///photos.db", "sqlite+pysqlite:///photos.db?timeout=20"]
)
def test_a_database_is_found_again_from_another_folder(tmp_path: Path, where: str) -> None:
    write(tmp_path / "tree" / "1.jpg", b"1")
    here = tmp_path / "here"
    here.mkdir()
    workspace = tmp_path / "ws"
    done = lote("photos", "scan", tmp_path / "tree", "--database", where, workspace=workspace, cwd=here)
    assert done.code == 0, done.err
    (job,) = lote("list", "--json", workspace=workspace).events
    assert str(here / "photos.db") in job["output"]
    stats = lote("photos", "stats", "--json", "--database", job["output"], workspace=workspace, cwd=tmp_path)
    assert stats.summary["photos"] == 1
    assert not (tmp_path / "photos.db").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_pauses_a_scan_and_resume_goes_on(scans: Scans, sent: int) -> None:
    process = scans.begin()
    scans.at_work()
    process.send_signal(sent)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err.endswith("lote: stopped; what was done is kept. Run the same command again and it goes on.\n")
    kept = scans.recorded()
    paused = scans.job()
    assert (paused["state"], paused["registered"]) == ("paused", kept)
    assert "lote resume 1 goes on" in scans.command("status").out
    told = scans.command("resume", "--json")
    assert (told.code, told.summary["state"], told.summary["registered"]) == (0, "done", PHOTOS - kept)
    assert scans.recorded() == PHOTOS


def test_a_killed_scan_reads_interrupted_and_goes_on_in_the_background(scans: Scans) -> None:
    process = scans.begin()
    scans.at_work()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    (listed,) = scans.command("list", "--json").events
    assert listed["state"] == "interrupted"
    assert "job 1 was interrupted" in scans.command("status").out
    assert "lote resume 1 goes on" in scans.command("pause").out
    told = scans.command("resume", "--detach")
    assert "job 1 runs in the background" in told.out
    scans.until(lambda job: job["state"] == "done")
    assert scans.recorded() == PHOTOS


def test_a_killed_scan_is_cancelled_by_whoever_asks(scans: Scans) -> None:
    process = scans.begin()
    scans.at_work()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    scans.command("cancel")
    assert scans.job()["state"] == "cancelled"


def test_two_terminals(scans: Scans) -> None:
    first = scans.begin("--json")
    scans.at_work()
    refused = scans.command("photos", "scan", scans.tree, "--no-wait", "--quiet")
    assert refused.code == 11
    assert refused.err == (
        f"lote: Not waiting, as asked: the scan of process {first.pid} is at work in this workspace. "
        "Start this command again when it has ended.\n"
    )
    second = scans.begin("--quiet", quick=True)
    assert second.stderr is not None
    line = second.stderr.readline()
    assert line == f"waiting: the scan of process {first.pid} is at work in this workspace\n"
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 130
    _, err = second.communicate(timeout=PATIENCE_S)
    assert (second.returncode, err) == (0, "")
    assert scans.recorded() == PHOTOS
    assert [event["job"] for event in scans.command("list", "--json").events] == [1]


def test_a_scan_and_a_comic_run_side_by_side(scans: Scans, tmp_path: Path) -> None:
    scans.begin()
    scans.at_work()
    pages = tmp_path / "pages"
    pages.mkdir()
    done = scans.command("colorize", pages, "-o", tmp_path / "out", "--backend", "noop", "--quiet")
    assert (done.code, scans.job()["state"]) != (11, "done")
    assert scans.job()["state"] == "running"


def test_commands_for_pages_say_that_a_scan_has_none(scans: Scans) -> None:
    scans.begin(quick=True).communicate(timeout=PATIENCE_S)
    for words in (("approve", "1", "a.png"), ("recolor", "1", "--learn"), ("open", "1")):
        told = scans.command(*words)
        assert (told.code, told.err) == (
            1,
            "lote: Job 1 is a scan of photos: this command is for comics; `lote list` shows their numbers.\n",
        )


def test_a_folder_that_never_was_leaves_no_job(scans: Scans, tmp_path: Path) -> None:
    told = scans.command("photos", "scan", tmp_path / "nowhere")
    assert (told.code, scans.command("list", "--json").out) == (1, "")


def test_the_password_of_a_database_is_in_no_ledger() -> None:
    from batch_processing.photos.store import database_name

    for url in ("postgresql://me:secret@host:5432/p", "postgresql://me@host:5432/p?password=secret"):
        assert database_name(url) == "postgresql://me@host:5432/p"


def test_the_page_pauses_resumes_and_cancels_a_scan(tmp_path: Path, tree: Path, slow: dict[str, str]) -> None:
    server = Server(tmp_path, LOTE_BATCH_SIZE="5", **slow)
    scans = Scans(server.workspace, tree, slow)

    def wish(**body: str) -> int:
        data = json.dumps(body).encode()
        return server.ask("/lote/photos/do", method="POST", data=data, X_Lote="1").status

    def shown() -> str:
        parts: dict[str, str] = json.loads(server.ask("/lote/photos").body)["parts"]
        return parts["scan"]

    try:
        assert wish(do="pause") == 400
        assert wish(do="scan", path=str(tree)) == 200
        scans.at_work()
        assert 'data-do="scan-pause"' in shown()
        assert wish(do="scan", path=str(tree)) == 400  # one is at work
        assert wish(do="pause") == 200
        scans.until(lambda job: job["state"] == "paused")
        page = shown()
        assert "batches" in page
        assert 'data-do="scan-resume"' in page
        assert wish(do="resume") == 200
        scans.until(lambda job: job["state"] == "running")
        assert wish(do="cancel") == 200
        scans.until(lambda job: job["state"] == "cancelled")
        assert "data-do" not in shown()
        assert "tree" in json.loads(server.ask("/lote/jobs").body)["parts"]["history"]
    finally:
        server.stop()
