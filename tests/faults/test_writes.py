"""Writing that fails, in the coordinator and in a worker, while a whole book is coloured and bound.

Each write, fsync, rename and commit fails once, at the 1st, 2nd, 3rd ... call, until a run passes
untouched. Whatever fails: a clear sentence or a page that is named, a ledger that can be read, and the
same command completes once the cause is gone."""

from __future__ import annotations

import errno
import hashlib
import random
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batch_processing.colorize import JobResult, run, submit
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import BatchProcessingError
from faults.failing import Fault, armed
from faults.runs import Length, Report
from pages import book

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)
PLACES = [(call, False) for call in ("write", "fsync", "rename", "commit", "statement")]
PLACES += [(call, True) for call in ("write", "fsync", "rename")]  # workers never see the ledger
PAGES = 2
# Workers begin with this module, which the interpreter imports by itself where it is on the path.
SITE = "from faults import failing; failing.in_a_worker()"


def color(source: Path, root: Path) -> JobResult | str:
    """What became of the job, or the sentence with which it stopped."""
    workspace = Workspace(root / "ws")
    settings = {"backend": "noop", "max_concurrent": 1}
    try:
        return run(workspace, submit(workspace, [source], root / "out" / "book.cbz", config=settings).id)
    except BatchProcessingError as error:
        return str(error)
    finally:
        workspace.close()


def check(root: Path) -> None:
    """The ledger can be read, and what it calls completed is there."""
    workspace = Workspace(root / "ws")
    assert workspace.ledger.database.integrity_check() == "ok"
    for job in workspace.ledger.jobs():
        for item in workspace.ledger.items(job.id, "completed"):
            assert hashlib.sha256(Path(item.output).read_bytes()).hexdigest() == item.output_hash
    workspace.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers that obey `failing.armed`, and archives that hold no time."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(SITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1600000000")
        patch.setattr(sys, "path", [str(folder), *sys.path])
        yield


@dataclass(frozen=True)
class Undisturbed:
    """A book, the archive that is made of it, and how many calls of each kind that takes."""

    source: Path
    archive: bytes
    calls: dict[tuple[str, bool], int]


@pytest.fixture(scope="module")
def undisturbed(site: None, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    root = tmp_path_factory.mktemp("undisturbed")
    source = book(root / "book", PAGES)
    counters = {place: root / f"{place[0]}-{place[1]}" for place in PLACES}
    with armed(*(Fault(call, 0, 0, str(path), worker) for (call, worker), path in counters.items())):
        assert isinstance(color(source, root), JobResult)
    calls = {place: path.stat().st_size for place, path in counters.items()}
    return Undisturbed(source, (root / "out" / "book.cbz").read_bytes(), calls)


def attempt(fault: Fault, undisturbed: Undisturbed, root: Path) -> bool:
    """Whether the run told of the fault: it stopped, lost a page, or warned."""
    root.mkdir()
    with armed(fault):
        told = color(undisturbed.source, root)
    if isinstance(told, str):
        assert re.match(r"(Job|The|Cannot) .{20}", told), f"{fault}: {told}"
        assert "unexpected" not in told, f"{fault}: {told}"
    else:
        assert told.exit_code in (0, 1, 3)
        assert all("unexpected" not in text for _, text in told.failures), f"{fault}: {told.failures}"
        assert bool(told.failures) == bool(told.exit_code), fault
        if not told.failures:  # whatever it was, it made no difference
            assert (root / "out" / "book.cbz").read_bytes() == undisturbed.archive, fault
            assert (root / "out" / "book.lote" / "report.html").is_file() or told.warnings, fault
    sentences = [told] if isinstance(told, str) else [*(text for _, text in told.failures), *told.warnings]
    assert "[Errno" not in "".join(map(str, sentences)), f"{fault}: {sentences}"
    check(root)
    again = color(undisturbed.source, root)
    assert not isinstance(again, str), f"{fault}: {again}"
    assert (again.exit_code, again.completed) == (0, PAGES), f"{fault}: {again}"
    check(root)
    assert (root / "out" / "book.cbz").read_bytes() == undisturbed.archive, fault
    assert not [path for path in root.rglob("*") if path.name.endswith(".part")], fault
    shutil.rmtree(root)
    return isinstance(told, str) or bool(told.failures or told.warnings)


@pytest.mark.parametrize(("call", "worker"), PLACES)
def test_each_call_fails_once(
    call: str, worker: bool, undisturbed: Undisturbed, tmp_path: Path, length: Length, report: Report
) -> None:
    calls = undisturbed.calls[call, worker]
    cases = [(at, error) for at in range(1, calls + 1) for error in ERRORS]
    # All of them but for the statements: these are some thousand.
    chosen = random.Random(len(call) + worker).sample(cases, min(len(cases), length(1, 300)))
    met = told = 0
    for number, (at, error) in enumerate(chosen):
        counter = tmp_path / f"calls-{number}"
        told += attempt(Fault(call, at, error, str(counter), worker), undisturbed, tmp_path / str(number))
        met += counter.stat().st_size >= at  # how often the ledger is asked depends on the clock
    report(
        f"{call} fails in the {'worker' if worker else 'coordinator'}",
        f"{calls} calls a run, {len(chosen)} runs, {met} met the fault, {told} told of it, all completed by the next",
    )
