"""Several archives dropped on the page: a job and an output for each."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_processing.core.model import Job
from batch_processing.core.workspace import Workspace
from pages import book, colored, zipped
from ui.test_web_attack import Draft
from web_server import Server, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.stop()
    assert "Traceback" not in running.said.read_text()


def jobs(server: Server) -> list[Job]:
    place = Workspace(server.workspace)
    try:
        return place.ledger.jobs("comics")
    finally:
        place.close()


def roles(archive: Path) -> dict[str, Any]:
    with zipfile.ZipFile(archive) as file:
        told = json.loads(file.read("processing_metadata.json"))["pages"]
    return {page["source"]: page["role"] for page in told}


def test_each_archive_becomes_a_job_with_what_was_said_of_its_pages(server: Server, tmp_path: Path) -> None:
    draft = Draft(server)
    for name in ("b.cbz", "a.cbz"):
        folder = book(tmp_path / name[0], 2)
        colored(folder / "3.png", 3)
        assert draft.upload(name, zipped(folder, tmp_path / f"{name[0]}.zip").read_bytes())[0] == 200
    assert draft.do(do="look")[0] == 200
    draft.looked_at()
    assert draft.do(do="move", keys=["b/3.png"])[0] == 200
    code, told = draft.start()
    assert code == 200, told
    until(lambda: all(job.ended for job in jobs(server)))
    first, second = jobs(server)
    assert told["job"] == first.id
    assert [(Path(job.inputs[0]).name, Path(job.output).name) for job in (first, second)] == [
        ("a.cbz", "a.cbz"),
        ("b.cbz", "b.cbz"),
    ]
    assert roles(Path(first.output))["3.png"] == "copy"
    assert roles(Path(second.output))["3.png"] == "page"


def test_one_archive_typed_as_output_binds_them(server: Server, tmp_path: Path) -> None:
    draft = Draft(
        server, *(zipped(book(tmp_path / name, 1), tmp_path / f"{name}.cbz") for name in ("a", "b"))
    )
    code, told = draft.start(output=str(tmp_path / "all.cbz"))
    assert code == 200, told
    until(lambda: all(job.ended for job in jobs(server)))
    (job,) = jobs(server)
    assert set(roles(Path(job.output))) == {"a/0_cover.png", "a/1.png", "b/0_cover.png", "b/1.png"}
