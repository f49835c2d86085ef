"""The regions of pages: in files of the workspace, whatever the ledger is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batch_processing import JobResult, colorize_comic
from batch_processing.core.workspace import Workspace
from batch_processing.upkeep import clean
from pages import figure


@pytest.fixture
def done(tmp_path: Path) -> JobResult:
    """A book of two pages that the backend flats has coloured."""
    figure(tmp_path / "in" / "0.png", color=True)
    figure(tmp_path / "in" / "1.png", color=False, shift=20)
    figure(tmp_path / "in" / "2.png", color=False, shift=60)
    return again(tmp_path)


def again(root: Path) -> JobResult:
    return colorize_comic(root / "in", root / "out", workspace=root / "ws", backend="flats")


def kept(root: Path) -> list[Path]:
    return sorted((root / "ws" / "jobs" / "1" / "regions").iterdir())


def told(root: Path) -> dict[str, dict[str, Any]]:
    """What the ledger itself says of each page."""
    with closing(sqlite3.connect(root / "ws" / "lote.db")) as ledger:
        return {key: json.loads(details) for key, details in ledger.execute("SELECT key, details FROM item")}


def regions_of(details: Mapping[str, object]) -> list[dict[str, Any]]:
    regions = details["regions"]
    assert isinstance(regions, list)
    return regions


def test_regions_lie_beside_the_ledger_and_are_told_as_ever(tmp_path: Path, done: JobResult) -> None:
    assert all("regions" not in details for details in told(tmp_path).values())
    assert len(kept(tmp_path)) == 2
    for page in done.pages:
        ids = {color["id"] for color in page.details["palette"]}  # type: ignore[attr-defined]
        assert {region["id"] for region in regions_of(page.details)} == ids
    damaged, whole = kept(tmp_path)
    damaged.write_bytes(whole.read_bytes())  # another page's
    first, second = done.pages
    assert "regions" not in first.details
    assert "palette" in first.details
    assert regions_of(second.details)
    (tmp_path / "in" / "1.png").unlink()
    rerun = again(tmp_path)
    assert [page.details for page in rerun.pages] == [second.details]
    assert kept(tmp_path) == [whole]  # that of the page that is gone is gone
    clean(Workspace(tmp_path / "ws"))
    (page,) = again(tmp_path).pages  # it stands, so it is not coloured again
    assert (page.reused, "regions" in page.details, "palette" in page.details) == (True, False, True)


def test_a_ledger_from_before_tells_its_regions_and_keeps_them(tmp_path: Path, done: JobResult) -> None:
    """An earlier Lote had them in the ledger itself."""
    before = {page.page: regions_of(page.details) for page in done.pages}
    for path in kept(tmp_path):
        path.unlink()
    with closing(sqlite3.connect(tmp_path / "ws" / "lote.db", isolation_level=None)) as ledger:
        for key, regions in before.items():
            ledger.execute(
                "UPDATE item SET details = json_remove(json_set(details, '$.regions', json(?)), '$.regions_sha256') "
                "WHERE key = ?",
                (json.dumps(regions), key),
            )
    assert {page.page: regions_of(page.details) for page in done.pages} == before
    rerun = again(tmp_path)
    assert rerun.reused == 2
    assert {page.page: regions_of(page.details) for page in rerun.pages} == before
