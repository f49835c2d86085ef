"""Recolouring a book from its palette: pages follow, without matching anything again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from batch_processing.colorize import recolor_job
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import ValidationError
from command import Run, lote
from pages import RED, figure


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recolor")
    figure(root / "in" / "0.png", color=True)
    figure(root / "in" / "1.png", color=False, shift=20)
    figure(root / "in" / "2.png", color=False, shift=60)
    done = lote("colorize", root / "in", "-o", root / "out", "--backend", "flats", workspace=root / "ws")
    assert done.code == 0, done.err
    return root


def roof_of(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return tuple(int(value) for value in pixels[240, 260])


def palette(work: Path, output: str = "out") -> list[dict[str, Any]]:
    return json.loads((work / output / "_lote" / "palette.json").read_text())["colors"]  # type: ignore[no-any-return]


def test_the_metadata_tells_of_pages_and_the_files_beside_it_of_regions(work: Path) -> None:
    folder = work / "out" / "_lote"
    entries = json.loads((folder / "processing_metadata.json").read_text())["pages"]
    colored = [entry for entry in entries if entry.get("backend") == "flats"]
    assert [set(entry["result"]) for entry in colored] == [{"confidence", "palette"}] * 2
    assert all(len(json.dumps(entry)) < 6000 for entry in entries)


def recolor(work: Path, colors: list[dict[str, Any]]) -> Run:
    file = work / "mine.json"
    file.write_text(json.dumps({"colors": colors}))
    return lote("recolor", "1", "--palette", file, "--json", workspace=work / "ws")


def test_every_page_follows_and_a_rerun_keeps_it(work: Path) -> None:
    before = roof_of(work / "out" / "1.png")
    colors = palette(work)
    roof = next(color for color in colors if np.abs(np.array(color["rgb"]) - before).max() < 12)
    roof |= {"rgb": [30, 160, 60], "name": "the roof"}
    done = recolor(work, colors)
    assert done.code == 0, done.err
    for page in ("1.png", "2.png"):
        assert np.abs(np.array(roof_of(work / "out" / page)) - (30, 160, 60)).max() < 12
    # What was kept of the pages only saves time: damaged, they are coloured anew.
    whole = {page: (work / "out" / page).read_bytes() for page in ("1.png", "2.png")}
    roof["rgb"] = [90, 90, 200]
    assert recolor(work, colors).code == 0
    assert {page: (work / "out" / page).read_bytes() for page in whole} != whole
    for kept, damage in zip(sorted((work / "ws" / "cache" / "states").iterdir()), (100, None), strict=True):
        kept.write_bytes(kept.read_bytes()[:damage] if damage else b"")
    roof["rgb"] = [30, 160, 60]
    assert recolor(work, colors).code == 0
    assert {page: (work / "out" / page).read_bytes() for page in whole} == whole
    assert next(color for color in palette(work) if color["id"] == roof["id"])["name"] == "the roof"
    again = lote(
        "colorize", work / "in", "-o", work / "out", "--backend", "flats", "--json", workspace=work / "ws"
    )
    assert again.summary["reused"] == 2


def test_the_next_chapter_has_the_same_ids_names_and_colors(work: Path) -> None:
    """Its references show the roof a little paler, and a sign in a colour that is new."""
    first = palette(work)
    roof = next(color for color in first if np.abs(np.array(color["reference"]) - RED).max() < 12)
    roof |= {"name": "Ana's roof", "rgb": "#1e64a0"}
    series = work / "series.json"
    series.write_text(json.dumps({"colors": first}))
    paler = figure(work / "next" / "0.png", color=True, roof=(206, 46, 54))
    with Image.open(paler) as image:
        ImageDraw.Draw(image).rectangle((20, 20, 90, 90), fill=(120, 40, 160), outline="black", width=4)
        image.save(paler)
    figure(work / "next" / "1.png", color=False, shift=30)
    args = ("-o", work / "out2", "--backend", "flats", "--palette", series, "--layers", "ora")
    done = lote("colorize", work / "next", *args, workspace=work / "ws")
    assert done.code == 0, done.err
    assert np.abs(np.array(roof_of(work / "out2" / "1.png")) - (30, 100, 160)).max() < 12
    second = {color["id"]: color for color in palette(work, "out2")}
    assert second[roof["id"]] | {"pages": 0} == {
        "id": roof["id"], "name": "Ana's roof", "rgb": [30, 100, 160], "reference": [206, 46, 54], "pages": 0,
    }  # fmt: skip
    assert set(second) >= {color["id"] for color in first}
    report = (work / "out2" / "_lote" / "report.html").read_text()
    assert "Ana&#39;s roof" in report
    again = lote("colorize", work / "next", *args, "--json", workspace=work / "ws")
    assert again.summary["reused"] == 1
    series.write_text(series.read_text().replace("#1e64a0", "#1e9020"))
    again = lote("colorize", work / "next", *args, "--json", workspace=work / "ws")
    assert again.summary["reused"] == 0
    assert np.abs(np.array(roof_of(work / "out2" / "1.png")) - (30, 144, 32)).max() < 12


def test_names_and_locks_outlive_other_references(work: Path) -> None:
    """A locked colour stays; one that is only named follows the references, and neither becomes another's."""
    output = ("-o", work / "out3", "--backend", "flats", "--as-lineart", "[12].png")
    before = lote("colorize", work / "in", *output, workspace=work / "ws")
    assert before.code == 0, before.err
    colors = {tuple(color["rgb"]): color for color in palette(work, "out3")}
    roof, wall = colors[RED], colors[(240, 220, 160)]
    roof |= {"name": "roof", "locked": True}
    wall |= {"name": "wall"}
    mine = work / "locked.json"
    mine.write_text(json.dumps({"colors": [roof, wall]}))
    number = json.loads(lote("list", "--json", workspace=work / "ws").out.splitlines()[-1])["job"]
    assert lote("recolor", str(number), "--palette", mine, workspace=work / "ws").code == 0
    with Image.open(work / "in" / "0.png") as image:
        old = np.asarray(image.convert("RGB")).copy()
    new = old.copy()
    new[(old == RED).all(axis=2)] = (208, 46, 52)
    new[(old == (240, 220, 160)).all(axis=2)] = (238, 216, 158)
    # Much of a colour that was rare turns the references' own order of colours around.
    new[:280, :240] = (40, 160, 90)
    Image.fromarray(new).save(work / "in" / "0.png")
    try:
        done = lote("colorize", work / "in", *output, workspace=work / "ws")
        assert done.code == 0, done.err
        after = {color.get("name"): color for color in palette(work, "out3")}
        assert (after["roof"]["id"], after["roof"]["rgb"]) == (roof["id"], list(RED))
        assert (after["wall"]["id"], after["wall"]["rgb"]) == (wall["id"], [238, 216, 158])
    finally:
        Image.fromarray(old).save(work / "in" / "0.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "cannot be read"),
        ("{}", "must hold 'colors'"),
        ('{"colors": [7]}', "a colour is an object"),
        ('{"colors": [{"id": 1}]}', "its rgb is missing"),
        ('{"colors": [{"id": 1, "rgb": [1, 2, 300]}]}', "is no colour"),
        ('{"colors": [{"id": -1, "rgb": [1, 2, 30]}]}', "its id must be a whole number"),
        ('{"colors": [{"id": 1, "rgb": "#1234567"}]}', "is no colour"),
        ('{"colors": [{"id": 1, "rgb": "#000000"}, {"id": 1, "rgb": "#ffffff"}]}', "id 1 stands there twice"),
        ('{"colors": [{"id": 1, "rgb": "#000000", "lockd": true}]}', "did you mean 'locked'"),
        ('{"colors": [{"id": 1, "rgb": "#000000", "locked": "yes"}]}', "locked must be true or false"),
        ('{"colors": [{"id": 1, "rgb": "#000000", "name": "a\\nb"}]}', "its name must be text"),
        ('{"colors": [{"id": 4711, "rgb": "#000000"}]}', "job 1 has no colour 4711"),
    ],
)
def test_what_is_no_palette_of_the_job_is_refused(work: Path, text: str, words: str) -> None:
    file = work / "mine.json"
    file.write_text(text)
    with pytest.raises(ValidationError, match="palette") as caught:
        recolor_job(Workspace(work / "ws"), 1, file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_palette_that_is_none_is_one_sentence_on_the_command_line(work: Path) -> None:
    (work / "mine.json").write_text("{}")
    for command in (("recolor", "1"), ("colorize", work / "in", "-o", work / "never")):
        done = lote(*command, "--palette", work / "mine.json", workspace=work / "ws")
        assert done.code == 1
        assert "must hold 'colors'" in done.err
        assert "Traceback" not in done.err
    assert not (work / "never").exists()
