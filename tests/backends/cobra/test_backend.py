"""The backend as the engine uses it, on the small networks: sizes, hints, seeds, batches, bad input."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from batch_processing.backends import create
from batch_processing.backends.base import Batching, Colored, PageJob, PageSettings, Reference
from batch_processing.backends.cobra import CobraBackend
from batch_processing.backends.cobra.shared import Book
from batch_processing.colorize import run, submit
from batch_processing.comics.application import choose_backend
from batch_processing.core.workspace import Workspace
from batch_processing.exceptions import Cancelled, ImageProcessingError, ResourceError, ValidationError
from batch_processing.io.images import Page

SETTINGS = PageSettings(num_inference_steps=2, top_k=2)
Pixels = NDArray[np.uint8]


def ignored(done: int, total: int) -> None:
    """A progress that nobody looks at."""


def drawn_page(width: int, height: int, number: int = 0) -> Page:
    """A page with a frame and some lines; another `number`, another drawing."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    rng = np.random.default_rng(number)
    draw.line((2, 2, width - 3, height - 3), fill="black", width=2)
    for _ in range(8):
        x0, y0, x1, y1 = (int(v) for v in rng.uniform(0, 1, 4) * (width, height, width, height))
        draw.line((x0, y0, x1, y1), fill=(60, 60, 60), width=2)
    return Page(np.asarray(image), gray=False, bit_depth=8, dpi=None, icc=None, source_mode="RGB")


def colored_reference(folder: Path, number: int, size: tuple[int, int] = (90, 120)) -> Reference:
    rng = np.random.default_rng(100 + number)
    blocks = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    path = folder / f"reference{number}.png"
    blocks.resize(size, Image.Resampling.NEAREST).save(path)
    return Reference(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def backend(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> CobraBackend:
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(small_model))
    monkeypatch.setenv("LOTE_COBRA_DEVICE", "cpu")
    made = create("cobra")
    assert isinstance(made, CobraBackend)
    assert made.unavailable() is None
    return made


@pytest.fixture
def artefact(backend: CobraBackend, tmp_path: Path) -> Path:
    target = tmp_path / "references.bin"
    backend.prepare([colored_reference(tmp_path, n) for n in range(3)], target, SETTINGS, ignored)
    return target


@pytest.fixture
def ready(backend: CobraBackend, artefact: Path) -> CobraBackend:
    backend.load(artefact)
    return backend


def levels_apart(a: Pixels, b: Pixels) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def test_importing_and_asking_loads_no_torch() -> None:
    code = (
        "import sys; from batch_processing.backends import create; b = create('cobra'); "
        "b.unavailable(); b.version; print('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("size", [(131, 192), (1, 1), (300, 200)])
def test_a_page_comes_back_at_its_own_size(ready: CobraBackend, size: tuple[int, int]) -> None:
    page = drawn_page(*size)
    colored = ready.color(page, SETTINGS, None, ignored)
    assert colored.rgb.shape == page.rgb.shape
    assert colored.rgb.dtype == np.uint8
    assert sum(colored.details["references"].values()) == 4 * SETTINGS.top_k


def test_the_same_page_gives_the_same_pixels_and_another_seed_others(ready: CobraBackend) -> None:
    page = drawn_page(128, 192)
    first, again = (ready.color(page, SETTINGS, None, ignored).rgb for _ in range(2))
    other = ready.color(page, replace(SETTINGS, seed=1), None, ignored).rgb
    assert np.array_equal(first, again)
    assert levels_apart(first, other) > 10


def test_the_artefact_is_a_function_of_the_references(
    backend: CobraBackend, artefact: Path, tmp_path: Path
) -> None:
    references = [colored_reference(tmp_path, n) for n in range(3)]
    again = tmp_path / "again.bin"
    CobraBackend().prepare(references, again, SETTINGS, ignored)
    assert again.read_bytes() == artefact.read_bytes()
    CobraBackend().prepare(references[:2], again, SETTINGS, ignored)
    assert again.read_bytes() != artefact.read_bytes()


def test_references_matter_and_can_be_absent(ready: CobraBackend) -> None:
    page = drawn_page(128, 192)
    with_references = ready.color(page, SETTINGS, None, ignored).rgb
    ready.load(None)
    without = ready.color(page, SETTINGS, None, ignored)
    assert without.details["references"] == {}
    assert levels_apart(with_references, without.rgb) > 0


def test_fewer_patches_than_top_k_takes_all_there_are(ready: CobraBackend) -> None:
    colored = ready.color(drawn_page(128, 192), replace(SETTINGS, top_k=50), None, ignored)
    assert sum(colored.details["references"].values()) == 4 * 3 * 5


def test_styles_differ_and_can_be_changed_from_page_to_page(
    ready: CobraBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batch_processing.backends.cobra.weights import Model

    def again(*_: object) -> None:
        raise AssertionError("what both styles share is read again")

    monkeypatch.setattr(Model, "shared", again)
    page = drawn_page(128, 192)
    shadow, line, again = (
        ready.color(page, replace(SETTINGS, style=style), None, ignored).rgb
        for style in ("line + shadow", "line", "line + shadow")
    )
    assert levels_apart(shadow, line) > 0
    assert np.array_equal(shadow, again)


def placed(pages: list[Page], settings: PageSettings = SETTINGS) -> list[PageJob]:
    """Pages as one batch; each with a seed of its own."""
    return [PageJob(page, replace(settings, seed=n), place=(n, len(pages))) for n, page in enumerate(pages)]


def test_pages_of_a_batch_are_as_alone(ready: CobraBackend) -> None:
    # Pages of the size of the model's pictures: resampling would add to the difference of a level or two.
    jobs = placed([drawn_page(96, 144, n) for n in range(3)])
    together = ready.color_many(jobs, ignored)
    for job, other in zip(jobs, together, strict=True):
        assert isinstance(other, Colored)
        alone = ready.color(job.page, job.settings, None, ignored).rgb
        assert levels_apart(alone, other.rgb) <= 2


def test_a_page_done_again_alone_has_the_bytes_it_had_in_its_batch(
    backend: CobraBackend, artefact: Path
) -> None:
    jobs = placed([drawn_page(96, 144, n) for n in range(3)])
    backend.load(artefact)
    together = backend.color_many(jobs, ignored)
    for job, before in zip(jobs, together, strict=True):
        fresh = CobraBackend()  # as after a kill: nothing is kept
        fresh.load(artefact)
        (again,) = fresh.color_many([job], ignored)
        assert isinstance(again, Colored)
        assert isinstance(before, Colored)
        assert np.array_equal(again.rgb, before.rgb)
        assert again.details == before.details


def test_pages_are_arranged_once_each_in_batches_of_one_size(
    ready: CobraBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(ready, Batching)
    monkeypatch.setattr(CobraBackend, "_together", lambda *_: 2)
    pages = [drawn_page(*((128, 192), (192, 128))[n % 2], n) for n in range(5)]
    pages.append(drawn_page(60, 400))  # in pieces, and so by itself
    batches = ready.arrange([ready.survey(page, SETTINGS, ignored) for page in pages])
    assert sorted(number for batch in batches for number in batch) == list(range(6))
    assert sorted(map(len, batches)) == [1, 1, 2, 2]
    assert [5] in batches
    for batch in batches:
        assert len({number % 2 for number in batch}) == 1


def test_hints_change_the_page_where_they_are(ready: CobraBackend, tmp_path: Path) -> None:
    page = drawn_page(128, 192)
    strokes = Image.new("RGBA", (128, 192))
    ImageDraw.Draw(strokes).rectangle((20, 20, 60, 60), fill=(255, 0, 0, 255))
    strokes.save(tmp_path / "page.hints.png")
    points = tmp_path / "page.hints.json"
    points.write_text('{"points": [{"x": 40, "y": 40, "color": "#ff0000"}], "lock": [{"x": 1, "y": 1}]}')
    plain = ready.color(page, SETTINGS, None, ignored).rgb
    for hints in (tmp_path / "page.hints.png", points):
        assert levels_apart(plain, ready.color(page, SETTINGS, hints, ignored).rgb) > 0
    empty = tmp_path / "empty.hints.png"
    Image.new("RGBA", (128, 192)).save(empty)
    assert np.array_equal(plain, ready.color(page, SETTINGS, empty, ignored).rgb)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.hints.png", None, "64 x 64 pixels and their page is 128 x 192"),
        ("b.hints.png", b"no picture", "no readable PNG"),
        ("c.hints.json", b'{"points": [{"x": 1, "color": "#ffffff"}]}', "'y' is missing"),
        ("d.hints.json", b'{"strokes": [{"points": [[1, 2]], "id": 3}]}', "the palette has no id 3"),
        ("e.hints.json", b"{", "no readable JSON"),
    ],
)
def test_hints_that_do_not_fit_cost_their_page_only(
    ready: CobraBackend, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    hints = tmp_path / name
    if content is None:
        Image.new("RGBA", (64, 64)).save(hints)
    else:
        hints.write_bytes(content)
    page = drawn_page(128, 192)
    bad, good = ready.color_many([PageJob(page, SETTINGS, hints), PageJob(page, SETTINGS)], ignored)
    assert isinstance(bad, ImageProcessingError)
    assert said in str(bad)
    assert isinstance(good, Colored)
    with pytest.raises(ImageProcessingError, match=name):
        ready.color(page, SETTINGS, hints, ignored)


def test_progress_rises_to_the_end_and_cancels_at_a_step(ready: CobraBackend) -> None:
    page, seen = drawn_page(128, 192), []
    ready.color(page, SETTINGS, None, lambda done, total: seen.append((done, total)))
    counted = [done for done, total in seen if total > 1]
    assert counted == sorted(counted)
    assert seen[-1][0] == seen[-1][1]
    assert len(set(counted)) > SETTINGS.num_inference_steps

    def cancel(done: int, total: int) -> None:
        if done >= 3:
            raise Cancelled("no longer wanted")

    with pytest.raises(Cancelled):
        ready.color(page, SETTINGS, None, cancel)
    assert ready.color(page, SETTINGS, None, ignored).rgb.shape == page.rgb.shape


def test_patches_that_a_gpu_takes_together_are_those_of_one_at_a_time(
    backend: CobraBackend, artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is kept of them from the page before does not show."""
    pages = [drawn_page(128, 192, number) for number in range(2)]

    def colored(numbers: list[int]) -> list[Pixels]:
        fresh = CobraBackend()
        fresh.load(artefact)
        return [fresh.color(pages[number], SETTINGS, None, ignored).rgb for number in numbers]

    one_by_one = colored([0, 1])
    made, load = [], Book.__init__

    def together(self: Book, *args: Any) -> None:
        load(self, *args)
        self.patches_together = 8
        made.append(self)

    monkeypatch.setattr(Book, "__init__", together)
    first, second = colored([0, 1])
    assert max(levels_apart(first, one_by_one[0]), levels_apart(second, one_by_one[1])) <= 2
    (alone,) = colored([1])
    assert np.array_equal(alone, second)
    assert len(made) == 2


def test_a_webtoon_strip_is_colored_in_pieces(ready: CobraBackend) -> None:
    strip = np.full((1500, 100, 3), 255, np.uint8)
    for top in range(20, 1500, 100):
        strip[top : top + 60, 20:80] = 40
    page = Page(strip, gray=True, bit_depth=8, dpi=None, icc=None, source_mode="L")
    colored = ready.color(page, replace(SETTINGS, num_inference_steps=1), None, ignored)
    assert colored.rgb.shape == strip.shape
    assert len(colored.details["sizes"]) > 3


def test_ink_is_kept_pixel_for_pixel_on_request(ready: CobraBackend) -> None:
    page = drawn_page(256, 384)
    kept = ready.color(page, replace(SETTINGS, keep_ink=True), None, ignored).rgb
    black = page.rgb.max(axis=2) <= 74
    assert black.any()
    assert np.array_equal(kept[black], page.rgb[black])


def test_a_page_keeps_its_color_profile(ready: CobraBackend) -> None:
    page = drawn_page(96, 144)
    plain = ready.color(page, SETTINGS, None, ignored).rgb
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tagged = ready.color(replace(page, icc=srgb), SETTINGS, None, ignored).rgb
    # Another writing of the same profile: converted there and back, to rounding.
    assert levels_apart(plain, tagged) <= 3
    damaged = ready.color(replace(page, icc=b"no profile"), SETTINGS, None, ignored).rgb
    assert np.array_equal(plain, damaged)


def test_an_unreadable_reference_is_named(backend: CobraBackend, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(ImageProcessingError, match=r"broken\.png"):
        backend.prepare([Reference(broken, "0" * 64)], tmp_path / "artefact", SETTINGS, ignored)


def test_weights_of_one_style_only_color_pages_of_that_style(
    small_model: Path, artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    partial = tmp_path / "model"
    shutil.copytree(small_model, partial, ignore=shutil.ignore_patterns("line_ckpt"))
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(partial))
    backend = CobraBackend()
    assert backend.unavailable() is None
    backend.load(artefact)
    page = drawn_page(128, 192)
    assert backend.color(page, SETTINGS, None, ignored).rgb.shape == page.rgb.shape
    with pytest.raises(ValidationError, match=r"line_ckpt.*controlnet\.bin is missing"):
        backend.color(page, replace(SETTINGS, style="line"), None, ignored)


def failing(times: int, real: Callable[..., object], error: Exception) -> Callable[..., object]:
    """A stage that runs out of memory `times` times before it works."""
    left = [times]

    def stage(*args: object, **kwargs: object) -> object:
        if left[0]:
            left[0] -= 1
            raise error
        return real(*args, **kwargs)

    return stage


@pytest.mark.parametrize("room", [1 << 30, 0])
def test_what_is_kept_between_pages_changes_time_not_pixels(
    backend: CobraBackend, artefact: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    from batch_processing.backends.cobra import backend as module
    from batch_processing.backends.cobra.pipeline import Pipeline

    record, recorded = Pipeline.record, []

    def counted(self: Pipeline, style: str, latents: torch.Tensor, group: int) -> torch.Tensor:
        recorded.append(len(latents))
        return record(self, style, latents, group)

    monkeypatch.setattr(Pipeline, "record", counted)
    monkeypatch.setattr(module, "CPU_ENTRIES", room)
    backend.load(artefact)
    page = drawn_page(128, 192)
    cold = backend.color(page, SETTINGS, None, ignored).rgb
    assert sum(recorded) == 4 * SETTINGS.top_k
    warm = backend.color(page, SETTINGS, None, ignored).rgb
    assert np.array_equal(cold, warm)
    assert sum(recorded) == (1 if room else 2) * 4 * SETTINGS.top_k


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_page_survives_lack_of_memory(
    ready: CobraBackend, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    from batch_processing.backends.cobra.pipeline import Pipeline

    page = drawn_page(128, 192)
    expected = ready.color(page, SETTINGS, None, ignored).rgb
    error = torch.OutOfMemoryError("CUDA out of memory.")
    monkeypatch.setattr(Pipeline, "enlarge", failing(times, Pipeline.enlarge, error))
    assert levels_apart(ready.color(page, SETTINGS, None, ignored).rgb, expected) <= 1


def test_a_batch_that_is_too_large_is_halved(ready: CobraBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    from batch_processing.backends.cobra.pipeline import Pipeline

    real, sizes = Pipeline.denoise, []

    def denoise(self: Pipeline, style: str, seeds: list[int], *rest: object) -> object:
        sizes.append(len(seeds))
        if len(seeds) > 1:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")
        return real(self, style, seeds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Pipeline, "denoise", denoise)
    for _ in range(2):
        results = ready.color_many(placed([drawn_page(128, 192, n) for n in range(3)]), ignored)
        assert all(isinstance(result, Colored) for result in results)
    # What was learned of the memory is not learned again.
    assert sizes == [3, 1, 1, 1, 1, 1, 1]


def test_when_nothing_helps_memory_is_named_as_the_cause(
    ready: CobraBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batch_processing.backends.cobra.pipeline import Pipeline

    error = torch.OutOfMemoryError("CUDA out of memory.")
    monkeypatch.setattr(Pipeline, "enlarge", failing(99, Pipeline.enlarge, error))
    with pytest.raises(ResourceError, match="too small"):
        ready.color(drawn_page(128, 192), SETTINGS, None, ignored)


def test_other_errors_are_not_taken_for_lack_of_memory(
    ready: CobraBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batch_processing.backends.cobra.pipeline import Pipeline

    monkeypatch.setattr(Pipeline, "enlarge", failing(1, Pipeline.enlarge, RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        ready.color(drawn_page(128, 192), SETTINGS, None, ignored)


def test_too_little_memory_to_load_is_a_sentence(
    backend: CobraBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batch_processing.backends.cobra.pipeline import Pipeline

    def no_room(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Pipeline, "__init__", no_room)
    with pytest.raises(ResourceError, match="not enough memory on cpu to load Cobra"):
        backend.load(None)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "Cobra's weights are not there"),
        (lambda folder: folder.mkdir(), "is no Cobra model"),
        (lambda folder: (folder / "LE").mkdir(parents=True), "incomplete.*erika.pth is missing"),
    ],
)
def test_why_it_cannot_run_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "model"
    make(folder)
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(folder))
    monkeypatch.setenv("LOTE_COBRA_DEVICE", "cpu")
    import re

    reason = str(CobraBackend().unavailable())
    assert re.search(said, reason)
    assert "\n" not in reason


class Driver(ModuleType):
    """Stands for nvidia-ml-py on a machine with `count` GPUs, or without a driver (None)."""

    class NVMLError(Exception):
        pass

    def __init__(self, count: int | None) -> None:
        super().__init__("pynvml")
        self.count = count

    def nvmlInit(self) -> None:  # noqa: N802
        if self.count is None:
            raise self.NVMLError

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int | None:  # noqa: N802
        return self.count


@pytest.fixture
def gpu(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """A Linux machine with weights, torch for CUDA, and as many GPUs as one says."""

    def machine(count: int | None) -> None:
        monkeypatch.setenv("LOTE_COBRA_MODEL", str(small_model))
        monkeypatch.delenv("LOTE_COBRA_DEVICE", raising=False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr("platform.system", lambda: "Linux")
        monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cu130")
        monkeypatch.setitem(sys.modules, "pynvml", Driver(count))

    return machine


def test_it_needs_its_packages_a_gpu_and_its_weights(
    gpu: Callable[[int | None], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(1)
    assert CobraBackend().unavailable() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides all" in str(CobraBackend().unavailable())
    for count in (0, None):
        gpu(count)
        assert "needs a GPU, and none was found" in str(CobraBackend().unavailable())
    gpu(1)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    assert "built without GPU support" in str(CobraBackend().unavailable())
    gpu(1)
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(tmp_path / "absent"))
    assert "weights are not there" in str(CobraBackend().unavailable())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "torch, diffusers, transformers, safetensors not installed" in str(CobraBackend().unavailable())


def chosen_by_auto(folder: Path) -> tuple[str, list[str]]:
    """What became of a job of one page with `--backend auto`, and the notes that were told."""
    (folder / "pages").mkdir()
    Image.fromarray(drawn_page(96, 144).rgb).save(folder / "pages" / "1.png")
    reference = colored_reference(folder, 0).path
    workspace = Workspace(folder / "ws")
    job = submit(
        workspace, [folder / "pages"], folder / "out", references=[reference], config={"as_lineart": ["*"]}
    )
    result = run(workspace, job.id)
    notes = [str(event.data["text"]) for event in workspace.ledger.events(job.id) if event.kind == "note"]
    workspace.close()
    return " ".join([result.state, *(text for _, text in result.failures)]), notes


def test_auto_takes_cobra_where_a_gpu_and_weights_are_and_says_so(
    gpu: Callable[[int | None], None], tmp_path: Path
) -> None:
    gpu(1)
    became, notes = chosen_by_auto(tmp_path)
    assert "colouring with Cobra (GPU)" in notes
    # The driver was a fake: the worker finds nothing to compute on, and colours no page on a CPU for hours.
    assert "failed" in became
    assert "finds no GPU that it can use" in became


@pytest.mark.parametrize(
    ("device", "reason"), [("", "Cobra needs a GPU"), ("cpu", "only --backend cobra asks for Cobra")]
)
def test_auto_takes_flats_elsewhere_and_says_why(
    gpu: Callable[[int | None], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    reason: str,
) -> None:
    gpu(0)
    monkeypatch.setenv("LOTE_COBRA_DEVICE", device)
    became, notes = chosen_by_auto(tmp_path)
    assert became == "done"
    assert "colouring with flats (CPU)" in notes
    assert reason in str(choose_backend("auto")[1])  # what `lote doctor` and --show-config say


@pytest.mark.parametrize(
    ("device", "said"),
    [("gpu0", "no device 'gpu0'"), ("cuda:99", "cannot use cuda:99"), ("xpu", "cannot use xpu")],
)
def test_a_device_that_is_not_there_is_a_sentence(
    backend: CobraBackend, monkeypatch: pytest.MonkeyPatch, device: str, said: str
) -> None:
    monkeypatch.setenv("LOTE_COBRA_DEVICE", device)
    with pytest.raises(ValidationError, match=said):
        backend.load(None)


def test_the_version_follows_the_weights(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    copy = tmp_path / "model"
    shutil.copytree(small_model, copy)
    versions = []
    for folder in (small_model, copy, tmp_path / "absent"):
        monkeypatch.setenv("LOTE_COBRA_MODEL", str(folder))
        versions.append(CobraBackend().version)
    changed = copy / "shadow_GSRP" / "MultiResNetModel.bin"
    state = torch.load(changed)
    state["two_layer_resnets.0.block1.bn1.weight"] += 1
    torch.save(state, changed)
    monkeypatch.setenv("LOTE_COBRA_MODEL", str(copy))
    versions.append(CobraBackend().version)
    assert versions[0] == versions[1] != versions[3]
    assert versions[2] == "3"
