"""Recolouring a book from its palette: pages follow, without matching anything again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from command import Run, lote


def figure(path: Path, *, colour: bool, shift: int = 0) -> Path:
    """A house with a red roof on a blue sky: drawn in ink, or painted as well."""
    image = Image.new("RGB", (500, 600), (150, 200, 240) if colour else "white")
    draw = ImageDraw.Draw(image)
    roof, wall = ((200, 40, 50), (240, 220, 160)) if colour else ((255, 255, 255), (255, 255, 255))
    draw.rectangle((100 + shift, 300, 350 + shift, 550), fill=wall, outline="black", width=5)
    draw.polygon(
        [(70 + shift, 300), (225 + shift, 120), (380 + shift, 300)], fill=roof, outline="black", width=5
    )
    draw.rectangle((2, 2, 497, 597), outline="black", width=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recolor")
    figure(root / "in" / "0.png", colour=True)
    figure(root / "in" / "1.png", colour=False, shift=20)
    figure(root / "in" / "2.png", colour=False, shift=60)
    done = lote("colorize", root / "in", "-o", root / "out", "--backend", "flats", workspace=root / "ws")
    assert done.code == 0, done.err
    return root


def roof_of(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return tuple(int(value) for value in pixels[240, 260])


def palette(work: Path) -> list[dict[str, Any]]:
    return json.loads((work / "out" / "_lote" / "palette.json").read_text())["colors"]  # type: ignore[no-any-return]


def recolor(work: Path, colours: list[dict[str, Any]] | str) -> Run:
    file = work / "mine.json"
    file.write_text(colours if isinstance(colours, str) else json.dumps({"colors": colours}))
    return lote("recolor", "1", "--palette", file, "--json", workspace=work / "ws")


def test_every_page_follows_and_a_rerun_keeps_it(work: Path) -> None:
    before = roof_of(work / "out" / "1.png")
    colours = palette(work)
    roof = next(colour for colour in colours if np.abs(np.array(colour["rgb"]) - before).max() < 12)
    roof |= {"rgb": [30, 160, 60], "name": "the roof"}
    done = recolor(work, colours)
    assert done.code == 0, done.err
    for page in ("1.png", "2.png"):
        assert np.abs(np.array(roof_of(work / "out" / page)) - (30, 160, 60)).max() < 12
    assert next(colour for colour in palette(work) if colour["id"] == roof["id"])["name"] == "the roof"
    again = lote(
        "colorize", work / "in", "-o", work / "out", "--backend", "flats", "--json", workspace=work / "ws"
    )
    assert again.summary["reused"] == 2


@pytest.mark.parametrize(
    "text",
    ["nonsense", "{}", '{"colors": [{"id": 1}]}', '{"colors": [{"id": 1, "rgb": [1, 2, 300]}]}'],
)
def test_what_is_no_palette_is_refused(work: Path, text: str) -> None:
    done = recolor(work, text)
    assert done.code == 1
    assert "palette" in done.err
    assert "Traceback" not in done.err
