"""The backend `diffusers` on tiny random pipelines of both classes, and on one whose painting is known."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from batch_processing.backends import create, edit_pipeline
from batch_processing.backends.base import PageSettings, Reference
from batch_processing.backends.edit_pipeline import DiffusersBackend
from batch_processing.comics.application import choose_backend
from batch_processing.exceptions import Cancelled, ValidationError
from batch_processing.io.images import Page
from command import lote

SETTINGS = PageSettings(num_inference_steps=2)
PANELS = ((10, 10, 290, 190), (10, 210, 140, 390), (160, 210, 290, 390))
SMALL = 128 * 128  # pixels of the model's pictures
HOOK = f"import batch_processing.backends.edit_pipeline as backend\nbackend.AREA = {SMALL}\n"


def ignored(done: int, total: int) -> None:
    """A progress that nobody looks at."""


def drawn_page() -> Page:
    """Three panels with a figure in each."""
    image = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in PANELS:
        draw.rectangle((left, top, right, bottom), outline="black", width=3)
        draw.ellipse((left + 20, top + 20, right - 20, bottom - 20), outline="black", width=3)
    return Page(np.asarray(image), gray=False, bit_depth=8, dpi=None, icc=None, source_mode="RGB")


def references(folder: Path, count: int) -> list[Reference]:
    made = []
    folder.mkdir(exist_ok=True)
    for number in range(count):
        image = Image.new("RGB", (120, 120), (30 * number, 200, 255 - 30 * number))
        box = (10 + 8 * number, 10, 110 - 8 * number, 110)
        ImageDraw.Draw(image).ellipse(box, outline="black", width=3, fill=(200, 20 * number, 50))
        path = folder / f"{number}.png"
        image.save(path)
        made.append(Reference(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    return made


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as published

    monkeypatch.setattr(edit_pipeline, "AREA", SMALL)
    monkeypatch.setattr(published, "VAE_IMAGE_SIZE", SMALL)
    monkeypatch.setattr(published, "CONDITION_IMAGE_SIZE", 56 * 56)
    monkeypatch.setenv("LOTE_DIFFUSERS_DEVICE", "cpu")


def ready(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int = 6) -> DiffusersBackend:
    monkeypatch.setenv("LOTE_DIFFUSERS_MODEL", str(model))
    made = create("diffusers")
    assert isinstance(made, DiffusersBackend)
    assert made.unavailable() is None
    artefact = tmp_path / "artefact.bin"
    made.prepare(references(tmp_path / "references", count), artefact, SETTINGS, ignored)
    made.load(artefact)
    return made


@pytest.mark.parametrize("kind", ["flux", "qwen"])
def test_a_page_is_colored_panel_by_panel(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, page = ready(request.getfixturevalue(kind), tmp_path, monkeypatch), drawn_page()
    seen: list[tuple[int, int]] = []
    colored = backend.color(page, SETTINGS, None, lambda done, total: seen.append((done, total)))
    assert colored.rgb.shape == page.rgb.shape
    assert [len(panel["references"]) for panel in colored.details["panels"]] == [4, 4, 4]  # of six
    black = page.rgb.max(axis=2) <= 74
    assert np.array_equal(colored.rgb[black], page.rgb[black])
    outside = np.ones(black.shape, bool)
    for left, top, right, bottom in PANELS:
        outside[top : bottom + 1, left : right + 1] = False
        inside = np.s_[top + 30 : bottom - 30, left + 30 : right - 30]
        assert not np.array_equal(colored.rgb[inside], page.rgb[inside])
    assert np.array_equal(colored.rgb[outside], page.rgb[outside])
    # Two steps in each of three panels.
    assert sorted({done for done, total in seen if total > 1}) == list(range(7))
    # Noise is no drawing: nobody takes it for one.
    assert {region["why"] for region in colored.details["review"]} == {"lines moved"}
    assert colored.confidence < 0.5
    if kind == "flux":
        again = backend.color(page, SETTINGS, None, ignored)
        assert np.array_equal(again.rgb, colored.rgb)
        assert again.details == colored.details
        other = backend.color(page, replace(SETTINGS, seed=1), None, ignored).rgb
        assert not np.array_equal(other, colored.rgb)


def test_a_cancel_acts_between_two_steps(flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, page = ready(flux, tmp_path, monkeypatch, 1), drawn_page()
    heard: list[int] = []

    def cancel(done: int, total: int) -> None:
        heard.append(done)
        if done == 3:
            raise Cancelled("no longer wanted")

    with pytest.raises(Cancelled):
        backend.color(page, SETTINGS, None, cancel)
    assert heard[-1] == 3  # in the middle of the second panel, and nothing after it
    assert backend.color(page, SETTINGS, None, ignored).rgb.shape == page.rgb.shape


def painting(moved: int) -> Any:
    """A pipeline that paints what is white green, and leaves the lines where they are, or moves them to the right."""

    def paint(_self: object, *, image: list[Image.Image], **_asked: object) -> Any:
        pixels = np.array(image[0].convert("RGB"))
        pixels[pixels.min(axis=2) > 128] = (120, 200, 120)
        return SimpleNamespace(images=[Image.fromarray(np.roll(pixels, moved, axis=1))])

    return type("Flux2KleinPipeline", (), {"__call__": paint, "device": "cpu"})()


@pytest.mark.parametrize(("moved", "listed"), [(0, 0), (2, 0), (9, 3)])
def test_a_panel_whose_lines_moved_goes_to_review(
    moved: int, listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edit_pipeline, "AREA", 512 * 512)
    monkeypatch.setattr(edit_pipeline, "_loaded", lambda: painting(moved))
    backend, page = DiffusersBackend(), drawn_page()
    backend.load(None)
    colored = backend.color(page, SETTINGS, None, ignored)
    review = colored.details["review"]
    assert [region["why"] for region in review] == ["lines moved"] * listed
    assert (colored.confidence == 1) == (listed == 0)
    if listed:
        assert review[0]["doubt"] == max(region["doubt"] for region in review)
        left, top, right, bottom = review[0]["box"]  # the largest panel
        assert np.abs(np.subtract((left, top, right - 1, bottom - 1), PANELS[0])).max() <= 4
    else:
        assert colored.rgb[100, 150].tolist() == [120, 200, 120]
    hinted = backend.color(page, SETTINGS, Path("page.hints.json"), ignored)
    assert "hints are not used" in {region["why"] for region in hinted.details["review"]}


def test_importing_and_asking_loads_no_torch(flux: Path) -> None:
    code = (
        "import sys; from batch_processing.backends import create; b = create('diffusers'); "
        "print(b.unavailable(), b.version.startswith('1+'), 'torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    environment = os.environ | {"LOTE_DIFFUSERS_MODEL": str(flux)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "None True False"


def copied(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder))


def test_what_cannot_be_used_is_a_sentence(
    flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reason(model: Path | None) -> str:
        if model is None:
            monkeypatch.delenv("LOTE_DIFFUSERS_MODEL", raising=False)
        else:
            monkeypatch.setenv("LOTE_DIFFUSERS_MODEL", str(model))
        backend = DiffusersBackend()
        assert backend.version == "1"
        return str(backend.unavailable())

    assert "LOTE_DIFFUSERS_MODEL is not set" in reason(None)
    assert "model_index.json cannot be read" in reason(tmp_path / "nowhere")
    other = copied(flux, tmp_path / "other")
    index = json.loads((other / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionPipeline"}))
    assert "holds a StableDiffusionPipeline: only Flux2KleinPipeline, Qwen" in reason(other)
    (other / "model_index.json").write_text(json.dumps(index | {"vae": ["own_code", "Network"]}))
    assert "vae wants code of its own to run" in reason(other)
    pickled = copied(flux, tmp_path / "pickled")
    (pickled / "vae" / "diffusion_pytorch_model.safetensors").rename(pickled / "vae" / "pytorch_model.bin")
    assert "vae holds no .safetensors: fetch them (pickled weights" in reason(pickled)
    monkeypatch.setenv("LOTE_DIFFUSERS_LORA", str(tmp_path / "lora.bin"))
    assert "lora.bin, named by LOTE_DIFFUSERS_LORA, is no .safetensors file." in reason(flux)


def test_weights_that_lack_a_tensor_are_not_made_up(
    flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = copied(flux, tmp_path / "broken")
    file = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    del state["x_embedder.weight"]
    save_file(state, file)
    monkeypatch.setenv("LOTE_DIFFUSERS_MODEL", str(broken))
    with pytest.raises(ValidationError, match=r"transformer lacks x_embedder\.weight"):
        DiffusersBackend().load(None)
    file.write_bytes(b"no weights")
    with pytest.raises(ValidationError, match="cannot be read as weights"):
        DiffusersBackend().load(None)


def test_a_lora_changes_pages_and_version(
    flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = drawn_page()
    plain = ready(flux, tmp_path, monkeypatch, 1)
    version = plain.version
    before = plain.color(page, SETTINGS, None, ignored).rgb
    lora = tmp_path / "lora.safetensors"
    monkeypatch.setenv("LOTE_DIFFUSERS_LORA", str(lora))
    weight = load_file(flux / "transformer" / "diffusion_pytorch_model.safetensors")["x_embedder.weight"]
    # What is added to all channels alike would be taken away by the next normalisation.
    rows = torch.arange(weight.shape[0]).float()
    pair = {"A": torch.ones(2, weight.shape[1]), "B": torch.stack([rows, rows.flip(0) ** 2], dim=1)}
    save_file({f"transformer.x_embedder.lora_{side}.weight": value for side, value in pair.items()}, lora)
    changed = ready(flux, tmp_path, monkeypatch, 1)
    assert changed.version == f"{version}+{hashlib.sha256(lora.read_bytes()).hexdigest()}"
    assert not np.array_equal(changed.color(page, SETTINGS, None, ignored).rgb, before)
    save_file({"transformer.elsewhere.lora_A.weight": pair["A"]}, lora)
    with pytest.raises(ValidationError, match=r"lora\.safetensors does not fit the model: it holds"):
        DiffusersBackend().load(None)


def test_the_command_colors_a_book_the_same_again_and_auto_never_takes_it(
    flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    environment = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")]),
        "LOTE_DIFFUSERS_MODEL": str(flux),
        "LOTE_DIFFUSERS_DEVICE": "cpu",
    }
    (tmp_path / "pages").mkdir()
    Image.fromarray(drawn_page().rgb).save(tmp_path / "pages" / "1.png")
    references(tmp_path / "references", 5)
    told: list[str | Path] = [
        "--references",
        tmp_path / "references",
        "--as-lineart",
        "*.png",
        "--steps",
        "2",
    ]

    told += ["--backend", "diffusers"]
    for name in ("first", "second"):
        arguments = ["colorize", tmp_path / "pages", "-o", tmp_path / name, *told]
        done = lote(*arguments, workspace=tmp_path / f"ws-{name}", **environment)
        assert done.code == 0, done.err
    page = Image.open(next((tmp_path / "first").rglob("1.png")))
    again = Image.open(next((tmp_path / "second").rglob("1.png")))
    assert page.size == (300, 400)
    assert np.array_equal(np.asarray(page), np.asarray(again))
    review = json.loads(next((tmp_path / "first").rglob("review.json")).read_text())
    assert "lines moved" in json.dumps(review)
    assert "lines moved" in next((tmp_path / "first").rglob("report.html")).read_text()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert create("diffusers").unavailable() is None
    assert choose_backend("auto")[0].name != "diffusers"
