"""From Python: settings by name that a type checker knows, results with their pages, and what can be done with a job."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import get_type_hints

import pytest
from PIL import Image

from batch_processing import (
    BatchConfig,
    JobResult,
    Region,
    colorize_comic,
    colorize_library,
    layers,
    palette,
    recolor,
    review,
)
from batch_processing.config.values import BookSettings, SettingValues
from batch_processing.core.model import ItemState
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ConfigurationError, QueueError
from batch_processing.results import BYTES, SHOWN, SIDE
from e2e.test_recolor import roof_of
from pages import book, figure, line_art, zipped

# What is ours is looked at, and not what it uses: that takes a second and not half a minute.
MYPY = "[mypy]\nstrict = True\nfollow_imports = skip\n" + "".join(
    f"[mypy-batch_processing{name}]\nfollow_imports = silent\n"
    for name in ("", ".colorize", ".library", ".results", ".config", ".config.settings", ".config.values")
)


def mypy(folder: Path, text: str) -> list[str]:
    """What mypy finds wrong with a program."""
    (folder / "mypy.ini").write_text(MYPY)
    (folder / "program.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "program.py"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_a_setting_that_there_is_not_is_a_type_error(tmp_path: Path) -> None:
    right = """from batch_processing import BatchConfig, colorize_comic, colorize_library
result = colorize_comic("in", "out", backend="flats", max_concurrent=2, layers=["psd"])
result.pages[0].review[0].box
colorize_library("in", "out", style="line", series=True)
BatchConfig("pages", "out", ["cast.png"], backend="flats", seed=3)
"""
    assert mypy(tmp_path, right) == []
    wrong = """from batch_processing import BatchConfig, colorize_comic, colorize_library
colorize_comic("in", "out", backnd="flats")
colorize_library("in", "out", seed="3")
BatchConfig("pages", "out", backend="flat")
BatchConfig("pages", "out", worker=2)
"""
    found = mypy(tmp_path, wrong)
    assert [int(line.split(":")[1]) for line in found] == [2, 3, 4, 5]
    assert 'Unexpected keyword argument "backnd"' in found[0]


def test_the_typed_settings_are_those_of_batch_config() -> None:
    typed = get_type_hints(SettingValues)
    assert list(BatchConfig.model_fields) == sorted(typed, key=list(BatchConfig.model_fields).index)
    assert set(typed) - set(get_type_hints(BookSettings)) == {"input_dir", "output_dir", "reference_images"}


def test_settings_by_name_go_before_those_of_the_config(tmp_path: Path) -> None:
    pages = book(tmp_path / "pages", 1)
    archive, twin = (zipped(pages, tmp_path / f"{number}.cbz") for number in (1, 2))
    config = BatchConfig("x", "y", backend="flats", format="jpg")
    done = colorize_comic(
        pages, tmp_path / "out", config=config, workspace=tmp_path / "ws", backend="noop", keep=["0*"]
    )
    assert [page.name for page in done.pages] == ["1.jpg"]
    assert done.copied == 1
    with pytest.raises(ConfigurationError, match="did you mean 'backend'"):
        colorize_comic(pages, tmp_path / "out", workspace=tmp_path / "ws", backnd="noop")  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="did you mean 'seed'"):
        colorize_library([archive, twin], tmp_path / "o", workspace=tmp_path / "ws", sead=1)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> JobResult:
    """A book of two pages that the backend flats has coloured."""
    root = tmp_path_factory.mktemp("python")
    figure(root / "in" / "0.png", color=True)
    figure(root / "in" / "1.png", color=False, shift=20)
    figure(root / "in" / "2.png", color=False, shift=60)
    return colorize_comic(root / "in", root / "out", workspace=root / "ws", backend="flats")


def test_a_result_has_its_pages(done: JobResult) -> None:
    first, _ = done.pages
    assert (first.page, first.name, first.state) == ("1.png", "1.png", ItemState.COMPLETED)
    assert first.output == Path(done.output) / "1.png"
    assert (first.error, first.reused, first.approved, first.documents) == ("", False, False, ())
    assert first.seconds > 0
    assert first.confidence is not None
    assert 0 < first.confidence <= 1
    assert {"palette", "regions"} <= first.details.keys()


def test_what_to_look_at_is_told_with_the_most_doubtful_first(done: JobResult) -> None:
    """As a backend says it (`backends.base.Colored`); approved pages are done with."""
    told = {
        "1.png": [
            {"box": [1, 2, 30, 40], "id": 3, "confidence": 0.5, "doubt": 0.1, "why": "alone", "at": [9, 8]}
        ],
        "2.png": [{"box": [5, 6, 7, 8], "id": 4, "confidence": 0.25, "doubt": 0.2}],
    }
    with closing(sqlite3.connect(Path(done.workspace) / "lote.db", isolation_level=None)) as connection:
        for page, regions in told.items():
            connection.execute(
                "UPDATE item SET details = json_set(details, '$.review', json(?)) WHERE key = ?",
                (json.dumps(regions), page),
            )
    first = Region("1.png", (1, 2, 30, 40), 3, 0.5, 0.1, "alone", (9, 8))
    second = Region("2.png", (5, 6, 7, 8), 4, 0.25, 0.2)
    assert [page.review for page in done.pages] == [(first,), (second,)]
    assert review(done) == [second, first]
    workspace = Workspace(done.workspace)
    workspace.ledger.approve(done.job, "2.png")
    assert review(done.job, workspace=done.workspace) == [first]
    assert [page.approved for page in done.pages] == [False, True]
    workspace.ledger.approve(done.job, "2.png", approved=False)
    workspace.close()


def test_a_job_is_recoloured_and_its_palette_told(done: JobResult, tmp_path: Path) -> None:
    page = Path(done.output) / "1.png"
    before = roof_of(page)
    colors = palette(done)
    assert [color.id for color in colors] == sorted(color.id for color in colors)
    roof = min(colors, key=lambda color: sum(abs(a - b) for a, b in zip(color.rgb, before, strict=True)))
    assert roof.pages == ("1.png", "2.png")
    file = tmp_path / "palette.json"
    file.write_text(json.dumps({"colors": [{"id": roof.id, "rgb": [30, 160, 60], "name": "the roof"}]}))
    again = recolor(done, file)
    assert (again.job, again.completed) == (done.job, 2)
    assert max(abs(a - b) for a, b in zip(roof_of(page), (30, 160, 60), strict=True)) < 12
    named = next(color for color in palette(done.job, workspace=done.workspace) if color.id == roof.id)
    assert (named.rgb, named.name, named.reference) == ((30, 160, 60), "the roof", roof.reference)


def test_a_job_writes_layers_afterwards(done: JobResult) -> None:
    documents = layers(done, ["ora"], by=["panel"])
    assert list(documents) == ["1.png", "2.png"]
    assert all(path.suffix == ".ora" and path.stat().st_size for (path,) in documents.values())
    assert [page.documents for page in done.pages] == list(documents.values())


def test_a_job_that_is_not_there_is_said_so(done: JobResult, tmp_path: Path) -> None:
    for ask in (palette, review, layers, recolor):
        with pytest.raises(QueueError, match="no job"):
            ask(99, workspace=done.workspace)
        with pytest.raises(QueueError, match="no job"):
            ask(1, workspace=tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


def test_a_notebook_shows_a_result(tmp_path: Path) -> None:
    """Small, whatever the number of pages, and nothing in a name is markup."""
    name = "<img src=x onerror=alert(1)>&.png"
    for number in range(SHOWN + 2):
        line_art(tmp_path / "in" / f"{number}{name}", number, (400, 560))
    result = colorize_comic(
        tmp_path / "in",
        tmp_path / "out",
        workspace=tmp_path / "ws",
        backend="noop",
        as_lineart=["*"],
        max_concurrent=2,
    )
    shown = result._repr_html_()
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;.png" in shown
    assert f"{SHOWN + 2} of {SHOWN + 2} pages coloured" in shown
    assert "and 2 more" in shown
    pictures = re.findall(r'src="data:image/webp;base64,([^"]+)"', shown)
    assert len(pictures) == SHOWN
    for picture in pictures:
        content = base64.b64decode(picture)
        assert len(content) <= BYTES
        with Image.open(BytesIO(content)) as image:
            assert max(image.size) <= SIDE
    assert len(shown) < SHOWN * (BYTES * 4 / 3 + 1000)
    (tmp_path / "ws" / "lote.db").unlink()
    assert "pages coloured" in result._repr_html_()
    assert "data:" not in result._repr_html_()


def test_json_summaries_are_as_before(done: JobResult) -> None:
    assert "workspace" not in done.told()
    assert {"job", "state", "output", "failures", "left_out", "size"} <= done.told().keys()
    assert Workspace(done.workspace).root == Path(done.workspace)
