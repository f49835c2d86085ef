"""A full disk, limits of files and memory, and a crowd at one ledger."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch_processing.core.ledger import Ledger
from batch_processing.core.model import ItemSpec
from command import command, environment, lote
from corpus.images import png
from faults.runs import Length, Report
from pages import line_art

FULL_DISK = r"""
set -e
mount -t tmpfs -o size=600k tmpfs "$1"
mkdir "$1/out"
set +e
"$2" -m core.tiny "$3/ws" "$1/out" "$4" 2> "$3/told"
echo $? > "$3/code"
ls -A "$1/out" > "$3/left"
mount -o remount,size=60m "$1"
"$2" -m core.tiny "$3/ws" "$1/out" "$4" 2> "$3/told2"
echo $? > "$3/code2"
ls -A "$1/out" > "$3/left2"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces")
def test_a_real_full_disk(tmp_path: Path, report: Report) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    if subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "x", str(mounted)], capture_output=True, check=False
    ).returncode:
        pytest.skip(
            "needs the right to mount a small file system: run as root, outside of a restricted container"
        )
    config = json.dumps({"items": {f"p{n}": {"text": "x", "times": 60_000} for n in range(20)}})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(
        ["unshare", "-m", "sh", "-c", FULL_DISK, "sh", str(mounted), sys.executable, str(tmp_path), config],
        env=environment,
        check=True,
        timeout=200,
    )
    told = (tmp_path / "told").read_text()
    assert (tmp_path / "code").read_text() == "1\n", told
    assert "No space left on device" in told
    assert "bytes needed" in told
    assert not [name for name in (tmp_path / "left").read_text().split() if name.endswith(".part")]
    assert (tmp_path / "code2").read_text() == "0\n", (tmp_path / "told2").read_text()
    assert len((tmp_path / "left2").read_text().split()) == 20
    ledger = Ledger(tmp_path / "ws" / "lote.db")
    assert ledger.counts(1)["completed"] == 20
    ledger.close()
    report("a full disk", "one sentence with the bytes needed, no stray file, completed after room was made")


def test_limits_of_file_size_and_memory(tmp_path: Path, report: Report) -> None:
    """A page that meets one fails by itself and says so; without the limits it is made."""
    line_art(tmp_path / "in" / "small.png")
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "file.png")  # some 1.5 MB
    (tmp_path / "in" / "memory.png").write_bytes(png(5_500, 5_500, bytes(5_500 * 5_501)))
    arguments = (
        "colorize",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--backend",
        "noop",
        "--as-lineart",
        "*",
    )
    limited = subprocess.run(
        # In blocks of 512 bytes.
        ["sh", "-c", 'ulimit -f 2000; exec "$@"', "sh", *command(*arguments, "--worker-memory", "320M")],
        env=environment(tmp_path / "ws"),
        capture_output=True,
        text=True,
        check=False,
    )
    told = limited.stderr
    assert limited.returncode == 3, told
    assert re.search(r"file\.png: Cannot write .*File too large.* bytes needed", told), told
    assert re.search(r"memory\.png: .*memory", told), told
    # The original of the one stands in its place; that of the other meets the limit, too.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_lote", "memory.png", "small.png"]
    assert (tmp_path / "out" / "memory.png").read_bytes() == (tmp_path / "in" / "memory.png").read_bytes()
    assert "the original of file.png is not in the output" in told
    assert lote(*arguments, workspace=tmp_path / "ws").code == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    report(
        "limits of file size and memory",
        "a page that meets one fails with a sentence, and is made without it",
    )


CROWD = """
import json, random, sys, time
from batch_processing.core.ledger import Ledger
from batch_processing.core.model import Settlement
ledger = Ledger(sys.argv[1], journal=sys.argv[2])
rng = random.Random(int(sys.argv[3])); until = time.monotonic() + float(sys.argv[4]); commits = []
def commit(what, *args):
    began = time.monotonic()
    value = what(*args)
    commits.append(time.monotonic() - began)
    return value
while time.monotonic() < until:
    what = rng.randrange(5)
    if what == 0: commit(ledger.want, 1, rng.choice(["pause", "run"]))
    elif what == 1: list(ledger.items(1)); ledger.events(1)
    elif what == 2: commit(ledger.retry, 1)
    elif what == 3: ledger.jobs(); ledger.counts(1)
    else:
        items = commit(ledger.claim, 1, 2)
        commit(ledger.settle, [Settlement(i.id, i.token, rng.choice(["completed", "failed", "pending"]), "h") for i in items])
print(json.dumps(commits))
"""


def crowd(path: Path, journal: str, people: int, seconds: float) -> list[float]:
    """That many processes at work on one ledger for that long; how long each commit took, shortest first."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(path), journal, str(number), str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(people)
    ]
    told = [process.communicate(timeout=seconds + 240) for process in processes]
    assert [process.returncode for process in processes] == [0] * people, told
    assert "locked" not in "".join(stderr for _, stderr in told)
    return sorted(time for stdout, _ in told for time in json.loads(stdout))


@pytest.mark.parametrize("journal", ["truncate", "wal"])
def test_a_crowd_at_one_ledger(tmp_path: Path, journal: str, length: Length, report: Report) -> None:
    path = tmp_path / "lote.db"
    ledger = Ledger(path, journal=journal)
    number = ledger.submit("comics", ["/in"], "/out", {}).id
    ledger.plan(number, 1, [ItemSpec(f"p{n}", n, "", "f", {}, f"/out/p{n}") for n in range(200)])
    alone = crowd(path, journal, 1, length(1, 20))
    together = crowd(path, journal, 4, length(1, 60))
    assert ledger.database.integrity_check() == "ok"
    rows: dict[str, int] = {}
    for item in ledger.items(number):
        rows[item.state] = rows.get(item.state, 0) + 1
    assert {name: count for name, count in ledger.counts(number).items() if count} == rows
    ledger.close()
    one, four = (times[int(len(times) * 0.99)] for times in (alone, together))
    if length(0, 1):  # a few seconds beside other work say nothing about the slowest in a hundred
        assert four < 10 * one
    report(
        f"a crowd, {journal}",
        f"4 processes, {len(together)} commits in {length(1, 60)} s, 99th percentile {four * 1000:.0f} ms "
        f"({one * 1000:.0f} ms for one alone), the slowest {together[-1] * 1000:.0f} ms",
    )
