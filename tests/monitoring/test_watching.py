"""`lote top` and `lote metrics`: what is seen of a job from another process, and what Prometheus reads."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from batch_processing.core.usage import UsageWatch, said_name
from batch_processing.core.workspace import Workspace
from batch_processing.monitoring import families as module
from batch_processing.monitoring import metrics_kept, write_metrics
from command import Run, command, environment, lote
from pages import SLOW, book, colored

DOCUMENTED = Path(__file__).parents[2] / "docs" / "monitoring.md"


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait for a fact."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(what)


@dataclass
class Paused:
    """A job whose process is there, and does nothing until it is told to."""

    workspace: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def lote(self, *args: str | Path) -> Run:
        return lote(*args, workspace=self.workspace, cwd=self.workspace.parent)


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paused]:
    folder = tmp_path_factory.mktemp("watched")
    book(folder / "in", 8, SLOW)
    workspace = folder / "ws"
    process = subprocess.Popen(
        command("colorize", "in", "-o", "out", "--backend", "noop", "--workers", "1"),
        cwd=folder,
        env=environment(workspace),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    opened = Workspace(workspace)
    try:
        until(lambda: opened.has_ledger and opened.ledger.jobs(), "no job")
        until(lambda: opened.ledger.job(1).state in ("running", "paused"), "it does not begin")
        opened.ledger.want(1, "pause")  # type: ignore[arg-type]
        until(lambda: opened.ledger.job(1).state == "paused", "no pause")
        yield Paused(workspace, process)
        opened.ledger.want(1, "cancel")  # type: ignore[arg-type]
        assert process.wait(120) == 4
    finally:
        process.kill()
        process.wait()
        opened.close()


def test_where_nothing_is_done(tmp_path: Path) -> None:
    seen = lote("top", workspace=tmp_path / "ws")
    assert (seen.code, seen.err) == (0, "")
    assert seen.out.splitlines()[0].endswith(str(tmp_path / "ws"))
    assert seen.out.splitlines()[-1] == "no job runs or waits here"
    assert not (tmp_path / "ws").exists()


def test_a_job_is_seen_from_another_process(paused: Paused) -> None:
    seen = paused.lote("top", "--once")
    assert seen.code == 0, seen.err
    rows = [line.split() for line in seen.out.splitlines()]
    (job,) = [row for row in rows if row[:2] == ["1", "comics"]]
    assert job[2] == "paused"
    assert re.fullmatch(r"\d+/8", job[3])
    (main,) = [row for row in rows if row[:1] == [str(paused.pid)]]
    assert main[-2:] == ["lote", "colorize"]
    assert any(row[-2:] == ["lote", "worker"] for row in rows)


def test_the_same_for_programs(paused: Paused) -> None:
    (seen,) = paused.lote("top", "--once", "--json").events
    assert seen["event"] == "top"
    (job,) = seen["jobs"]
    assert (job["job"], job["pid"], job["state"], job["stage"], job["total"]) == (
        1,
        paused.pid,
        "paused",
        "pages",
        8,
    )
    (run,) = seen["runs"]
    assert run["processes"][0]["pid"] == paused.pid
    assert all(use["memory"] > 1_000_000 and use["cpu"] is not None for use in run["processes"])
    assert seen["machine"]["cpus"] >= 1
    assert seen["disks"][0]["free"] > 0


def families(
    text: str, read: Callable[[str], Any] = openmetrics_families
) -> dict[str, dict[tuple[str, ...], float]]:
    """What Prometheus' own parser makes of a text: for each name its samples by their labels."""
    return {
        sample.name: {
            tuple(other.labels.values()): other.value for other in family.samples if other.name == sample.name
        }
        for family in read(text)
        for sample in family.samples
    }


def test_prometheus_reads_the_numbers(paused: Paused) -> None:
    told = paused.lote("metrics")
    assert told.code == 0
    found = families(told.out)
    assert found["lote_jobs"]["comics", "paused"] == 1
    assert found["lote_job_running"]["comics",] == 1
    assert found["lote_job_expected"]["comics", "pages"] == 8
    assert sum(found["lote_job_pages"].values()) == 8
    assert found["lote_job_pages"]["comics", "completed"] == found["lote_job_done"]["comics", "pages"]
    assert found["lote_processes"]["comics",] >= 2
    assert found["lote_cpu_seconds_total"]["comics",] > 0.1
    assert (
        found["lote_resident_memory_bytes"]["comics",] > found["lote_largest_process_memory_bytes"]["comics",]
    )
    assert 0 < found["lote_machine_memory_available_bytes"][()] <= found["lote_machine_memory_bytes"][()]
    assert abs(found["lote_observed_timestamp_seconds"][()] - time.time()) < 60
    assert "lote_job_exit_code" not in found  # it has not ended
    types = {family.name: (family.type, family.unit) for family in openmetrics_families(told.out)}
    assert types["lote_cpu_seconds"] == ("counter", "seconds")
    assert {unit for name, (_, unit) in types.items() if name.endswith("_bytes")} == {"bytes"}
    # node_exporter's textfile collector knows only the older format.
    assert families(told.out, text_families) == found


def test_every_name_is_documented() -> None:
    named = set(re.findall(r"`(lote_\w+)`", DOCUMENTED.read_text(encoding="utf-8")))
    there = [value for value in vars(module).values() if isinstance(value, module.Family)]
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in there}
    assert len(names) > 30
    assert named - {"lote_job_"} == names
    assert all(not one.unit or one.name.endswith(f"_{one.unit}") for one in there)


# -- the screen ---------------------------------------------------------------------------------------


@contextmanager
def terminal(columns: int, rows: int) -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("leave", "code"), [(b"q", 0), (b"\x03", 130)])
def test_the_screen_is_given_back(paused: Paused, leave: bytes, code: int) -> None:
    with terminal(80, 24) as (ours, theirs):
        before = termios.tcgetattr(theirs)
        process = subprocess.Popen(
            command("top", "--every", "0.2"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(paused.workspace) | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that ^C is for it
        )
        seen = b""

        def shown(text: bytes) -> bool:
            nonlocal seen
            if select.select([ours], [], [], 0.2)[0]:
                seen += os.read(ours, 65536)
            return text in seen

        until(lambda: shown(b"lote worker"), "nothing is shown")
        os.write(ours, leave)
        until(lambda: shown(b"\x1b[?1049l"), "the screen is not given back")
        assert process.wait(60) == code
        assert termios.tcgetattr(theirs) == before
        assert b"\x1b[?25h" in seen
        frame = seen.decode().partition("\x1b[?1049l")[0].rpartition("\x1b[H")[2]
        rows = [
            re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", row).rstrip() for row in frame.replace("\r", "").split("\n")
        ]
        assert len(rows) <= 24
        assert max(map(len, rows)) <= 80
        assert rows[0].startswith("lote top")


# -- files --------------------------------------------------------------------------------------------


def test_a_run_keeps_its_numbers_in_a_file(tmp_path: Path) -> None:
    book(tmp_path / "in", 2)
    file = tmp_path / "metrics" / "lote.prom"
    done = lote(
        "colorize",
        "in",
        "-o",
        "out",
        "--backend",
        "noop",
        "--metrics",
        file,
        workspace=tmp_path / "ws",
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
    found = families(file.read_text())
    assert found["lote_job_exit_code"]["comics",] == 0
    assert found["lote_job_pages"]["comics", "completed"] == 2
    assert found["lote_job_running"]["comics",] == 0
    pages = lote("status", "--pages", "--json", workspace=tmp_path / "ws").events[:-1]
    assert len(pages) == 2
    assert all(page["cpu_seconds"] > 0 and page["peak_memory"] > 10_000_000 for page in pages)
    report = (tmp_path / "out" / "_lote" / "report.html").read_text(encoding="utf-8")
    assert "CPU time of the pages" in report
    assert len(re.findall(r"<dt>took</dt>\s*<dd>[\d.]+ s CPU, [\d.]+ MB</dd>", report)) == 2
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == ["lote.prom"]


def test_a_scan_keeps_its_numbers_in_a_file(tmp_path: Path) -> None:
    for number in range(3):
        colored(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "photos" / "copy.png").write_bytes((tmp_path / "photos" / "1.png").read_bytes())
    file = tmp_path / "lote.prom"
    for command_ in (("scan", tmp_path / "photos"), ("look",)):
        done = lote("photos", *command_, "--quiet", "--metrics", file, workspace=tmp_path / "ws")
        assert (done.code, done.out, done.err) == (0, "", "")
    found = families(file.read_text())
    assert found["lote_job_photos"]["photos", "seen"] == 4
    assert found["lote_job_photos"]["photos", "copy"] == 1
    assert found["lote_job_photos"]["looks", "looked_at"] == 3
    assert found["lote_job_exit_code"] == {("photos",): 0, ("looks",): 0}
    assert found["lote_job_read_bytes"]["photos",] == sum(
        path.stat().st_size for path in (tmp_path / "photos").iterdir()
    )


def test_no_other_file_is_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "notes.txt"
    mine.write_text("important")
    said = lote("metrics", "-o", mine, workspace=tmp_path / "ws")
    assert said.code == 2
    assert "holds no metrics of Lote" in said.err
    assert mine.read_text() == "important"
    link = tmp_path / "lote.prom"
    link.symlink_to(mine)
    for _ in range(2):
        write_metrics(Workspace(tmp_path / "ws"), link)
        assert not link.is_symlink()
        assert link.read_text().endswith("# EOF\n")
    assert mine.read_text() == "important"


def test_a_job_goes_on_where_its_numbers_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with metrics_kept(Workspace(tmp_path / "ws"), tmp_path / "file" / "lote.prom", interval_s=0.01):
        time.sleep(0.1)
    (said,) = caplog.records
    assert "cannot be written" in said.getMessage()


def test_a_detached_job_has_nobody_who_would_write(tmp_path: Path) -> None:
    book(tmp_path / "in", 1)
    said = lote("colorize", "in", "--metrics", "x.prom", "--detach", workspace=tmp_path / "ws", cwd=tmp_path)
    assert said.code == 2
    assert "lote metrics -o FILE --every 10" in " ".join(said.err.split())


# -- processes ----------------------------------------------------------------------------------------

BUSY = "import time; until = time.process_time() + 0.3\nwhile time.process_time() < until: pass\n"


def test_what_a_child_used_stays_in_the_sum_when_it_has_ended() -> None:
    """The counter of a run must never go back."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}]); print(flush=True); input()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    watch = UsageWatch()
    try:
        sums = [0.0]
        while not select.select([parent.stdout], [], [], 0.05)[0]:
            sums.append(sum(use.cpu_seconds for use in watch.trees([parent.pid])[parent.pid]))
        sums.append(sum(use.cpu_seconds for use in watch.trees([parent.pid])[parent.pid]))
        assert sums == sorted(sums)
        assert sums[-1] >= 0.3
    finally:
        parent.communicate(b"\n", timeout=60)
    assert watch.trees([parent.pid]) == {parent.pid: []}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (["python", "-P", "-c", "from x import serve; serve(5, 0)", "lote worker"], "lote worker"),
        (
            ["python", "-I", "-S", "-c", "import x # lote reader of photos", "/a", "/b"],
            "lote reader of photos",
        ),
        (["python", "-P", "-m", "batch_processing", "photos", "scan", "/p"], "lote photos scan"),
        (["python", "/venv/bin/lote", "colorize", "a.cbz"], "lote colorize"),
        (["python", "-P", "-m", "batch_processing.ui.background", "/ws", "comics", "5"], "lote background"),
        (["python", "my.py"], ""),
        ([], ""),
    ],
)
def test_what_a_process_is_called(line: list[str], name: str) -> None:
    assert said_name(line) == name
