"""The same job on other machines: same results, same bytes, whatever dies meanwhile.

Ray is never imported here: it lives in the bridge and on the machines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_processing.core.cluster.pool import ClusterPool
from batch_processing.core.cluster.slots import Wanted
from batch_processing.core.workers import Task
from batch_processing.photos.people.bringing import bring
from cluster_jobs import IS_LONG, PATIENCE_S, Job, files_of, until
from command import Run, command, environment, lote
from core.engine_tasks import Mix
from core.pool_contract import PoolContract, only, results, task, wait_for_slots
from drawn_photos import jpeg, shot
from face_networks import astronaut, wheels
from machines import Machines
from pages import book, zipped
from photos_help import Library, rows

PAGES = 4


class Remembering(ClusterPool):
    """One that knows what it was given."""

    given: set[str]

    def submit(self, *tasks: Task) -> None:
        super().submit(*tasks)
        self.given |= {task.id for task in tasks}


@pytest.fixture(scope="class")
def opened(started: Machines) -> Iterator[Remembering]:
    pool = Remembering(started.address, Wanted(2))
    yield pool
    pool.close()


@pytest.fixture
def pool(cluster: Machines, opened: Remembering) -> Iterator[ClusterPool]:
    opened.given = set()
    wait_for_slots(opened, 2)
    yield opened
    opened.stop(list(opened.given))
    try:
        until(lambda: opened.completed(0.1) is not None and opened.free == opened.slots, 20.0)
    except AssertionError:
        opened.close()  # the next test begins anew
        raise


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

    def test_what_cannot_be_read_here_is_told_as_on_one_machine(
        self, pool: ClusterPool, tmp_path: Path
    ) -> None:
        mix = self.mix(tmp_path / "in")
        Path(mix.source).unlink()
        Path(mix.source).mkdir()
        result = only(pool, Task("1", mix))
        assert result.failure is not None
        assert str(result.failure.text).endswith("Is a directory")
        assert pool.free == pool.slots


def colorize(folder: Path, *options: str | Path, **env: str) -> Run:
    """Colour `folder`'s book into its `out`."""
    run = lote(
        "colorize", folder / "in.cbz", "-o", folder / "out.cbz", "--backend", "flats", "--layers", "ora", "--json",
        *options, workspace=folder / "ws", SOURCE_DATE_EPOCH="1600000000", **env,
    )  # fmt: skip
    assert run.code == 0, run.err
    return run


def drawn(folder: Path) -> Path:
    """A book, of whose pages one has a hint."""
    book(folder / "book", PAGES)
    hints = {"points": [{"x": 100, "y": 100, "color": "#7828a0"}]}
    (folder / "book" / "3.hints.json").write_text(json.dumps(hints))
    zipped(folder / "book", folder / "in.cbz")
    shutil.rmtree(folder / "book")
    return folder


def odd(cluster: Machines) -> dict[str, str]:
    """The environment of a machine that has another numpy, as it seems."""
    folder = cluster.folder / "odd"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "from importlib import metadata\n"
        "real = metadata.version\n"
        "metadata.version = lambda name: '1.0' if name == 'numpy' else real(name)\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), cluster.environment["PYTHONPATH"]])}


def test_a_comic_is_the_same_to_the_byte(cluster: Machines, tmp_path: Path) -> None:
    """Also when a machine dies in its middle, and beside one that would give other pixels."""
    here, there = drawn(tmp_path / "here"), drawn(tmp_path / "there")
    ray = ("--engine", "ray", "--ray-address", cluster.address)
    if IS_LONG:
        colorize(here, "--preview")
        colorize(there, "--preview", *ray)
        assert "preview.png" in files_of(there / "out.lote")
        assert files_of(there / "out.lote") == files_of(here / "out.lote")
    colorize(here)
    killed, refused = cluster.names[0], cluster.add(**odd(cluster))
    arguments = command(
        "colorize", there / "in.cbz", "-o", there / "out.cbz", "--backend", "flats", "--layers", "ora", "--json", *ray
    )  # fmt: skip
    told = environment(there / "ws") | {"SOURCE_DATE_EPOCH": "1600000000"}
    with subprocess.Popen(arguments, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        events = []
        try:
            for line in process.stdout:  # nothing but JSON on stdout
                events.append(json.loads(line))
                if events[-1].get("completed") and killed in cluster.names:
                    cluster.kill(killed)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    cluster.kill(refused)
    said = f"{refused} is not used: numpy 1.0 there, {np.__version__} here"
    assert [event["text"] for event in events if refused in str(event.get("text"))] == [said]
    assert events[-1]["completed"] == PAGES
    same(here, there)

    recolor(here, there, "--learn")
    if IS_LONG:
        colors = json.loads((here / "out.lote" / "palette.json").read_text())["colors"]
        (tmp_path / "mine.json").write_text(json.dumps({"colors": [{**colors[0], "rgb": [30, 160, 60]}]}))
        recolor(here, there, "--palette", tmp_path / "mine.json")

        # The same job may go on elsewhere: nothing is done again.
        assert colorize(there).summary["reused"] == PAGES


def recolor(here: Path, there: Path, *options: str | Path) -> None:
    for folder in (here, there):
        run = lote("recolor", "1", *options, workspace=folder / "ws", SOURCE_DATE_EPOCH="1600000000")
        assert run.code == 0, run.err
    same(here, there)


def same(here: Path, there: Path) -> None:
    """Archive, layered documents, palette, report, and what the ledger knows of each page."""
    assert (there / "out.cbz").read_bytes() == (here / "out.cbz").read_bytes()
    assert files_of(there / "out.lote") == files_of(here / "out.lote")
    assert pages_of(there) == pages_of(here)


def pages_of(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "ws" / "lote.db", timeout=20.0)) as ledger:
        found = ledger.execute(
            "SELECT key, state, output_hash, details FROM item ORDER BY ordinal"
        ).fetchall()
    return [(*rest, details.replace(str(folder), "")) for *rest, details in found]


def test_photos_have_the_same_rows(
    cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at for faces, too; with what is damaged, gone, no photo, and no file any more."""
    tree = tmp_path / "tree"
    for number in range(9):
        shot(tree / f"{number % 3}" / f"IMG_{number:04d}.jpg", number, width=240, height=160)
    shutil.copytree(tree / "0", tree / "copies")
    (tree / "face.jpg").write_bytes(jpeg(np.asarray(astronaut())))
    (tree / "1" / "broken.jpg").write_bytes((tree / "face.jpg").read_bytes()[:2000] + bytes(3000))
    (tree / "1" / "text.jpg").write_bytes(b"no image at all")
    (tree / "2" / "pipe.jpg").write_bytes((tree / "face.jpg").read_bytes() + b"1")
    (tree / "2" / "gone.jpg").write_bytes((tree / "face.jpg").read_bytes() + b"2")
    (tree / "2" / "changed.jpg").write_bytes((tree / "face.jpg").read_bytes() + b"3")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    bring(wheels())
    assert lote("photos", "scan", tree, workspace=tmp_path / "here").code == 0
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    (tree / "2" / "gone.jpg").unlink()
    (tree / "2" / "pipe.jpg").unlink()
    os.mkfifo(tree / "2" / "pipe.jpg")
    (tree / "2" / "changed.jpg").write_bytes(b"3")
    found = {}
    for place, options in (
        ("here", ()),
        ("there", ("--engine", "ray", "--ray-address", cluster.address, "--workers", "1")),
    ):
        run = lote("photos", "faces", "--json", *options, workspace=tmp_path / place)
        assert run.code == 3, run.err
        said = {name: value for name, value in run.summary.items() if name != "seconds"}
        with Library(tmp_path / place / "lote.db") as library:
            tables = [rows(library, name) for name in ("photo_looks", "photo_faces")]
            errors = sorted(library.errors())
        with closing(sqlite3.connect(tmp_path / place / "previews.db")) as previews:
            pictures = sorted(previews.execute("SELECT * FROM preview").fetchall())
        found[place] = said, tables, errors, pictures
    assert found["there"][0]["faces"] >= 1
    assert (found["there"][0]["gone"], len(found["there"][2])) == (1, 3)
    assert found["there"] == found["here"]


def test_cables_are_cut_and_a_pause_gives_the_slots_back(cluster: Machines, tmp_path: Path) -> None:
    """And a cancel waits for no machine."""
    asked = {"workspace": tmp_path / "ws"}
    one, other = cluster.names
    with Job(tmp_path, cluster.address, 90, 1.0) as job:
        until(lambda: len(cluster.processes(one, "ray::Agent.run")) > 0)
        cluster.unplug(one)
        assert until(lambda: job.losses == 1) < 40.0  # promised: 20 s

        assert lote("pause", "1", **asked).code == 0
        until(lambda: job.state == "paused")
        until(lambda: not cluster.processes(other, "ray::Agent"))
        done = job.done
        assert lote("resume", "1", "--detach", **asked).code == 0
        until(lambda: job.done > done)

        cluster.unplug(other)
        began = time.monotonic()
        assert lote("cancel", "1", **asked).code == 0
        job.end()
        assert time.monotonic() - began < 20.0  # promised: 6 s
        assert (job.process.returncode, job.state) == (4, "cancelled")
        assert not list((tmp_path / "out").glob(".*"))
    for name in (one, other):
        cluster.kill(name)


@pytest.mark.machines(1)
def test_agent_bridge_coordinator_and_all_machines_are_killed(cluster: Machines, tmp_path: Path) -> None:
    """Every item is done once, nobody is blamed, and nothing stays on the machines when the coordinator is killed."""
    with Job(tmp_path, cluster.address, 24, 0.4) as job:
        until(lambda: job.done >= 1)
        (agent, *_) = cluster.processes(cluster.names[0], "ray::Agent")
        agent.kill()
        before = job.done
        until(lambda: job.done >= before + 2)
        job.bridge.kill()
        before = job.done
        until(lambda: job.done >= before + 2)

        job.process.kill()
        job.end()
        busy = ("lote worker", "ray::Agent")
        until(lambda: not any(cluster.processes(name, word) for name in cluster.names for word in busy))
        before = job.done
        job.start()
        until(lambda: job.done >= before + 2)
        for name in cluster.names:
            cluster.kill(name)
        until(lambda: job.phase == "waiting for a machine of the cluster")
        cluster.add()
        job.finish()
        assert 1 <= job.losses <= 3 * len(cluster.names) + 2  # in flight only: one a slot, at each death


def test_no_cluster_is_one_sentence(tmp_path: Path) -> None:
    book(tmp_path / "in", 1)
    run = lote(
        "colorize", tmp_path / "in", "-o", tmp_path / "out", "--engine", "ray", "--ray-address", "127.0.0.1:9",
        workspace=tmp_path / "ws",
    )  # fmt: skip
    assert run.code == 2
    assert "No Ray cluster answers at 127.0.0.1:9: start one with `ray start --head`." in run.err


# Only on a GPU do pages share batches. The networks do not mind, so that a processor can show what becomes of them.
BATCHES_OF_THREE = """
from batch_processing.backends.cobra.backend import CobraBackend
CobraBackend._together = lambda *_: 3
"""


# Minutes: Ray on all machines ends with its head, and is started again; torch is loaded by each worker.
if IS_LONG:

    def test_the_head_dies_and_comes_back(cluster: Machines, tmp_path: Path) -> None:
        with Job(tmp_path, cluster.address, 40, 3.0) as job:  # slots work on for a while without their head
            until(lambda: job.done >= 2)
            cluster.stop_head()
            until(lambda: job.phase == "waiting for a machine of the cluster")
            for name in cluster.names:
                cluster.kill(name)
            cluster.start_head()
            cluster.mend(3)
            told = job.end(300.0)
            assert job.process.returncode == 0, told
            job.finish()

    def test_a_cluster_with_a_token(tmp_path: Path) -> None:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "9f" * 16}
        with Machines(1, slots=2, **token) as machines:
            here, there = drawn(tmp_path / "here"), drawn(tmp_path / "there")
            colorize(here)
            ray = ("--engine", "ray", "--ray-address", machines.address)
            run = colorize(there, *ray, **token)
            assert not [event for event in run.events if "no token" in str(event.get("text"))]
            same(here, there)
            refused = lote(
                "colorize", there / "in.cbz", "-o", there / "b.cbz", "--backend", "flats", *ray, workspace=there / "b"
            )  # fmt: skip
            assert refused.code == 2
            assert "cannot be used" in refused.err

    def test_cobra_and_shared_files(cluster: Machines, tmp_path: Path) -> None:
        """Batches of the small networks, on machines that see the same folders."""
        from backends.cobra.small_model import write_small_model  # with torch

        shared = Path(tempfile.mkdtemp(dir=cluster.folder))
        write_small_model(shared / "model")
        (shared / "hook").mkdir()
        (shared / "hook" / "sitecustomize.py").write_text(BATCHES_OF_THREE)
        path = os.pathsep.join([str(shared / "hook"), os.environ.get("PYTHONPATH", "")])
        env = {"LOTE_COBRA_MODEL": str(shared / "model"), "LOTE_COBRA_DEVICE": "cpu", "PYTHONPATH": path}
        for name in cluster.names:
            cluster.kill(name)
        env_there = env | {
            "PYTHONPATH": os.pathsep.join([str(shared / "hook"), cluster.environment["PYTHONPATH"]])
        }
        cluster.add(**env_there)
        for place, options in (
            ("here", ()),
            ("there", ("--engine", "ray", "--ray-address", cluster.address, "--files", "shared")),
        ):
            folder = shared / place
            book(folder / "in", 6, size=(96, 144))
            hint = Image.new("RGBA", (96, 144))
            hint.paste((255, 0, 0, 255), (20, 20, 70, 70))
            hint.save(folder / "in" / "2.hints.png")
            run = lote(
                "colorize", folder / "in", "-o", folder / "out.cbz", "--backend", "cobra", "--steps", "2", "--json",
                "--as-lineart", "[1-6].png", "--keep-ink", *options, workspace=folder / "ws",
                SOURCE_DATE_EPOCH="1600000000", **env,
            )  # fmt: skip
            assert run.code == 0, run.err
            assert run.summary["completed"] == 6
            with closing(sqlite3.connect(folder / "ws" / "lote.db", timeout=20.0)) as ledger:
                assert ledger.execute("SELECT count(DISTINCT turn) FROM item").fetchone() == (2,)
        same(shared / "here", shared / "there")
