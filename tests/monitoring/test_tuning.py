"""`lote doctor --tune`: the rule from measurements to settings, what is kept of it, and who uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_processing.core import tuning as module
from batch_processing.core.tuning import (
    Disk,
    Machine,
    Measured,
    Memory,
    Rate,
    Tuning,
    decide,
    readers_for,
    store,
    tuned,
)
from batch_processing.core.workspace import Workspace
from batch_processing.measuring import Page, measure
from batch_processing.messages import Message
from command import command, environment, lote
from pages import book, colored, line_art

MIB, GIB = 2**20, 2**30

RATES = st.lists(
    st.builds(Rate, st.integers(1, 512), st.floats(0, 1e12)), max_size=4, unique_by=lambda rate: rate.count
).map(tuple)
MEMORY = st.none() | st.builds(
    lambda peak, idle: Memory(peak, peak + idle), st.integers(0, 2**36), st.integers(0, 2**36)
)
DISK = st.builds(
    Disk, mount=st.sampled_from(["/", "/a", "/b"]), file_system=st.just("ext4"), readers=RATES,
    photos_rate=st.floats(0, 1e9), commit_seconds=st.none() | st.floats(0, 100),
)  # fmt: skip
MEASURED = st.builds(
    Measured,
    machine=st.builds(Machine, st.integers(1, 512), st.integers(1, 2**42)),
    available=st.integers(0, 2**42), hash_rate=st.none(), photos_looked=st.none(), look_memory=MEMORY, pages=RATES,
    page_memory=MEMORY, disks=st.lists(DISK, max_size=2).map(tuple), seconds=st.just(1.0), left_out=st.just(()),
)  # fmt: skip


# On a busy machine drawing takes long; each example is checked in no time.
RULE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestRule:
    @RULE
    @given(MEASURED)
    def test_never_more_than_there_is(self, measured: Measured) -> None:
        fits = decide(measured)
        machine = measured.machine
        assert 1 <= fits.workers <= machine.cpus
        assert 1 <= fits.lookers <= machine.cpus
        page, look = measured.page_memory or module.TYPICAL_PAGE, measured.look_memory or module.TYPICAL_LOOK
        assert fits.worker_memory is not None
        assert fits.workers * (fits.worker_memory - max(0, page.reserved - page.peak)) <= machine.memory
        assert fits.workers == 1 or fits.workers * page.peak <= machine.memory
        assert fits.lookers == 1 or fits.lookers * look.peak <= machine.memory

    @RULE
    @given(MEASURED)
    def test_readers_are_those_that_were_tried(self, measured: Measured) -> None:
        tried = {(disk.mount, rate.count) for disk in measured.disks for rate in disk.readers}
        assert {(disk.mount, disk.readers) for disk in decide(measured).readers} <= tried

    @RULE
    @given(MEASURED)
    def test_a_batch_is_neither_tiny_nor_hours_long(self, measured: Measured) -> None:
        size = decide(measured).batch_size
        assert module.LEAST_BATCH <= size <= module.MOST_BATCH
        for disk in measured.disks:
            if disk.photos_rate > 0 and size > module.LEAST_BATCH:
                assert size <= disk.photos_rate * module.MOST_BATCH_S + module.BATCH_STEP

    @RULE
    @given(MEASURED, st.integers(1, 2**40))
    def test_more_memory_never_means_fewer_workers(self, measured: Measured, more: int) -> None:
        pages = tuple(Rate(rate.count, float(rate.count)) for rate in measured.pages)  # each worker helps
        small = replace(measured, pages=pages)
        large = replace(small, machine=Machine(small.machine.cpus, small.machine.memory + more))
        assert decide(small).workers <= decide(large).workers
        assert decide(small).lookers <= decide(large).lookers

    @RULE
    @given(MEASURED)
    def test_on_a_busy_machine_memory_alone_decides(self, measured: Measured) -> None:
        busy, unmeasured = replace(measured, busy=0.9), replace(measured, pages=(), busy=0.0)
        assert decide(busy).workers == decide(unmeasured).workers
        assert decide(busy).readers == ()

    def test_what_it_says_of_machines_as_people_have_them(self) -> None:
        page, look = Memory(300 * MIB, 1100 * MIB), Memory(100 * MIB, 900 * MIB)
        pages = (Rate(1, 0.5), Rate(8, 3.6))
        ssd = Disk("/", "ext4", (Rate(1, 4e8), Rate(2, 8e8), Rate(4, 15e8), Rate(8, 15.2e8)), 380.0, 0.004)
        desk = decide(Measured(Machine(8, 32 * GIB), 20 * GIB, 4e8, 12.0, look, pages, page, (ssd,)))
        assert (desk.workers, desk.lookers, desk.batch_size) == (8, 8, 100)
        assert [disk.readers for disk in desk.readers] == [4]  # eight gain nothing
        small = decide(Measured(Machine(4, GIB), GIB // 2, 4e8, 12.0, look, (Rate(1, 0.5),), page, (ssd,)))
        assert (small.workers, small.lookers) == (1, 3)
        rotating = Disk("/old", "ext4", (Rate(1, 1e8), Rate(2, 4e7), Rate(4, 3e7)), 25.0, 0.06)
        network = Disk("/nas", "nfs4", tuple(Rate(n, 6e6 * n) for n in (1, 2, 4, 8, 16)), 3.0)
        slow = decide(Measured(Machine(4, 16 * GIB), 8 * GIB, disks=(rotating, network)))
        assert {disk.mount: disk.readers for disk in slow.readers} == {"/old": 1, "/nas": 16}
        assert slow.batch_size == 25  # three photos a second: a batch is ten seconds


def measured_here(**values: Any) -> Measured:
    return replace(
        Measured(Machine.here(), GIB, pages=(Rate(1, 1.0),), page_memory=Memory(300 * MIB, GIB)), **values
    )


class TestStored:
    def test_what_was_set_wins(self, tmp_path: Path) -> None:
        """By --show-config, which says what is in force and where it comes from."""
        workspace = Workspace(tmp_path / "ws")
        book(tmp_path / "in", 1)
        memory = Memory(Machine.here().memory, Machine.here().memory + GIB)  # only one fits
        worker_memory = store(workspace, measured_here(page_memory=memory)).tuned.worker_memory

        def shown(*args: str, **env: str) -> dict[str, str]:
            done = lote(
                "colorize",
                tmp_path / "in",
                "--backend",
                "flats",
                "--show-config",
                *args,
                workspace=workspace.root,
                **env,
            )
            assert done.code == 0, done.err
            rows = [line.split(maxsplit=1) for line in done.out.splitlines()]
            return {
                name: value.strip() for name, value in rows if name in ("max_concurrent", "worker_memory")
            }

        by = "measured by lote doctor --tune"
        assert shown() == {
            "max_concurrent": f"1  (built-in: {by})", "worker_memory": f"{worker_memory}  (built-in: {by})",
        }  # fmt: skip
        assert shown("--workers", "7", "--worker-memory", "2G") == {
            "max_concurrent": "7  (--workers)", "worker_memory": f"{2 * GIB}  (--worker-memory)",
        }  # fmt: skip
        again = shown("--workers", "auto", LOTE_WORKERS="5", LOTE_WORKER_MEMORY="auto")
        assert again["max_concurrent"] == f"1  (--workers: {by})"
        assert again["worker_memory"] == f"{worker_memory}  (LOTE_WORKER_MEMORY: {by})"

    def test_the_workers_of_a_job(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "ws")
        book(tmp_path / "in", 1)
        memory = Memory(Machine.here().memory, Machine.here().memory)
        store(workspace, measured_here(page_memory=memory))
        done = lote(
            "colorize", tmp_path / "in", "-o", tmp_path / "out", "--backend", "noop", workspace=workspace.root
        )
        assert done.code == 0, done.err
        assert workspace.ledger.job(1).config["settings"]["max_concurrent"] == 1

    @pytest.mark.parametrize(
        "machine",
        [Machine(Machine.here().cpus + 6, Machine.here().memory), Machine(Machine.here().cpus, 2**50)],
    )
    def test_that_of_another_machine_is_not_used(self, tmp_path: Path, machine: Machine) -> None:
        workspace = Workspace(tmp_path / "ws")
        store(workspace, Measured(machine, GIB, page_memory=Memory(2**49, 2**49)))
        assert isinstance(module.tuning_of(workspace), Message)
        assert tuned(workspace).workers == Machine.here().cpus
        assert readers_for(workspace, ["/"]) is None

    def test_it_is_said_that_it_is_not_used(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "ws")
        colored(tmp_path / "photos" / "a.png")
        store(workspace, Measured(Machine(Machine.here().cpus + 6, 2**50), GIB))
        scanned = lote("photos", "scan", tmp_path / "photos", workspace=workspace.root)
        assert scanned.code == 0
        assert "what was measured of this machine is not used" in scanned.err

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b"\xff", b'{"version": 99}'])
    def test_a_file_that_says_nothing(self, tmp_path: Path, content: bytes) -> None:
        workspace = Workspace(tmp_path)
        module.path_of(workspace).write_bytes(content)
        assert isinstance(module.tuning_of(workspace), Message)
        assert tuned(workspace).workers == Machine.here().cpus

    def test_what_somebody_writes_into_it_does_no_harm(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path)
        store(workspace, measured_here())
        text = json.loads(module.path_of(workspace).read_bytes())
        text["tuned"] |= {"workers": 0, "worker_memory": -1, "batch_size": 10**9}
        text["measured"]["pages"] = [{"count": 1, "rate": float("nan")}]
        module.path_of(workspace).write_text(json.dumps(text))
        assert 1 <= tuned(workspace).workers <= Machine.here().cpus
        assert tuned(workspace).batch_size == 100

    def test_readers_of_the_disk_where_the_photos_are(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path)
        mount = module.mount_of(tmp_path)
        store(workspace, measured_here(disks=(Disk(mount, "ext4", (Rate(1, 1.0), Rate(3, 9.0)), 10.0),)))
        assert readers_for(workspace, [str(tmp_path)]) == 3
        assert readers_for(workspace, [str(tmp_path), "/proc"]) is None  # of that nothing is known

    def test_a_batch_is_what_was_measured_where_auto_is_said(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "ws")
        for number in range(30):
            line_art(tmp_path / "photos" / f"{number}.png", number, (80, 80))
        store(workspace, measured_here(disks=(Disk("/", "ext4", (Rate(1, 1.0),), 1.0),)))
        done = lote(
            "photos",
            "scan",
            tmp_path / "photos",
            "--no-facts",
            "--json",
            "--batch-size",
            "auto",
            workspace=workspace.root,
        )
        assert [event["photos"] for event in done.events if event["event"] == "batch"] == [25, 5]
        wrong = lote("photos", "scan", tmp_path / "photos", "--batch-size", "many", workspace=workspace.root)
        assert wrong.code == 2
        assert "must be auto or a whole number of at least 1" in wrong.err


# -- measuring ----------------------------------------------------------------------------------------


def no_page(folder: Path) -> Page:
    raise AssertionError(folder)


def test_what_there_is_no_time_for_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    found = measure(workspace, no_page, [str(tmp_path)], limit_s=0.0)
    assert found.hash_rate
    assert found.hash_rate > 1e6
    said = " ".join(map(str, found.left_out))
    assert all(part in said for part in ("the disk of the workspace", str(tmp_path), "looking", "colouring"))
    assert not list(tmp_path.glob("ws/scratch/*"))


@pytest.mark.slow
def test_measured_as_a_person_does(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    colored(tmp_path / "photos" / "a.png")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = lote("doctor", "--tune", "--json", "--folder", tmp_path / "photos", workspace=workspace.root)
    assert done.code == 0, done.err
    found = {event["topic"]: event["text"] for event in done.events}
    assert found["hashing"].endswith("/s of one core")
    assert seconds_of(found["time"]) < 75
    tuning = module.tuning_of(workspace)
    assert isinstance(tuning, Tuning)
    assert tuning.measured.disks
    assert tuning.tuned == decide(tuning.measured)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({*before, "ws"})
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]
    assert sorted(path.name for path in workspace.root.iterdir()) == ["scratch", "tuning.json"]
    assert not list(workspace.root.glob("scratch/*"))
    assert module.path_of(workspace).stat().st_mode & 0o777 == 0o600
    doctor = lote("doctor", "--json", workspace=workspace.root)
    (said,) = [event for event in doctor.events if event["topic"] == "tuning"]
    assert said["ok"] is True
    assert said["text"] in found["fits"]


def seconds_of(text: str) -> float:
    return float(text.removesuffix(" s"))


def until(true: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_nothing_is_left_of_one_that_was_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("doctor", "--tune"), env=environment(tmp_path / "ws"), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until(lambda: list(tmp_path.glob("ws/scratch/*/photos/*")), "nothing was written")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not list(tmp_path.glob("ws/scratch/*")), "it is still there")
    assert not module.path_of(Workspace(tmp_path / "ws")).exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = lote("doctor", "--tune", "--folder", tmp_path / "none", workspace=tmp_path / "ws")
    assert done.code == 1
    assert f"{tmp_path / 'none'} is no folder" in done.err
