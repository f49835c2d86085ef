"""The same job on other machines: same results, same bytes, whatever dies meanwhile.

Ray is never imported here: it lives in the bridge and on the machines."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from batch_processing.core.cluster.pool import ClusterPool
from batch_processing.core.cluster.slots import Wanted
from batch_processing.core.workers import Task
from command import Run, command, environment, lote
from core.engine_tasks import Mix
from core.pool_contract import PoolContract, only, results, task, wait_for_slots
from machines import Machines
from pages import book, zipped

PATIENCE_S = 120.0


@pytest.fixture(scope="class")
def opened(cluster: Machines) -> Iterator[ClusterPool]:
    pool = ClusterPool(cluster.address, Wanted(2))
    yield pool
    pool.close()


@pytest.fixture
def pool(opened: ClusterPool) -> Iterator[ClusterPool]:
    wait_for_slots(opened, 2)
    yield opened
    opened.stop(list(opened._first))
    while opened._flights:
        opened.completed(1.0)


def until(is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
    """Wait for a fact; for how long, in seconds."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience_s
        time.sleep(0.05)
    return time.monotonic() - began


class TestClusterPool(PoolContract):
    """Slots on other machines; what work reads comes to them, and what it writes comes back."""

    def test_ray_is_not_here(self, pool: ClusterPool) -> None:
        assert only(pool, task("echo", a=1)).value == {"a": 1}
        assert not [name for name in sys.modules if name == "ray" or name.startswith("ray.")]

    def test_what_was_stopped_leaves_nothing(self, pool: ClusterPool, tmp_path: Path) -> None:
        pool.submit(task("write", "w", part=str(tmp_path / ".x.part"), text="x", seconds=30.0))
        until(lambda: pool.completed(0.1) == [] and pool.progress())
        pool.stop(["w"])
        failure = results(pool, 1)["w"].failure
        assert failure is not None
        assert failure.type == "Cancelled"
        assert list(tmp_path.iterdir()) == []

    def mix(self, folder: Path, name: str = "1") -> Mix:
        folder.mkdir(exist_ok=True)
        (folder / "shared.bin").write_bytes(b"shared;")
        source = folder / f"{name}.txt"
        source.write_bytes(b"source;")
        os.utime(source, ns=(5, 1_234_567_891_234_567_890))
        return Mix(
            str(source),
            str(folder / "shared.bin"),
            str(folder / f"{name}.cache"),
            str(folder / "small"),
            str(folder / "out" / f".{name}.part"),
            str(folder / "out"),
        )

    def test_they_travel(self, pool: ClusterPool, tmp_path: Path) -> None:
        mix = self.mix(tmp_path / "in")
        first = only(pool, Task("1", mix)).value
        content = b"source;shared;made;"
        part = Path(mix.part)
        assert part.read_bytes() == content
        assert first.sha256 == hashlib.sha256(content).hexdigest()
        assert Path(mix.cache).read_bytes() == b"made;"
        assert (Path(mix.folder) / "of 1.txt").read_bytes() == b"small"
        assert first.details["mtime"] == 1_234_567_891_234_567_890
        assert (first.details["known"], first.details["part"]) == (False, mix.part)
        assert sorted(path.name for path in part.parent.iterdir()) == [part.name]

        again = only(pool, Task("2", mix)).value
        assert again.details["known"]
        assert part.read_bytes() == content

    def test_what_is_not_there_is_named_as_people_know_it(self, pool: ClusterPool, tmp_path: Path) -> None:
        mix = self.mix(tmp_path / "in")
        Path(mix.source).unlink()
        result = only(pool, Task("1", mix))
        assert result.failure is not None
        assert str(result.failure.text) == f"Error processing {mix.source}: it is not there"
        assert not Path(mix.part).exists()

    def test_no_link_leads_out_of_the_output(self, pool: ClusterPool, tmp_path: Path) -> None:
        mix = self.mix(tmp_path / "in")
        (tmp_path / "elsewhere").mkdir()
        inner = Path(mix.root) / "inner"
        inner.parent.mkdir()
        inner.symlink_to(tmp_path / "elsewhere")
        led_out = Mix(mix.source, mix.shared, mix.cache, mix.folder, str(inner / "x.part"), mix.root)
        result = only(pool, Task("1", led_out))
        assert result.failure is not None
        assert "a link leads out of" in str(result.failure.text)
        assert list((tmp_path / "elsewhere").iterdir()) == []


class Job:
    """A job of the tiny application on the cluster, run by a process of its own."""

    def __init__(self, folder: Path, address: str, items: int, seconds: float, **config: Any) -> None:
        self.folder, self.items = folder, items
        texts = {f"{number:03}": {"text": f"text {number}", "seconds": seconds} for number in range(items)}
        given = json.dumps({"items": texts, "cluster": address, **config})
        self.command = [sys.executable, "-m", "core.tiny", str(folder / "ws"), str(folder / "out"), given]
        self.start()

    def start(self) -> None:
        path = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        if not (self.folder / "ws" / "lote.db").exists():
            return []
        with contextlib.closing(sqlite3.connect(self.folder / "ws" / "lote.db", timeout=60.0)) as connection:
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return []

    @property
    def done(self) -> int:
        return sum(one for (one,) in self.query("SELECT count FROM tally WHERE state = 'completed'"))

    @property
    def state(self) -> str:
        return "".join(one for (one,) in self.query("SELECT state FROM job"))

    @property
    def phase(self) -> str:
        return "".join(one for (one,) in self.query("SELECT phase FROM job"))

    @property
    def bridge(self) -> psutil.Process:
        (bridge,) = (
            one
            for one in psutil.Process(self.process.pid).children()
            if "lote bridge" in " ".join(one.cmdline())
        )
        return bridge

    def finish(self) -> None:
        """It ends well: every item once, nobody blamed, and no part left."""
        _, told = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, told.decode()
        assert self.query("SELECT count(*), sum(deaths) FROM item WHERE state = 'completed'") == [
            (self.items, 0)
        ]
        names = sorted(path.name for path in (self.folder / "out").iterdir())
        assert names == [f"{number:03}" for number in range(self.items)]
        for name in names:
            assert (self.folder / "out" / name).read_text() == f"text {int(name)}"

    @property
    def losses(self) -> int:
        return int(self.query("SELECT sum(losses) FROM item")[0][0])


def test_machine_agent_child_and_bridge_are_killed(cluster: Machines, tmp_path: Path) -> None:
    job = Job(tmp_path, cluster.address, 40, 0.5)
    until(lambda: job.done >= 2)
    cluster.kill(cluster.names[0])  # a machine
    before = job.done
    until(lambda: job.done >= before + 3)
    (agent, *_) = cluster.processes(cluster.names[0], "ray::Agent")
    agent.kill()
    before = job.done
    until(lambda: job.done >= before + 3)
    assert job.losses <= 2
    job.bridge.kill()
    job.finish()
    assert 1 <= job.losses <= 5  # in flight only: one a slot, at each of three deaths
    cluster.add()


def test_all_machines_go_and_one_comes_back(cluster: Machines, tmp_path: Path) -> None:
    job = Job(tmp_path, cluster.address, 12, 0.3)
    until(lambda: job.done >= 2)
    for name in cluster.names:
        cluster.kill(name)
    until(lambda: job.phase == "waiting for a machine of the cluster")
    cluster.add()
    job.finish()
    cluster.add()
    cluster.add()


def test_a_cut_cable_is_noticed(cluster: Machines, tmp_path: Path) -> None:
    job = Job(tmp_path, cluster.address, 8, 4.0)
    until(lambda: len(cluster.processes(cluster.names[0], "ray::Agent.run")) > 0)
    cluster.unplug(cluster.names[0])
    assert until(lambda: job.losses == 1) < 60.0  # promised: 20 s
    job.finish()
    cluster.kill(cluster.names[0])
    cluster.add()


def test_pause_gives_the_slots_back_and_cancel_ends_at_once(cluster: Machines, tmp_path: Path) -> None:
    job = Job(tmp_path, cluster.address, 200, 0.3)
    until(lambda: job.done >= 2)
    asked = {"workspace": tmp_path / "ws"}
    assert lote("pause", "1", **asked).code == 0
    until(lambda: job.state == "paused")
    until(lambda: not any(cluster.processes(name, "ray::Agent") for name in cluster.names))
    done = job.done
    assert lote("resume", "1", "--detach", **asked).code == 0
    until(lambda: job.done > done)
    assert lote("cancel", "1", **asked).code == 0
    job.process.communicate(timeout=PATIENCE_S)
    assert job.process.returncode == 4
    assert job.state == "cancelled"
    assert not list((tmp_path / "out").glob(".*"))


def test_nothing_stays_on_the_machines_when_the_coordinator_is_killed(
    cluster: Machines, tmp_path: Path
) -> None:
    job = Job(tmp_path, cluster.address, 30, 0.5)
    until(lambda: job.done >= 2)
    assert any(cluster.processes(name, "lote worker") for name in cluster.names)
    job.process.kill()
    job.process.communicate()
    busy = ("lote worker", "ray::Agent")
    until(lambda: not any(cluster.processes(name, word) for name in cluster.names for word in busy))
    job.start()
    job.finish()


def colorize(folder: Path, name: str, *options: str) -> Run:
    return lote(
        "colorize", folder / "in.cbz", "-o", folder / name / "out.cbz", "--backend", "flats", "--layers", "ora",
        "--workers", "3", "--json", *options, workspace=folder / f"ws-{name}", SOURCE_DATE_EPOCH="1600000000",
    )  # fmt: skip


def files_of(folder: Path) -> dict[str, str]:
    """What stands in an output, but for the report, which tells the seconds that each page took."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".html"
    }


def test_a_comic_is_the_same_to_the_byte(cluster: Machines, tmp_path: Path) -> None:
    zipped(book(tmp_path / "book", 6), tmp_path / "in.cbz")
    (tmp_path / "book" / "3.hints.json").write_text("{}")
    here = colorize(tmp_path, "here")
    assert here.code == 0, here.err
    there = colorize(tmp_path, "there", "--engine", "ray", "--ray-address", cluster.address)
    assert there.code == 0, there.err
    assert [event["event"] for event in there.events][-1] == "summary"  # nothing but JSON on stdout
    assert there.summary["completed"] == 6
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")

    # The same job may go on elsewhere: nothing is done again.
    again = lote(
        "colorize", tmp_path / "in.cbz", "-o", tmp_path / "there" / "out.cbz", "--backend", "flats", "--layers",
        "ora", "--json", workspace=tmp_path / "ws-there", SOURCE_DATE_EPOCH="1600000000",
    )  # fmt: skip
    assert (again.code, again.summary["reused"]) == (0, 6)


def test_a_comic_survives_a_machine(cluster: Machines, tmp_path: Path) -> None:
    zipped(book(tmp_path / "book", 9, size=(700, 900)), tmp_path / "in.cbz")
    here = colorize(tmp_path, "here")
    assert here.code == 0, here.err
    arguments = command(
        "colorize", tmp_path / "in.cbz", "-o", tmp_path / "there" / "out.cbz", "--backend", "flats", "--layers", "ora",
        "--workers", "3", "--json", "--engine", "ray", "--ray-address", cluster.address,
    )  # fmt: skip
    told = environment(tmp_path / "ws-there") | {"SOURCE_DATE_EPOCH": "1600000000"}
    process = subprocess.Popen(arguments, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("completed"):
            cluster.kill(cluster.names[0])
            break
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    cluster.add()


# Ray on all machines ends with its head, and is started again: minutes.
if os.environ.get("LOTE_FAULTS") == "long":

    def test_the_head_dies_and_comes_back(cluster: Machines, tmp_path: Path) -> None:
        job = Job(tmp_path, cluster.address, 40, 3.0)  # slots work on for a while without their head
        until(lambda: job.done >= 2)
        cluster.stop_head()
        until(lambda: job.phase == "waiting for a machine of the cluster")
        for name in cluster.names:
            cluster.kill(name)
        cluster.start_head()
        for _ in range(3):
            cluster.add()
        job.finish()


def test_no_cluster_is_one_sentence(tmp_path: Path) -> None:
    zipped(book(tmp_path / "book", 1), tmp_path / "in.cbz")
    run = colorize(tmp_path, "there", "--engine", "ray", "--ray-address", "127.0.0.1:9")
    assert run.code == 2
    assert "No Ray cluster answers at 127.0.0.1:9: start one with `ray start --head`." in run.err
