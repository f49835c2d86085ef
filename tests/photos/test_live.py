"""Live Photos: which two files of a folder are one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from batch_processing.ui.cli.photos import photos_app
from header_files import apple_note, exif_block, jpeg, movie
from photos_help import write

ONE, OTHER = "6C7D1D70-1B2C-4E4F-9D0A-6C4F2B7E0A11", "0B1D1D70-1B2C-4E4F-9D0A-6C4F2B7E0A22"


@pytest.mark.parametrize(
    ("still", "video", "ids", "is_pair"),
    [
        ("IMG_1.HEIC.jpg", "IMG_2.mov", (ONE, ONE), True),  # one was renamed
        ("IMG_1.jpg", "IMG_1.MOV", (ONE, ONE), True),
        ("IMG_1.jpg", "img_1.mov", (ONE, None), True),  # the video was written anew
        ("IMG_1.jpg", "IMG_1.mov", (None, ONE), True),
        ("IMG_1.jpg", "IMG_1.mov", (ONE, OTHER), False),
        ("IMG_1.jpg", "IMG_1.mov", (None, None), False),  # as cameras number photos and videos
        ("IMG_1.jpg", "other/IMG_1.mov", (ONE, ONE), False),
    ],
)
def test_halves_find_each_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    still: str,
    video: str,
    ids: tuple[str | None, str | None],
    is_pair: bool,
) -> None:
    monkeypatch.setenv("LOTE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("LOTE_DATABASE", raising=False)
    tree = tmp_path / "tree"
    more = {"more": {0x927C: apple_note(ids[0])}} if ids[0] else {}
    keys = {"com.apple.quicktime.content.identifier": ids[1]} if ids[1] else None
    one, two = write(tree / still, jpeg(exif_block(**more))), write(tree / video, movie(keys=keys))

    def events(*arguments: str | Path) -> list[dict[str, object]]:
        result = CliRunner().invoke(photos_app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    summary = events("scan", tree, "--videos", "--json")[-1]
    assert (summary["registered"], summary["facts_errors"]) == (2, 0)
    listed = {event["path"]: event.get("live_with") for event in events("list", "--json")[:-1]}
    wanted = {str(one): str(two), str(two): str(one)} if is_pair else {str(one): None, str(two): None}
    assert listed == wanted
