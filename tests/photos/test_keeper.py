"""Situations of people's libraries that a keeper thought of after the field specification."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batch_processing.ui.cli.photos import photos_app
from header_files import exif_block, jpeg
from photos_help import write

Lote = Callable[..., list[dict[str, Any]]]
LONG_AGO = 1_500_000_000


@pytest.fixture
def lote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lote:
    """Runs `lote photos ARGS --json` and gives its lines."""
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("LOTE_DATABASE", raising=False)

    def run(*arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
        result = CliRunner().invoke(photos_app, [*map(str, arguments), "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


def photo(path: Path, day: int) -> Path:
    write(path, jpeg(exif_block(date=f"2019:07:{day:02d} 10:00:00")))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.mark.parametrize("way", ["itself", "a link", "a link above"])
def test_copies_on_the_card_itself_make_it_no_safer(tmp_path: Path, lote: Lote, way: str) -> None:
    card = tmp_path / "run" / "card"
    for day in range(1, 4):
        shutil.copy2(photo(card / "DCIM" / f"{day}.jpg", day), card / f"BACKUP{day}.jpg")
    lote("scan", card)
    asked = card
    if way == "a link":
        (asked := tmp_path / "media").symlink_to(card)
    elif way == "a link above":
        (tmp_path / "media").symlink_to(tmp_path / "run")
        asked = tmp_path / "media" / "card"
    summary = lote("known", asked, code=3)[-1]
    assert (summary["known"], summary["all_known"]) == (0, False)
    plan = lote("import", asked, tmp_path / "new")[-1]
    assert plan["to_copy"] == 3


@pytest.mark.parametrize(
    "folder",
    [
        ".zfs/snapshot/daily",
        "files_trashbin/files",
        "Network Trash Folder",
        ".sync/Archive",
        ".dropbox.cache",
        "Backups.backupdb",
        "~snapshot",
        "lost+found",
        "appdata_oc1/preview",
        "CaptureOne/Cache/Proxies",
        "share/Trash/files",
        "System Volume Information",
    ],
)
def test_more_folders_of_machines(tmp_path: Path, lote: Lote, folder: str) -> None:
    library = tmp_path / "library"
    one = photo(library / "2019" / "holidays" / "1.jpg", 1)
    shutil.copy2(one, write(library / folder / "1.jpg", b""))
    summary = lote("scan", library)[-1]
    assert (summary["files_seen"], summary["duplicates"], len(summary["left_alone"])) == (1, 0, 1)
    lote("duplicates", "--trash", "--yes", "--keep", "shortest-path")
    assert one.exists()
    assert (library / folder / "1.jpg").exists()


@pytest.mark.parametrize(
    "library", ["iPhoto Library", "Eagle.library", "Films.imovielibrary", "A.photoslibrary"]
)
def test_libraries_of_other_programs_stay_whole(tmp_path: Path, lote: Lote, library: str) -> None:
    inside = photo(tmp_path / "tree" / library / "Masters" / "1.jpg", 1)
    outside = tmp_path / "tree" / "copies" / "1.jpg"
    outside.parent.mkdir()
    shutil.copy2(inside, outside)
    assert lote("scan", tmp_path / "tree")[-1]["duplicates"] == 1
    lote("duplicates", "--trash", "--yes", "--keep", "under", outside.parent)
    assert inside.exists()
    lote("duplicates", "--trash", "--yes", "--keep", "under", inside.parent)
    assert (inside.exists(), outside.exists()) == (True, False)


def test_verify_names_what_is_no_image_any_more(tmp_path: Path, lote: Lote) -> None:
    paths = [photo(tmp_path / "tree" / f"{day}.jpg", day) for day in (1, 2)]
    lote("scan", tmp_path / "tree")
    paths[1].write_text("<html>Your session has expired</html>")
    events = lote("verify", code=3)
    assert [event["path"] for event in events[:-1]] == [str(paths[1])]
    assert events[-1]["corrupt"] == 1


def test_verify_goes_on_naming_what_a_scan_has_marked(tmp_path: Path, lote: Lote) -> None:
    paths = [photo(tmp_path / "tree" / f"{day}.jpg", day) for day in (1, 2, 3)]
    lote("scan", tmp_path / "tree")
    paths[0].unlink()
    assert lote("scan", tmp_path / "tree")[-1]["missing"] == 1
    assert lote("verify", code=3)[-1]["missing"] == 1
    lote("forget", "--missing", "--yes")
    assert lote("verify")[-1]["ok"] == 2


def test_a_card_with_nothing_but_what_systems_leave(tmp_path: Path, lote: Lote) -> None:
    photo(tmp_path / "tree" / "1.jpg", 1)
    lote("scan", tmp_path / "tree")
    write(tmp_path / "card" / ".DS_Store", b"\0\0\0\1Bud1")
    write(tmp_path / "card" / "._1.jpg", bytes.fromhex("0005160700020000"))
    assert lote("known", tmp_path / "card", code=3)[-1]["all_known"] is False
    shutil.copy2(tmp_path / "tree" / "1.jpg", tmp_path / "card" / "1.jpg")
    assert lote("known", tmp_path / "card")[-1]["all_known"] is True


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_garbage_of_flash_memory_is_no_copy(tmp_path: Path, lote: Lote, byte: bytes) -> None:
    for name in ("1.jpg", "2.jpg"):
        write(tmp_path / "tree" / name, byte * 300_000)
    summary = lote("scan", tmp_path / "tree")[-1]
    assert (summary["registered"], summary["duplicates"], summary["facts_errors"]) == (0, 0, 2)
    assert lote("duplicates")[-1]["copies"] == 0
    assert lote("scan", tmp_path / "tree")[-1]["files_seen"] == 2
    time.sleep(2.1)
    lote("scan", tmp_path / "tree")
    assert lote("scan", tmp_path / "tree")[-1]["bytes_read"] == 0
    assert len(lote("errors")) == 3


def test_a_typing_error_is_no_empty_list(tmp_path: Path) -> None:
    photo(tmp_path / "tree" / "1.jpg", 1)
    for arguments, words in (
        (["duplicates", str(tmp_path / "typo")], "No photo is known below"),
        (
            ["duplicates", "--trash", "--keep", "under", str(tmp_path / "typo"), "--yes"],
            "there is no such folder",
        ),
        (["duplicates", "--trash", "--keep", "under", "--yes"], "needs a folder"),
    ):
        result = CliRunner().invoke(photos_app, [*arguments, "--workspace", str(tmp_path / "ws")])
        assert result.exit_code != 0
        assert words in str(result.exception)
