"""A watched folder: what is put into it comes out coloured, once, and what fails says why."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from batch_processing import JobResult
from batch_processing.colorize import run
from batch_processing.core.coordinator import Interrupt, OnNews
from batch_processing.core.model import Drop
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ResourceError, ValidationError
from batch_processing.io.drop_folder import UNFINISHED, Watched, bell, is_temporary, move, where_is
from batch_processing.messages import Message
from batch_processing.ui import background
from batch_processing.watch import AlreadyWatched, Asked
from batch_processing.watch import watch as watch_folder
from command import command, environment, lote
from pages import SLOW, book, line_art, zipped

PATIENCE_S = 150.0


@dataclass
class Heard:
    """Who is told what a watcher does, and its exit code."""

    ended: dict[str, Drop] = field(default_factory=dict)
    results: dict[str, Sequence[JobResult]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    code: int = -1

    def begins(self, drop: Drop, job: int) -> OnNews:
        return lambda events, snapshot: None

    def ends(self, drop: Drop, results: Sequence[JobResult]) -> None:
        self.ended[drop.name], self.results[drop.name] = drop, results

    def warns(self, message: Message) -> None:
        self.warnings.append(str(message))


Watch = Callable[..., Heard]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def watch(folder: Path, tmp_path: Path) -> Watch:
    """What `lote watch in -o out --once` does, which leaves when nothing is left."""

    def once(*, stay: bool = False, **settings: object) -> Heard:
        asked = Asked(
            folder, tmp_path / "out", None if stay else folder / "done", folder / "failed", settle_s=0.2, once=True,
            values={"backend": "noop", "max_concurrent": 1, **settings},
        )  # fmt: skip
        heard, workspace = Heard(), Workspace(tmp_path / "ws")
        try:
            heard.code = watch_folder(workspace, asked, heard, Interrupt())
        finally:
            workspace.close()
        return heard

    return once


def arguments(folder: Path, output: Path) -> tuple[str | Path, ...]:
    return "watch", folder, "-o", output, "--settle", "0.2", "--backend", "noop", "--workers", "1"


def archive(path: Path, pages: int = 2) -> Path:
    source = path.with_name(f".{path.name}")
    zipped(book(source, pages), path)
    shutil.rmtree(source)
    return path


def names(folder: Path) -> set[str]:
    """What a person sees in a folder."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def pages_in(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as opened:
        return {name for name in opened.namelist() if name.endswith(".png")}


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def completed(workspace: Path) -> int:
    try:
        with sqlite3.connect(f"file:{workspace / 'lote.db'}?mode=ro", uri=True, timeout=60) as connection:
            return int(connection.execute("SELECT sum(state = 'completed') FROM item").fetchone()[0] or 0)
    except sqlite3.OperationalError:  # there is no ledger yet
        return 0


def test_books_come_out_under_their_names_and_inputs_are_moved(
    folder: Path, tmp_path: Path, watch: Watch
) -> None:
    archive(folder / "Chapter 12.cbz")
    book(folder / "Chapter 13", 2)
    line_art(folder / "Chapter 13" / "references" / "cast.png", 9)
    ran = lote(*arguments(folder, tmp_path / "out"), "--once", workspace=tmp_path / "ws")
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    assert ran.out.splitlines() == [str(out / "Chapter 12.cbz"), str(out / "Chapter 13")]
    assert pages_in(out / "Chapter 12.cbz") == {"0_cover.png", "1.png", "2.png"}
    assert {"0_cover.png", "1.png", "2.png"} <= names(out / "Chapter 13")
    assert names(folder) == {"done", "failed"}
    assert names(folder / "done") == {"Chapter 12.cbz", "Chapter 13"}
    assert (folder / "done" / "Chapter 13" / "references" / "cast.png").exists()
    assert names(folder / "failed") == set()
    before = (out / "Chapter 12.cbz").stat()
    again = watch()
    assert (again.code, again.ended) == (0, {})
    assert (out / "Chapter 12.cbz").stat().st_mtime_ns == before.st_mtime_ns


def test_what_is_not_whole_is_not_taken(folder: Path, watch: Watch) -> None:
    archive(folder / "one.cbz")
    for name in (".hidden.cbz", "two.cbz.part", "three.crdownload", "~$four.cbz", "five.cbz~", "Thumbs.db"):
        shutil.copy(folder / "one.cbz", folder / name)
    (folder / "empty").mkdir()
    left = {path.name for path in folder.iterdir()} - {"one.cbz"}
    assert watch().code == 0
    assert names(folder / "done") == {"one.cbz"}
    assert left <= {path.name for path in folder.iterdir()}


def test_what_fails_stands_beside_a_text_that_says_why(folder: Path, tmp_path: Path, watch: Watch) -> None:
    (folder / "notes.txt").write_text("call the printer")
    (folder / "broken.cbz").write_bytes(b"PK\3\4 and nothing more")
    archive(folder / "good.cbz")
    ran = watch()
    assert ran.code == 3
    failed = folder / "failed"
    assert names(failed) == {"notes.txt", "notes.txt.txt", "broken.cbz", "broken.cbz.txt"}
    assert (failed / "notes.txt.txt").read_text().splitlines() == [
        "notes.txt is no book: put in a folder of pages, or a book (CBZ, ZIP, CBR, EPUB, PDF ...).",
        f"Put it into {folder} again to have it tried again: what is finished is not done again.",
    ]
    said = (failed / "broken.cbz.txt").read_text()
    assert said.startswith(f"The archive {folder / 'broken.cbz'} is damaged: ")
    assert "`lote status " in said
    assert pages_in(tmp_path / "out" / "good.cbz")
    # Mended, and put in again: the same job goes on, and what was said is no longer so.
    (failed / "broken.cbz").unlink()
    archive(folder / "broken.cbz")
    assert watch().code == 0
    assert names(failed) == {"notes.txt", "notes.txt.txt"}
    assert names(folder / "done") == {"good.cbz", "broken.cbz"}
    jobs = Workspace(tmp_path / "ws").ledger.jobs()
    assert sorted(Path(job.output).name for job in jobs) == ["broken.cbz", "good.cbz"]


def test_a_page_that_fails_makes_the_book_fail_and_the_rest_comes_out(
    folder: Path, tmp_path: Path, watch: Watch
) -> None:
    book(folder / "ch", 2)
    whole = (folder / "ch" / "2.png").read_bytes()
    (folder / "ch" / "2.png").write_bytes(whole[:200])
    assert watch().code == 3
    said = (folder / "failed" / "ch.txt").read_text()
    assert said.startswith("1 of 2 pages failed, such as 2.png (")
    assert f"the others are in {tmp_path / 'out' / 'ch'}." in said
    shutil.move(folder / "failed" / "ch", folder / "ch")
    (folder / "ch" / "2.png").write_bytes(whole)
    ran = watch()
    assert ran.code == 0
    (result,) = ran.results["ch"]
    assert (result.completed, result.reused, result.failed) == (2, 1, 0)
    assert names(folder / "failed") == set()


def test_a_finished_book_is_never_replaced(folder: Path, tmp_path: Path, watch: Watch) -> None:
    archive(folder / "scan.cbz", 1)
    assert watch().code == 0
    first = (tmp_path / "out" / "scan.cbz").read_bytes()
    archive(folder / "scan.cbz", 2)  # the same name, other pages
    shutil.copy(folder / "scan.cbz", folder / "twin.cbz")  # the same pages, another name
    assert watch().code == 0
    assert {name for name in names(tmp_path / "out") if name.endswith(".cbz")} == {
        "scan.cbz",
        "scan_1.cbz",
        "twin.cbz",
    }
    assert (tmp_path / "out" / "scan.cbz").read_bytes() == first
    assert len(pages_in(tmp_path / "out" / "scan_1.cbz")) == 3
    assert names(folder / "done") == {"scan.cbz", "scan_1.cbz", "twin.cbz"}


def test_a_book_that_was_fetched_makes_room_for_no_other(folder: Path, tmp_path: Path, watch: Watch) -> None:
    """What belongs to it still stands beside, and its job knows that output."""
    archive(folder / "weekly.cbz", 1)
    assert watch().code == 0
    (tmp_path / "out" / "weekly.cbz").rename(tmp_path / "fetched.cbz")
    archive(folder / "weekly.cbz", 2)
    assert watch().code == 0
    assert len(pages_in(tmp_path / "out" / "weekly_1.cbz")) == 3
    assert names(folder / "failed") == set()


def test_the_text_beside_what_failed_replaces_nothing_and_follows_no_link(
    folder: Path, tmp_path: Path, watch: Watch
) -> None:
    (folder / "Chapter 12.txt").write_text("the only copy of a note")
    assert watch().code == 3  # it is no book
    book(folder / "Chapter 12", 1)
    (folder / "Chapter 12" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / "failed" / ".Chapter 12_1.txt.watch.part").symlink_to(victim)
    assert watch().code == 3
    assert (folder / "failed" / "Chapter 12.txt").read_text() == "the only copy of a note"
    assert (folder / "failed" / "Chapter 12_1.txt").read_text().startswith("1 of ")
    assert victim.read_text() == "mine"


def test_places_of_ours_deeper_in_the_folder_are_no_drops(folder: Path, tmp_path: Path) -> None:
    archive(folder / "A.cbz", 1)
    for _ in range(2):
        done = lote(*arguments(folder, folder / "for" / "press"), "--once", workspace=tmp_path / "ws")
        assert done.code == 0, done.err
    assert pages_in(folder / "for" / "press" / "A.cbz")
    assert names(folder) == {"for", "done", "failed"}
    assert names(folder / "failed") == set()
    assert len(Workspace(tmp_path / "ws").ledger.jobs()) == 1


def test_a_job_finds_its_pages_where_they_were_moved(folder: Path, tmp_path: Path, watch: Watch) -> None:
    book(folder / "ch", 2)
    assert watch().code == 0
    page = tmp_path / "out" / "ch" / "1.png"
    before = page.read_bytes()
    page.unlink()
    workspace = Workspace(tmp_path / "ws")
    (job,) = workspace.ledger.jobs()
    assert job.inputs == [str(folder / "done" / "ch")]
    assert background.undo(workspace, job.id, ["1.png"]) == (["1.png"], True)
    assert workspace.ledger.reopen(job.id)
    assert run(workspace, job.id).completed == 2
    workspace.close()
    assert page.read_bytes() == before


def test_books_may_stay(folder: Path, tmp_path: Path, watch: Watch) -> None:
    archive(folder / "one.cbz")
    (folder / "notes.txt").write_text("x")
    assert watch(stay=True).code == 3
    assert names(folder) == {"one.cbz", "notes.txt", "failed"}
    assert names(folder / "failed") == {"notes.txt.txt"}
    again = watch(stay=True)
    assert (again.code, again.ended) == (0, {})
    archive(folder / "one.cbz", 3)
    assert [drop.output for drop in watch(stay=True).ended.values()] == [str(tmp_path / "out" / "one_1.cbz")]


def test_a_folder_of_books_is_several_books(folder: Path, tmp_path: Path, watch: Watch) -> None:
    (folder / "series").mkdir()
    archive(folder / "series" / "1.cbz", 1)
    archive(folder / "series" / "2.cbz", 1)
    assert watch().code == 0
    out = tmp_path / "out" / "series"
    assert pages_in(out / "1.cbz") == pages_in(out / "2.cbz") == {"0_cover.png", "1.png"}
    assert names(folder / "done") == {"series"}


@pytest.mark.parametrize("place", ["output", "done", "failed"])
def test_folders_that_cannot_serve_are_refused(folder: Path, tmp_path: Path, place: str) -> None:
    asked = Asked(folder, tmp_path / "out", folder / "done", folder / "failed", settle_s=0.2)
    for other, said in (
        (folder, "is the watched folder: choose another"),
        (folder / "a.png" / "b", "cannot be"),
    ):
        (folder / "a.png").touch()
        with pytest.raises(ValidationError, match=said):
            watch_folder(Workspace(tmp_path / "ws"), replace(asked, **{place: other}), Heard(), Interrupt())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    ran = lote("watch", tmp_path / "no", "-o", tmp_path / "out", workspace=tmp_path / "ws")
    assert ran.code == 1
    assert "is no folder" in ran.err
    assert not (tmp_path / "out").exists()


def test_what_may_succeed_later_stays(
    folder: Path, tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason to call books failed, one after the other."""
    archive(folder / "one.cbz")

    def full(*_: object, **__: object) -> None:
        raise ResourceError("The disk is full: free some space.")

    with monkeypatch.context() as patch:
        patch.setattr("batch_processing.comics.outputs.Bindery.bind", full)
        with pytest.raises(ResourceError, match="disk is full"):
            watch()
    assert names(folder) == {"one.cbz", "done", "failed"}
    heard = watch()
    assert heard.code == 0
    assert heard.results["one.cbz"][0].reused == 2
    assert names(folder / "done") == {"one.cbz"}


def test_the_second_watcher_says_so_and_a_signal_ends_the_first(folder: Path, tmp_path: Path) -> None:
    """The job that is at work then goes on at the next start, and is not done again from its beginning."""
    book(folder / "ch", 8, SLOW)
    watching = [*command(*arguments(folder, tmp_path / "out"), "--json")]
    with subprocess.Popen(
        watching, env=environment(tmp_path / "ws"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: completed(tmp_path / "ws") >= 1, process)
            for workspace in ("ws", "other"):
                asked = Asked(
                    folder, tmp_path / "out", folder / "done", folder / "failed", settle_s=0.2, once=True
                )
                with pytest.raises(AlreadyWatched, match="is watched already"):
                    watch_folder(Workspace(tmp_path / workspace), asked, Heard(), Interrupt())
            silent = lote(
                *arguments(folder, tmp_path / "out"), "--once", "--quiet", workspace=tmp_path / "ws"
            )
            assert (silent.code, silent.out, silent.err) == (0, "", "")
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=PATIENCE_S)[0]
        finally:
            process.kill()
    assert process.returncode == 0
    done = completed(tmp_path / "ws")
    ended = any(json.loads(line)["event"] == "dropped" for line in told.splitlines())
    assert (folder / "ch").exists() != ended
    ran = lote(*arguments(folder, tmp_path / "out"), "--once", "--json", workspace=tmp_path / "ws")
    assert ran.code == 0
    if not ended:
        summary = next(event for event in ran.events if event["event"] == "summary")
        assert (summary["job"], summary["completed"]) == (1, 8)
        assert summary["reused"] == done >= 1
    assert names(folder / "done") == {"ch"}


def test_a_running_watcher_takes_what_comes(folder: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        command(*arguments(folder, tmp_path / "out"), "--quiet"), env=environment(tmp_path / "ws")
    ) as process:
        try:
            wait_until((folder / ".lote-watch.lock").exists, process)
            archive(tmp_path / "one.cbz")
            (tmp_path / "one.cbz").rename(folder / "one.cbz")
            wait_until((folder / "done" / "one.cbz").exists, process)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert pages_in(tmp_path / "out" / "one.cbz")


def test_what_is_replaced_while_it_waits_is_taken_as_it_is_then(tmp_path: Path) -> None:
    """Looked at twice, and only what has not changed for long enough is whole; what looks unfinished for longer."""
    watched = Watched(tmp_path, settle_s=0.05)
    archive(tmp_path / "a.cbz", 1)
    (tmp_path / "b.cbz").write_bytes(b"PK\3\4")
    first = {entry.name: entry for entry in watched.look()}
    assert not any(entry.whole for entry in first.values())
    time.sleep(0.06)
    archive(tmp_path / "a.cbz", 2)
    second = {entry.name: entry for entry in watched.look()}
    assert second["a.cbz"].signature != first["a.cbz"].signature
    assert not second["a.cbz"].whole
    time.sleep(0.05 * UNFINISHED + 0.01)
    assert all(entry.whole for entry in watched.look())
    unfinished = Watched(tmp_path, settle_s=1000.0 / UNFINISHED)
    assert not any(entry.whole for entry in unfinished.look())


def test_names_of_what_is_still_written() -> None:
    for name in ("a.cbz.PART", "x.filepart", ".b.cbz.Xy12", "~$c.docx", "d.zip.tmp", "ch.download"):
        assert is_temporary(name), name
    for name in ("Chapter 12.cbz", "partial.zip", "ch~2", "part"):
        assert not is_temporary(name), name


def test_a_move_that_was_cut_short_is_ended(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x")
    signature = f"1:{source.stat().st_mtime_ns}"
    assert where_is(source, target, signature) == source
    os.link(source, target)  # killed between the two names
    assert where_is(source, target, signature) == target
    assert not source.exists()
    source.write_bytes(b"new")
    assert not move(source, target)
    assert (source.read_bytes(), target.read_bytes()) == (b"new", b"x")
    target.unlink()
    assert where_is(source, target, signature) is None


def test_a_bell_rings_or_time_passes(tmp_path: Path) -> None:
    for kind in ("ext4", "nfs4", ""):
        with bell(tmp_path, kind, settle_s=0.1) as one:
            (tmp_path / f"new{kind}").write_bytes(b"x")
            one.wait(lambda: False, settling=False)
            one.wait(lambda: True, settling=False)
            one.wait(lambda: False, settling=True)
