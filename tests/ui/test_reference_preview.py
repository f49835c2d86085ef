"""Choosing references: stable indices, honest numbers, buttons that do something."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_processing.classification import ImageType
from batch_processing.exceptions import ValidationError
from batch_processing.ui import ReferencePreviewGallery, filter_references

if TYPE_CHECKING:
    from pathlib import Path

CONFIDENCES = [0.95, 0.7, 0.4]


@pytest.fixture
def references(tmp_path: Path) -> list[str]:
    paths = []
    for number, color in enumerate(["red", "green", "blue"]):
        Image.new("RGB", (800, 400), color).save(tmp_path / f"r{number}.png")
        paths.append(str(tmp_path / f"r{number}.png"))
    return paths


def kinds(paths: list[str]) -> dict[str, ImageType]:
    metrics = {"saturation": 0.5, "color_count": 1234, "edge_density": 0.125}
    return {path: ImageType("colored", conf, metrics) for path, conf in zip(paths, CONFIDENCES, strict=False)}


def test_loading(references: list[str]) -> None:
    gallery = ReferencePreviewGallery()
    images, choices, selected = gallery.load_references(references, kinds(references))
    assert choices == [
        "0: r0.png (confidence: 95.0%)",
        "1: r1.png (confidence: 70.0%)",
        "2: r2.png (confidence: 40.0%)",
    ]
    assert selected == [0, 1, 2]
    assert gallery.reference_images == references
    assert gallery.classifications == kinds(references)
    assert gallery.selected_indices == {0, 1, 2}
    assert [image.getpixel((5, 5)) for image in images] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    assert all(image.size == (320, 160) for image in images)


def test_an_unreadable_file_shifts_nobody(
    references: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = [references[0], str(tmp_path / "broken.png"), references[2], str(tmp_path / "none.png")]
    gallery = ReferencePreviewGallery()
    images, choices, selected = gallery.load_references(paths, {})
    assert [choice.split(" (")[0] for choice in choices] == [
        "0: r0.png",
        "1: broken.png",
        "2: r2.png",
        "3: none.png",
    ]
    assert selected == [0, 2]
    assert images[2].getpixel((5, 5)) == (0, 0, 255)
    assert len(images) == 4
    assert filter_references(paths, gallery.selected_indices) == [references[0], references[2]]
    assert "broken.png" in caplog.text
    assert "none.png" in caplog.text


def test_selecting(references: list[str]) -> None:
    gallery = ReferencePreviewGallery()
    _, choices, _ = gallery.load_references(references, kinds(references))
    assert gallery.deselect_all() == []
    assert gallery.selected_indices == set()
    assert gallery.select_all() == [0, 1, 2]
    assert gallery.auto_select_best(choices) == [0, 1]
    assert gallery.auto_select_best(choices, threshold=0.95) == [0]
    assert gallery.selected_indices == {0}
    assert gallery.update_selection([choices[2], choices[1]]) == [1, 2]
    assert gallery.selected_indices == {1, 2}
    assert gallery.deselect_all([choices[1]]) == [2]
    with pytest.raises(ValidationError, match="Invalid index"):
        gallery.update_selection(["r0.png"])
    assert gallery.selected_indices == {2}
    for strange in ([7], [-1], ["7: r7.png"]):
        gallery.update_selection(strange)
        with pytest.raises(ValidationError, match="Invalid index"):
            gallery.get_confidence_display()


def test_the_measurements(references: list[str]) -> None:
    gallery = ReferencePreviewGallery()
    assert gallery.get_confidence_display() == "No images selected."
    _, choices, _ = gallery.load_references(references, kinds(references))
    text = gallery.get_confidence_display([choices[1]])
    assert text.splitlines() == [
        "r1.png",
        "  Confidence: 70.0%",
        "  Saturation: 0.500",
        "  Unique Colors: 1234",
        "  Edge Density: 0.125",
    ]
    assert gallery.get_confidence_display().count("Edge Density") == 3
    gallery.deselect_all()
    assert gallery.get_confidence_display() == "No images selected."


@given(st.lists(st.text(), max_size=8), st.lists(st.integers(-3, 10), max_size=8))
def test_filter_references(names: list[str], indices: list[int]) -> None:
    if all(0 <= index < len(names) for index in indices):
        assert filter_references(names, indices) == [names[index] for index in indices]
    else:
        with pytest.raises(ValidationError, match="Invalid index"):
            filter_references(names, indices)


@pytest.mark.parametrize("index", [True, 1.0, "1", None])
def test_an_index_is_a_whole_number(index: Any) -> None:
    with pytest.raises(ValidationError, match="Invalid index"):
        filter_references(["a", "b"], [index])


COMPONENTS = """
import json, sys
import gradio
from batch_processing.classification import ImageType
from batch_processing.ui import create_reference_preview_ui

paths = sys.argv[1:]
alone = create_reference_preview_ui()
with gradio.Blocks() as page:
    parts = create_reference_preview_ui()
manager = parts["gallery_manager"]
kinds = dict(zip(paths, (ImageType("colored", c, {}) for c in (0.95, 0.7, 0.4))))
_, choices, _ = manager.load_references(paths, kinds)
called = {target[0]: function.fn for function in page.fns.values() for target in function.targets}
print(json.dumps({
    "keys": [list(alone), list(parts)],
    "choices": choices,
    "pressed": [called[parts[name]._id]() for name in ("deselect_all_btn", "select_all_btn", "auto_select_btn")],
    "ticked": called[parts["checkbox_group"]._id](choices[2:]),
    "selected": sorted(manager.selected_indices),
}))
"""


def test_the_components_and_that_every_button_works(references: list[str]) -> None:
    # In a process of its own: gradio leaves event loops open, which the warnings of later tests would be.
    done = subprocess.run(
        [sys.executable, "-c", COMPONENTS, *references],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    documented = [
        "gallery",
        "checkbox_group",
        "button_row",
        "confidence_display",
        "select_all_btn",
        "deselect_all_btn",
        "auto_select_btn",
        "gallery_manager",
    ]
    assert found["keys"] == [documented, documented]
    nothing, everything, best = found["pressed"]
    assert nothing == [[], "No images selected."]
    assert everything[0] == found["choices"]
    assert best[0] == found["choices"][:2]
    assert [text.count("Confidence") for _, text in found["pressed"]] == [0, 3, 2]
    assert found["ticked"].startswith("r2.png\n")
    assert found["selected"] == [2]
