"""Jobs from the outside: what a second terminal sees and can do, previews, approval, upkeep."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command import Run, command, environment, lote
from pages import SLOW, book, line_art

Lote = Callable[..., Run]
PATIENCE_S = 120.0
PAGES = 50


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    return lambda *args, **more: lote(*args, workspace=tmp_path / "ws", **more)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return book(tmp_path / "in")


@contextmanager
def long_job(tmp_path: Path, pages: int = PAGES) -> Iterator[subprocess.Popen[str]]:
    """A job of many pages in a process of its own, well under way."""
    for number in range(pages):
        line_art(tmp_path / "long" / f"{number}.png", number, SLOW)
    process = subprocess.Popen(
        command("colorize", tmp_path / "long", "--backend", "noop", "--as-lineart", "*", "--workers", "1"),
        env=environment(tmp_path / "ws"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: status(tmp_path)["completed"] >= 3, process)
        yield process
    finally:
        process.kill()
        process.communicate()


def status(tmp_path: Path) -> dict[str, Any]:
    """The summary of `lote status`; zeros before the job is there."""
    done = lote("status", "--json", workspace=tmp_path / "ws")
    return done.summary if done.code == 0 else {"completed": 0, "state": "none"}


def done_pages(run: Run) -> list[str]:
    """The pages that a run with `--json` worked on; the order in which workers end is theirs."""
    return sorted(event["page"] for event in run.events if event["event"] == "page")


def check_report_of_cancelled(tmp_path: Path) -> None:
    """The report of the cancelled job shows what was done, and says what was not and how to go on."""
    report = (tmp_path / "long_colorized" / "_lote" / "report.html").read_text()
    told = status(tmp_path)
    assert report.count('class="page coloured"') == told["completed"] >= 3
    assert f"cancelled: {told['cancelled']} pages were not coloured; <code>lote retry 1</code>" in report
    assert (tmp_path / "long_colorized" / "_lote" / "contact_sheet.webp").is_file()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        assert process is None or process.poll() is None, "the job ended too early"
        time.sleep(0.05)


class TestControl:
    def test_pause_resume_and_finish(self, run: Lote, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            assert "pauses" in run("pause").out
            wait_for(lambda: status(tmp_path)["state"] == "paused", process)
            before = status(tmp_path)["completed"]
            time.sleep(0.5)
            assert status(tmp_path)["completed"] == before < PAGES
            assert "goes on" in run("resume").out
            assert process.wait(PATIENCE_S) == 0
        assert status(tmp_path)["completed"] == PAGES

    def test_cancel_keeps_what_is_finished(self, run: Lote, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            assert run("cancel").code == 0
            assert process.wait(PATIENCE_S) == 4
        told = status(tmp_path)
        assert told["state"] == "cancelled"
        assert told["cancelled"] > 0
        outputs = list((tmp_path / "long_colorized").glob("*.png"))
        assert len(outputs) == told["completed"]
        assert not list(tmp_path.rglob("*.part"))
        check_report_of_cancelled(tmp_path)

    def test_a_paused_job_that_is_cancelled_has_a_report_too(self, run: Lote, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
        assert run("cancel").code == 0
        assert status(tmp_path)["state"] == "cancelled"
        check_report_of_cancelled(tmp_path)

    def test_ctrl_c_pauses_and_the_same_command_goes_on(self, run: Lote, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 130
            assert "lote resume 1" in err
        assert status(tmp_path)["state"] == "paused"
        done = run("resume", "1")
        assert done.code == 0, done.err
        assert status(tmp_path)["completed"] == PAGES

    def test_a_killed_job_is_interrupted_and_resumed(self, run: Lote, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            process.kill()
            process.wait()
            told = status(tmp_path)
            assert told["state"] == "interrupted"
        assert "interrupted" in run("list").out
        assert run("resume").code == 0
        assert status(tmp_path)["completed"] == PAGES
        assert not list(tmp_path.rglob("*.part"))

    def test_a_second_command_follows_and_runs_its_own(self, run: Lote, source: Path, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            second = run("colorize", source, "--backend", "noop")
            assert second.code == 0, second.err
            assert "waiting behind job 1" in second.err
            assert process.wait(PATIENCE_S) == 0
        assert len(list((tmp_path / "in_colorized").glob("*.png"))) == 4

    def test_the_same_command_twice_follows_the_first(self, run: Lote, tmp_path: Path) -> None:
        with long_job(tmp_path) as process:
            second = run(
                "colorize",
                tmp_path / "long",
                "--backend",
                "noop",
                "--as-lineart",
                "*",
                "--seed",
                "3",
                "--json",
            )
            assert second.code == 0, second.err
            assert second.summary["completed"] == PAGES
            assert second.summary["job"] == 1
            assert "with other settings" in second.err
            assert process.wait(PATIENCE_S) == 0

    def test_detach(self, run: Lote, source: Path, tmp_path: Path) -> None:
        done = run("colorize", source, "--backend", "noop", "--detach")
        assert done.code == 0
        assert "lote status 1" in done.out
        wait_for(lambda: status(tmp_path)["state"] == "done")
        assert len(list((tmp_path / "in_colorized").glob("*.png"))) == 4

    def test_jobs_that_are_not_there(self, run: Lote, source: Path) -> None:
        for name in ("status", "pause", "resume", "cancel", "retry"):
            done = run(name)
            assert done.code == 1
            assert "lote colorize INPUT" in done.err
        run("colorize", source, "--backend", "noop")
        for name in ("pause", "resume", "cancel"):
            done = run(name)
            assert done.code == 1
            assert "Job 1 is done" in done.err
        assert "no job 7" in run("status", "7").err


class TestPreview:
    def test_one_page_then_the_rest(self, run: Lote, source: Path, tmp_path: Path) -> None:
        done = run("colorize", source, "--backend", "noop", "--preview")
        assert done.code == 0, done.err
        out = tmp_path / "in_colorized"
        assert done.out.strip() == str(out / "_lote" / "preview.png")
        assert (out / "_lote" / "preview.png").exists()
        assert "go on with: lote colorize" in done.err
        assert "--preview" not in done.err.partition("go on with: ")[2]
        assert not (out / "2.png").exists()
        rest = run("colorize", source, "--backend", "noop", "--json")
        assert (rest.summary["completed"], rest.summary["reused"]) == (3, 1)

    def test_yes_never_asks(self, run: Lote, source: Path, tmp_path: Path) -> None:
        assert run("colorize", source, "--backend", "noop", "--preview", "--yes").code == 0
        assert len(list((tmp_path / "in_colorized").glob("*.png"))) == 4

    def test_a_preview_of_an_archive_writes_no_archive(self, run: Lote, source: Path, tmp_path: Path) -> None:
        done = run("colorize", source, "-o", tmp_path / "out.cbz", "--backend", "noop", "--preview")
        assert done.code == 0, done.err
        assert (tmp_path / "out.lote" / "preview.png").exists()
        assert not (tmp_path / "out.cbz").exists()

    def test_pages(self, run: Lote, source: Path, tmp_path: Path) -> None:
        # The cover is page 1 of the book.
        done = run("colorize", source, "--backend", "noop", "--pages", "2,4")
        assert done.code == 0, done.err
        made = {path.name for path in (tmp_path / "in_colorized").glob("*.png")}
        assert made == {"0_cover.png", "1.png", "3.png"}
        assert run("colorize", source, "--backend", "noop", "--json").summary["reused"] == 2

    def test_pages_that_are_not_there_are_no_success(self, run: Lote, source: Path, tmp_path: Path) -> None:
        done = run("colorize", source, "--backend", "noop", "--pages", "1,9-12")
        assert done.code == 1
        assert "--pages 1,9-12 names no line art: the input has 4 pages" in done.err
        assert not (tmp_path / "in_colorized").exists()

    def test_the_preview_is_of_the_first_page_that_was_asked_for(
        self, run: Lote, source: Path, tmp_path: Path
    ) -> None:
        assert run("colorize", source, "--backend", "noop", "--preview", "--pages", "3-4").code == 0
        assert [path.name for path in (tmp_path / "in_colorized").glob("*.png")] == ["2.png"]


class TestAgain:
    def test_failed_pages_are_retried(self, run: Lote, source: Path, tmp_path: Path) -> None:
        whole = (source / "2.png").read_bytes()
        (source / "2.png").write_text("broken")
        assert run("colorize", source, "--backend", "noop").code == 3
        told = run("status")
        assert "failed" in told.out
        assert "2.png" in told.out
        (source / "2.png").write_bytes(whole)
        again = run("retry", "--json")
        assert again.code == 0, again.err
        assert done_pages(again) == ["2.png"]
        assert "nothing to do again" in run("retry").err

    def test_an_approved_page_is_never_redone_unasked(self, run: Lote, source: Path, tmp_path: Path) -> None:
        run("colorize", source, "--backend", "noop")
        assert run("approve", "1", "2.png").code == 0
        again = run("colorize", source, "--backend", "noop", "--seed", "8", "--json")
        assert done_pages(again) == ["1.png", "3.png"]
        everything = run("retry", "--all", "--json")
        assert done_pages(everything) == ["1.png", "3.png"]
        named = run("retry", "--page", "2.png", "--json")
        assert done_pages(named) == ["2.png"]

    def test_a_page_that_is_not_there(self, run: Lote, source: Path) -> None:
        run("colorize", source, "--backend", "noop")
        for args in (("retry", "--page", "9.png"), ("approve", "1", "9.png")):
            done = run(*args)
            assert done.code == 1
            assert "no finished page 9.png" in done.err

    def test_archives_that_differ_in_their_ending_have_a_folder_each(
        self, run: Lote, source: Path, tmp_path: Path
    ) -> None:
        """Reports, palettes and previews of `book.zip` and `book.cbz` replaced each other."""
        assert run("colorize", source / "1.png", "-o", tmp_path / "book.ZIP").code == 1  # takes no name
        for name in ("book.cbz", "book.zip", "book.cbz"):
            done = run("colorize", source, "-o", tmp_path / name, "--backend", "noop")
            assert done.code == 0, done.err
        names = {path.name for path in tmp_path.glob("book*")}
        assert names == {"book.cbz", "book.lote", "book.zip", "book.zip.lote"}
        for name, beside in (("book.cbz", "book.lote"), ("book.zip", "book.zip.lote")):
            assert f"<h1><bdi>{name}</bdi></h1>" in (tmp_path / beside / "report.html").read_text()


class TestUpkeep:
    def test_doctor(self, run: Lote, source: Path) -> None:
        run("colorize", source, "--backend", "noop")
        findings = {event["topic"]: event for event in run("doctor", "--json").events}
        assert findings["integrity"]["ok"] is True
        assert findings["jobs"]["text"] == "1 done"
        assert findings["lock comics"]["text"] == "free"
        assert findings["backend flats"]["ok"] is True

    def test_backup_is_a_ledger(self, run: Lote, source: Path, tmp_path: Path) -> None:
        run("colorize", source, "--backend", "noop")
        target = tmp_path / "copy" / "lote.db"
        assert run("backup", target).code == 0
        with sqlite3.connect(target) as copy:
            assert copy.execute("SELECT count(*) FROM item WHERE state = 'completed'").fetchone() == (3,)
        copy.close()
        assert "exists" in run("backup", target).err
        assert lote("list", workspace=tmp_path / "copy").out.count("done") == 1

    def test_clean_frees_and_a_rerun_makes_it_again(self, run: Lote, source: Path, tmp_path: Path) -> None:
        run("colorize", source, "-o", tmp_path / "out.cbz", "--backend", "noop")
        assert "freed" in run("clean").out
        assert not (tmp_path / "ws" / "jobs" / "1").exists()
        content = (tmp_path / "out.cbz").read_bytes()
        assert run("colorize", source, "-o", tmp_path / "out.cbz", "--backend", "noop").code == 0
        assert (tmp_path / "out.cbz").read_bytes() == content
        assert run("clean", "--older-than", "soon").code == 2

    def test_clean_frees_what_the_web_page_keeps(self, run: Lote, source: Path, tmp_path: Path) -> None:
        """What can be made again at once; what a person gave, with the job that is named; results never."""
        place = tmp_path / "ws"
        draft, idle, fresh = (place / "uploads" / name for name in ("a", "b", "c"))
        shutil.copytree(source, draft / "pages")
        for folder in (idle, fresh):
            (folder / "pages").mkdir(parents=True)
            (folder / "draft.json").write_text("{}")
        for path in (idle / "draft.json", idle / "pages", idle):
            os.utime(path, (1, 1))
        run("colorize", draft / "pages", "-o", draft / "results" / "out", "--backend", "noop")
        trial = place / "previews" / "a" / "out"
        run("colorize", draft / "pages" / "1.png", source / "2.png", "-o", trial, "--backend", "noop")
        hints = place / "hints" / "1" / "1.hints.png"
        hints.parent.mkdir(parents=True)
        hints.write_bytes(b"strokes")
        cached = place / "cache" / "web" / "1.webp"
        cached.parent.mkdir(parents=True)
        cached.write_bytes(b"picture")
        assert run("clean").code == 0
        assert not trial.parent.exists()
        assert not cached.exists()
        assert not idle.exists()
        assert fresh.exists()
        assert hints.exists()
        assert (draft / "pages" / "1.png").exists()
        assert run("clean", "1").code == 0
        assert not hints.parent.exists()
        assert (draft / "pages" / "1.png").exists(), "job 2 takes a page from there"
        assert run("clean", "--older-than", "0s").code == 0
        assert not (draft / "pages").exists()
        assert not fresh.exists()
        assert (draft / "results" / "out" / "1.png").exists()

    def test_show_config(self, run: Lote, source: Path, tmp_path: Path) -> None:
        (tmp_path / "book.toml").write_text('[default]\nseed = 3\n[images."2.png"]\nstyle = "line"\n')
        done = run(
            "colorize", source, "2.png", "--config", tmp_path / "book.toml", "--show-config", LOTE_TOP_K="5"
        )
        assert done.code == 0, done.err
        lines = {line.split()[0]: line for line in done.out.splitlines()}
        assert "book.toml: default" in lines["seed"]
        assert "LOTE_TOP_K" in lines["top_k"]
        assert "book.toml: images/2.png" in lines["style"]
        assert not (tmp_path / "ws").exists()

    def test_a_workspace_that_cannot_be_made(self, source: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        done = lote("colorize", source, "--backend", "noop", workspace=tmp_path / "file" / "ws")
        assert done.code == 11
        assert "cannot be made" in done.err

    def test_log_file(self, run: Lote, source: Path, tmp_path: Path) -> None:
        (source / "2.png").write_text("broken")
        log = tmp_path / "run.log"
        assert (
            run("colorize", source, "--backend", "noop", "--log-file", log, "--log-level", "debug").code == 3
        )
        assert log.exists()
        assert run("colorize", source, "--backend", "noop", "--log-level", "loud").code == 2
