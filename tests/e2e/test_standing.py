"""What stands in an output and is not ours: strangers' files, links that lead out, files that appear while a job
runs, pages that vanish while it does, and outputs that the ledger does not remember."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from batch_processing.comics.deposits import Deposits
from batch_processing.core.workspace import Workspace
from command import Run, command, environment, lote
from pages import SLOW, book, colored, line_art, zipped

Lote = Callable[..., Run]
MINE = b"somebody else's\n"


@pytest.fixture
def run(tmp_path: Path) -> Lote:
    def colorize(*args: str | Path, workspace: str = "ws", **env: str) -> Run:
        return lote("colorize", *args, "--backend", "noop", workspace=tmp_path / workspace, **env)

    return colorize


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command, running beside the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command("colorize", *args, "--backend", "noop", "--workers", "1"),
            env=environment(tmp_path / "ws"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_until(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.005)


def with_comic_info(folder: Path) -> Path:
    (folder / "ComicInfo.xml").write_text("<ComicInfo><BlackAndWhite>Yes</BlackAndWhite></ComicInfo>")
    return folder


# --- strangers' files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ComicInfo.xml",
        "0_cover.png",
        "_lote/report.html",
        "_lote/contact_sheet.webp",
        "_lote/processing_metadata.json",
    ],
)
def test_a_strangers_file_is_never_replaced_unasked(run: Lote, tmp_path: Path, name: str) -> None:
    source = with_comic_info(book(tmp_path / "in", 1))
    target = tmp_path / "out" / name
    target.parent.mkdir(parents=True)
    target.write_bytes(MINE)
    refused = run(source, "-o", tmp_path / "out")
    assert refused.code == 1
    assert f"{target} was not written by this job" in refused.err.replace("\n", " ")
    assert target.read_bytes() == MINE
    assert run(source, "-o", tmp_path / "out", "--overwrite").code == 0
    assert target.read_bytes() != MINE
    assert run(source, "-o", tmp_path / "out").code == 0  # it is ours now


def test_our_own_report_is_replaced_and_a_person_s_is_not(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    report = tmp_path / "in_colorized" / "_lote" / "report.html"
    assert run(source).code == 0
    first = report.read_bytes()
    assert run(source, "--seed", "3").code == 0
    assert report.read_bytes() != first
    report.write_bytes(MINE)
    left = run(source, "--seed", "4")
    assert left.code == 0
    assert "report.html was changed since Lote wrote it and is left alone" in left.err.replace("\n", " ")
    assert report.read_bytes() == MINE
    assert list(report.parent.glob(".*")) == []
    report.unlink()
    assert run(source, "--seed", "4").code == 0
    assert b"<html" in report.read_bytes()


def test_a_palette_that_is_changed_in_its_place_and_given_back_is_the_jobs_again(tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    made = lote("colorize", source, "--backend", "flats", workspace=tmp_path / "ws")
    assert made.code == 0, made.err
    file = tmp_path / "in_colorized" / "_lote" / "palette.json"
    told = json.loads(file.read_text())
    told["colors"][0]["rgb"] = [1, 2, 3]
    file.write_text(json.dumps(told))
    done = lote("recolor", "1", "--palette", file, workspace=tmp_path / "ws")
    assert done.code == 0, done.err
    assert "is left alone" not in done.err
    assert [1, 2, 3] in [color["rgb"] for color in json.loads(file.read_text())["colors"]]
    assert len(file.read_text().splitlines()) > 2  # written anew


@pytest.mark.parametrize("output", ["out", "out/book.cbz"])
@pytest.mark.parametrize("link", ["_lote", "ch1"])
def test_no_link_below_the_output_leads_out_of_it(run: Lote, tmp_path: Path, link: str, output: str) -> None:
    source = book(tmp_path / "in", 1)
    line_art(source / "ch1" / "a.png", 7)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    if output != "out":
        link = "book.lote"
    (tmp_path / "out" / link).symlink_to(elsewhere)
    refused = run(source, "-o", tmp_path / output, "--recursive", "--overwrite")
    assert refused.code == 1
    assert "a link leads out of" in refused.err.replace("\n", " ")
    assert list(elsewhere.iterdir()) == []
    assert "fault of Lote" not in refused.err


def test_the_output_itself_may_be_a_link_and_so_may_what_stays_inside(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    line_art(source / "ch1" / "a.png", 7)
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "ch1").symlink_to("real")
    done = run(source, "-o", tmp_path / "out", "--recursive")
    assert done.code == 0, done.err
    assert (tmp_path / "disk" / "real" / "a.png").is_file()


def test_a_link_that_appears_while_the_job_runs_is_not_followed(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    source = book(tmp_path / "in", 2, SLOW)
    for number in range(4):
        line_art(source / "z" / f"{number}.png", 10 + number, SLOW)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    process = started(source, "-o", out, "--recursive")
    wait_until((out / "1.png").exists, process)
    shutil.rmtree(out / "z", ignore_errors=True)
    (out / "z").symlink_to(elsewhere)
    told = process.communicate(timeout=120)[1]
    assert process.returncode in (1, 3), told
    assert list(elsewhere.iterdir()) == []


# --- files that appear while a job runs ------------------------------------------------------------------


def test_a_page_that_somebody_puts_there_meanwhile_stays_and_its_own_fails(
    started: Callable[..., subprocess.Popen[str]], run: Lote, tmp_path: Path
) -> None:
    source = book(tmp_path / "in", 6, SLOW)
    out = tmp_path / "out"
    process = started(source, "-o", out)
    wait_until((out / "1.png").exists, process)
    (out / "6.png").write_bytes(MINE)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 3, told
    assert (out / "6.png").read_bytes() == MINE
    assert "another file was put there meanwhile" in told.replace("\n", " ")
    assert (out / "5.png").is_file()
    assert not list(out.rglob("*.part"))
    (out / "6.png").unlink()
    assert run(source, "-o", out).code == 0
    with Image.open(out / "6.png") as page:
        assert page.size == SLOW


def test_an_archive_that_somebody_puts_there_meanwhile_stays(
    started: Callable[..., subprocess.Popen[str]], run: Lote, tmp_path: Path
) -> None:
    source = book(tmp_path / "in", 4, SLOW)
    target = tmp_path / "book.cbz"
    process = started(source, "-o", target)
    finished = tmp_path / "ws" / "jobs" / "1" / "pages" / "1.png"
    wait_until(finished.exists, process)
    target.write_bytes(MINE)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 1, told
    assert target.read_bytes() == MINE
    assert "another file was put there meanwhile" in told.replace("\n", " ")
    assert "fault of Lote" not in told
    target.unlink()
    assert run(source, "-o", target).code == 0
    assert zipfile.ZipFile(target).testzip() is None


# --- pages that vanish while a job runs ------------------------------------------------------------------


def test_pages_removed_while_the_job_runs_are_made_again(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    source = book(tmp_path / "in", 6, SLOW)
    out = tmp_path / "out"
    process = started(source, "-o", out)
    wait_until((out / "2.png").exists, process)
    (out / "1.png").unlink()
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 0, told
    assert "1.png was removed meanwhile and is made again" in told.replace("\n", " ")
    assert {path.name for path in out.glob("*.png")} == {path.name for path in source.glob("*.png")}


def test_an_output_folder_removed_while_the_job_runs_is_made_again(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    source = book(tmp_path / "in", 6, SLOW)
    out = tmp_path / "out"
    process = started(source, "-o", out)
    wait_until((out / "3.png").exists, process)
    shutil.move(out, tmp_path / "gone")
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 0, told
    assert {path.name for path in out.glob("*.png")} == {path.name for path in source.glob("*.png")}


def test_a_page_that_is_removed_again_and_again_is_named(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    source = book(tmp_path / "in", 5, SLOW)
    out = tmp_path / "out"
    process = started(source, "-o", out)
    while process.poll() is None:
        (out / "1.png").unlink(missing_ok=True)
        time.sleep(0.001)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 3, told
    assert "1.png" in told
    assert "its file was removed while the job ran" in told.replace("\n", " ")
    assert (out / "5.png").is_file()


# --- names that an archive cannot hold -------------------------------------------------------------------


def test_a_page_named_with_a_backslash_is_bound_under_another_name(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    line_art(source / "a\\b.png", 5)
    line_art(source / "a_b.png", 6)
    colored(source / "c\\d.png", 3)
    done = run(source, "-o", tmp_path / "book.cbz")
    assert done.code == 0, done.err
    with zipfile.ZipFile(tmp_path / "book.cbz") as archive:
        assert archive.testzip() is None
        assert {"a_b.png", "a_b_1.png", "c_d.png", "1.png"} <= set(archive.namelist())
        assert "a_b_1.png" in archive.read("processing_metadata.json").decode()
    assert "a_b_1.png in the archive" in done.err.replace("\n", " ")
    before = (tmp_path / "book.cbz").read_bytes()
    assert run(source, "-o", tmp_path / "book.cbz").code == 0
    assert (tmp_path / "book.cbz").read_bytes() == before


# --- what the ledger does not remember -------------------------------------------------------------------


def test_pages_of_a_lost_ledger_are_taken_over(run: Lote, tmp_path: Path) -> None:
    source = with_comic_info(book(tmp_path / "in", 3))
    assert run(source).code == 0
    out = tmp_path / "in_colorized"
    before = {path: path.stat().st_ino for path in out.glob("*.png")}
    shutil.rmtree(tmp_path / "ws")
    again = run(source)
    assert again.code == 0, again.err
    assert {path: path.stat().st_ino for path in out.glob("*.png")} == before
    assert "taken over" in again.err.replace("\n", " ")


def test_of_a_lost_ledger_what_was_edited_since_is_left_alone(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 3)
    assert run(source).code == 0
    edited = tmp_path / "in_colorized" / "3.png"
    line_art(edited, 99)
    content = edited.read_bytes()
    shutil.rmtree(tmp_path / "ws")
    again = run(source)
    assert again.code == 3, again.err
    assert edited.read_bytes() == content


def test_pages_in_the_workspace_are_nobody_elses(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 3)
    assert run(source, "-o", tmp_path / "other.cbz").code == 0
    shutil.copy(tmp_path / "ws" / "lote.db", tmp_path / "backup.db")
    target = tmp_path / "book.cbz"
    assert run(source, "-o", target).code == 0
    before = target.read_bytes()
    shutil.copy(tmp_path / "backup.db", tmp_path / "ws" / "lote.db")
    again = run(source, "-o", target, SOURCE_DATE_EPOCH="1600000000")
    assert (
        again.code == 1
    )  # an archive that another job made, for all that is known: the sentence names the way
    assert "--overwrite" in again.err
    assert target.read_bytes() == before
    assert run(source, "-o", target, "--overwrite").code == 0


def test_an_archive_bound_after_the_restored_copy_was_made_is_ours(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 2)
    target = tmp_path / "book.cbz"
    assert run(source, "-o", target, "--pages", "2").code == 0
    shutil.copy(tmp_path / "ws" / "lote.db", tmp_path / "backup.db")
    assert run(source, "-o", target, "--seed", "4").code == 0
    (tmp_path / "backup.db").replace(tmp_path / "ws" / "lote.db")
    done = run(source, "-o", target, "--seed", "5")
    assert done.code == 0, done.err
    assert zipfile.ZipFile(target).testzip() is None


def test_an_archive_is_refused_where_another_of_that_name_stands(run: Lote, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    zipped(source, tmp_path / "book.cbz")
    before = (tmp_path / "book.cbz").read_bytes()
    assert run(source, "-o", tmp_path / "book.cbz").code == 1
    assert (tmp_path / "book.cbz").read_bytes() == before


# --- outputs that cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("d" * 300, "is too long"),
        ("d" * 300 + ".cbz", "is too long"),
        ("/".join(["d" * 200] * 25), "is too long"),
        ("/".join(["d" * 200] * 25) + "/book.cbz", "is too long"),
        ("/proc/nothing", "No such file or directory"),
        ("/dev/full", "is a file"),
        ("in/1.png/x", "cannot be written"),
        ("in/1.png/x.cbz", "cannot be written"),
    ],
)
def test_an_output_that_cannot_be_is_one_sentence(run: Lote, tmp_path: Path, output: str, words: str) -> None:
    source = book(tmp_path / "in", 1)
    refused = run(source, "-o", tmp_path / output)
    assert refused.code == 1
    assert words in refused.err.replace("\n", " ")
    assert "fault of Lote" not in refused.err
    assert "[Errno" not in refused.err


def test_pages_whose_paths_grow_too_long_in_the_output_are_named(run: Lote, tmp_path: Path) -> None:
    source = tmp_path / "in"
    book(source, 1)
    deep = Path(*["d" * 200] * 12)
    line_art(source / deep / "a.png", 7)
    output = tmp_path / Path(*["e" * 200] * 9)
    refused = run(source, "-o", output, "--recursive")
    assert refused.code == 1
    assert "File name too long" in refused.err.replace("\n", " ")
    assert "fault of Lote" not in refused.err


def test_an_archive_of_a_namesake_is_nobody_elses_to_replace(tmp_path: Path, run: Lote) -> None:
    """Chapters of one name, begun in one second, into one archive."""
    for series, shade in (("A", 11), ("B", 40)):
        line_art(tmp_path / series / "ch" / "1.png", shade)
    assert run(tmp_path / "A" / "ch", "-o", tmp_path / "book.cbz", SOURCE_DATE_EPOCH="1600000000").code == 0
    before = (tmp_path / "book.cbz").read_bytes()
    done = run(tmp_path / "B" / "ch", "-o", tmp_path / "book.cbz", SOURCE_DATE_EPOCH="1600000000")
    assert done.code == 1
    assert "was not written by this job" in done.err
    assert (tmp_path / "book.cbz").read_bytes() == before


def test_however_often_a_run_is_killed_what_stands_stays_ours(tmp_path: Path) -> None:
    """Between remembering a file and its rename."""
    workspace = Workspace(tmp_path / "ws")
    job = workspace.ledger.submit("comics", ["/in"], str(tmp_path), {"settings": {"overwrite": False}})
    deposits = Deposits(workspace.ledger, job, tmp_path)
    report = tmp_path / "report.html"
    with deposits.save(report) as file:
        file.write(b"the first")
    for text in (b"second", b"third", b"fourth"):
        deposits._note({report: hashlib.sha256(text).hexdigest()})  # and killed
    with deposits.save(report) as file:
        file.write(b"the last")
    assert report.read_bytes() == b"the last"
    assert deposits.warnings == []
    workspace.close()


def test_what_an_earlier_version_has_remembered_is_taken_over_to_the_byte(tmp_path: Path, run: Lote) -> None:
    """Version 0.1.0 kept documents as lists and sentences as text, and knew nothing else that it did not say."""
    book(tmp_path / "in", 3)
    words = (tmp_path / "in", "-o", tmp_path / "book.cbz", "--layers", "json")
    assert run(*words).code == 0
    before = (tmp_path / "book.cbz").read_bytes()
    with sqlite3.connect(tmp_path / "ws" / "lote.db") as ledger:
        for key, text in ledger.execute("SELECT id, work FROM item").fetchall():
            work = json.loads(text)
            work["documents"] = [[one["kind"], one["target"], one["record"]] for one in work["documents"]]
            ledger.execute("UPDATE item SET work = ? WHERE id = ?", (json.dumps(work), key))
        for key, text in ledger.execute("SELECT id, facts FROM source").fetchall():
            facts = {name: value for name, value in json.loads(text).items() if value is not None}
            assert all(type(facts["metrics"][name]) is int for name in ("color_count",))
            ledger.execute("UPDATE source SET facts = ? WHERE id = ?", (json.dumps(facts), key))
        ledger.execute("UPDATE event SET data = json_set(data, '$.text', 'plain text') WHERE kind = 'note'")
    ledger.close()
    again = run(*words, "--json")
    assert (again.code, again.summary["reused"]) == (0, 3)
    assert (tmp_path / "book.cbz").read_bytes() == before
    assert lote("status", "--json", workspace=tmp_path / "ws").code == 0
