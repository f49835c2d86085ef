"""What reads untrusted bytes, fed with damaged ones: each reader gives an answer or its own error, soon.

Three ways to the same promise. What was kept (`tests/fuzz`) is tried everywhere. Where atheris is installed, it looks
for new inputs, led by the code that they reach: a minute for all readers together here, ten minutes for each in `make
faults`. And everywhere the examples are damaged at random, the same way on every machine; where atheris is not
installed, for ten minutes in `make faults`."""

from __future__ import annotations

import base64
import random
import struct
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from faults.runs import Length, Report
from fuzz.grow import faults, fuzz
from fuzz.readers import READERS, Reader, kept, let_go
from shared_data import lacking

ATHERIS = find_spec("atheris") is not None


def led() -> None:
    if not ATHERIS:
        lacking("needs atheris, which has wheels for Linux on x86-64 and Python up to 3.13")


@pytest.fixture(scope="module", autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    let_go()


# Damaged examples for each reader: the same ones on every machine.
CASES = 300


def mutations(reader: Reader, chance: random.Random) -> Iterator[bytes]:
    """One damage after the other to the examples, several at once, or two examples in one."""
    while True:
        data = bytearray(chance.choice(reader.examples))
        for _ in range(chance.choice([1, 1, 2, 4, 16])):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(7)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                data[at : at + 1] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
            elif kind == 2:
                del data[at : at + chance.choice([1, 2, 4, 100, 10_000])]
            elif kind == 3 and reader.words:
                data[at:at] = chance.choice(reader.words) * chance.choice([1, 1, 2, 50])
            elif kind == 4:
                data[at:at] = data[at : at + chance.choice([1, 8, 64])] * chance.choice([1, 2, 30])
            elif kind == 5:
                data[at : at + 4] = struct.pack(
                    chance.choice("<>") + "I", chance.choice([0, 1, 2**16, 2**31, 2**32 - 1])
                )
            else:
                other = chance.choice(reader.examples)
                data[at:] = other[chance.randrange(len(other) + 1) :]
        yield bytes(data)


def tried(name: str, data: bytes, path: Path) -> str | None:
    """What the reader says of these bytes; an AssertionError that shows them for a fault."""
    path.write_bytes(data)
    try:
        return READERS[name].refusal(path)
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error} by {data[:2000]!r}") from error


@pytest.mark.filterwarnings("ignore")  # what Pillow thinks of a damaged header
@pytest.mark.parametrize("name", READERS)
def test_kept_bytes_are_read_or_refused(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    path = tmp_path / f"given{reader.suffix}"
    inputs = kept(name)
    assert inputs
    for data in reader.examples:
        tried(name, data, path)
    for each in inputs:
        tried(name, each.read_bytes(), path)
    assert list(tmp_path.iterdir()) in (
        [path],
        [path, path.with_suffix(".d")],
        [path.with_suffix(".d"), path],
    )


@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes_are_read_or_refused(name: str, tmp_path: Path, length: Length, report: Report) -> None:
    path = tmp_path / f"given{READERS[name].suffix}"
    is_led = ATHERIS and READERS[name].is_led
    until = time.monotonic() + (2 if is_led else length(6, 600))
    cases = CASES if is_led else length(CASES, 10**9)
    count = refused = 0
    for data in mutations(READERS[name], random.Random(name)):
        refused += tried(name, data, path) is not None
        count += 1
        if time.monotonic() > until or count == cases:
            break
    report(f"damaged {name}", f"{count} given, {refused} refused")


# Looking at what code is reached takes long to set up: `make test` has one reader of each kind led.
BRIEFLY = ("archives", "bounds", "exif")
BY_LED = [
    pytest.param(name, marks=() if name in BRIEFLY else pytest.mark.long)
    for name, reader in READERS.items()
    if reader.is_led
]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", BY_LED)
def test_bytes_that_reach_new_code_are_read_or_refused(
    name: str, tmp_path: Path, length: Length, report: Report
) -> None:
    led()
    ran = fuzz(name, tmp_path, f"-max_total_time={length(2, 600)}")
    for path in faults(tmp_path):
        ran.stdout += f"\n{path.name}: {base64.b64encode(path.read_bytes()).decode()}"
    assert ran.returncode == 0, ran.stdout[-8000:]
    last = ran.stdout.splitlines()[-1]
    assert last.startswith("Done "), ran.stdout[-2000:]
    report(f"led {name}", last.removeprefix("Done "))


def test_a_reader_with_a_fault_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "ours", Reader(lambda path: path.read_bytes().decode(), [b"a"], (OSError,)))
    with pytest.raises(AssertionError, match="UnicodeDecodeError"):
        tried("ours", b"\xff", tmp_path / "given")
    monkeypatch.setattr("fuzz.readers.PATIENCE_S", 0.0)
    with pytest.raises(AssertionError, match="it took"):
        tried("ours", b"a" * 10**7, tmp_path / "given")


def test_a_reader_with_a_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By atheris, in an input that no example is near to."""
    led()
    script = tmp_path / "run.py"
    script.write_text("""
from fuzz import run
from fuzz.readers import Reader

def read(path):
    if path.read_bytes()[:1] == b"a":
        raise KeyError("a fault")

run.READERS["ours"] = Reader(read, [])
run.main()
""")
    monkeypatch.setattr("fuzz.grow.RUN", script)
    monkeypatch.setitem(READERS, "ours", Reader(Path.read_bytes, [b"xyz"]))
    ran = fuzz("ours", tmp_path / "work", "-max_total_time=60")
    assert ran.returncode != 0
    assert "KeyError" in ran.stdout
    assert [path.read_bytes()[:1] for path in faults(tmp_path / "work")] == [b"a"]
