"""Choosing references by eye: a gallery with a box to tick for each image.

Promises that an index means the same image everywhere: the position in the list of paths that was
loaded. A file that cannot be read keeps its place, with a gray picture, and starts unticked.
Images are decoded in a worker process: they may come from anybody.
gradio is imported when components are created, never before.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.workers import Progress
from ..exceptions import ValidationError
from ..logging_config import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from PIL import Image

    from ..classification import ImageType

__all__ = ["ReferencePreviewGallery", "create_reference_preview_ui", "filter_references"]

_logger = get_logger(__name__)
_THUMBNAIL = 320  # pixels of the longest side: four columns of a 1280-pixel page
_PLACEHOLDER = (200, 200, 200)


class ReferencePreviewGallery:
    """The references offered, what the classifier says of them, and which are ticked: their indices."""

    def __init__(self) -> None:
        self.reference_images: list[str] = []
        self.classifications: dict[str, ImageType] = {}
        self.selected_indices: set[int] = set()

    def load_references(
        self, paths: Sequence[str | Path], classifications: Mapping[str, ImageType]
    ) -> tuple[list[Image.Image], list[str], list[int]]:
        """Thumbnails, choices and ticked indices for these references, in this order.

        A choice reads `<index>: <name> (confidence: xx.x%)`. Every readable image is ticked."""
        self.reference_images = [str(path) for path in paths]
        self.classifications = {str(path): kind for path, kind in classifications.items()}
        thumbnails = _thumbnails(self.reference_images)
        ticked = self._tick(index for index, image in enumerate(thumbnails) if image is not None)
        return [image if image is not None else _gray() for image in thumbnails], self.choices(), ticked

    def select_all(self, choices: Sequence[str] | None = None) -> list[int]:
        """Tick every image (or as many as there are choices); the ticked indices, in order."""
        return self._tick(range(len(self.reference_images if choices is None else choices)))

    def deselect_all(self, choices: Sequence[str | int] | None = None) -> list[int]:
        """Tick none (or none of these choices or indices); the ticked indices, in order."""
        return self._tick(() if choices is None else self.selected_indices - set(map(_index, choices)))

    def auto_select_best(self, choices: Sequence[str], threshold: float = 0.7) -> list[int]:
        """Tick those of the first images, as many as there are choices, whose confidence is at least `threshold`
        (0 to 1); the ticked indices, in order."""
        offered = range(min(len(choices), len(self.reference_images)))
        return self._tick(index for index in offered if self._confidence(index) >= threshold)

    def update_selection(self, selected: Sequence[str | int]) -> list[int]:
        """Take over what a person ticked, as choices or indices; the ticked indices, in order.

        An index is taken as it is, whatever has been loaded: who uses it says that no image has it
        (`get_confidence_display`, `filter_references`). ValidationError for a choice that begins with none."""
        return self._tick(map(_index, selected))

    def get_confidence_display(self, selected: Sequence[str | int] | None = None) -> str:
        """What the classifier measured of the ticked images (or of these), as text.

        ValidationError for an index that no image has."""
        indices = sorted(self.selected_indices if selected is None else set(map(_index, selected)))
        filter_references(self.reference_images, indices)
        return "\n\n".join(map(self._measured, indices)) or "No images selected."

    def create_gallery_component(self) -> Any:
        """The gradio gallery that shows the thumbnails."""
        import gradio

        return gradio.Gallery(label="References", columns=4, object_fit="contain", interactive=False)

    def choices(self) -> list[str]:
        """One line for each image, ticked or not, in order."""
        return [
            f"{index}: {Path(path).name} (confidence: {self._confidence(index):.1%})"
            for index, path in enumerate(self.reference_images)
        ]

    def _tick(self, indices: Iterable[int]) -> list[int]:
        self.selected_indices = set(indices)
        return sorted(self.selected_indices)

    def _confidence(self, index: int) -> float:
        kind = self.classifications.get(self.reference_images[index])
        return kind.confidence if kind else 0.0

    def _measured(self, index: int) -> str:
        path = self.reference_images[index]
        kind = self.classifications.get(path)
        lines = [Path(path).name, f"  Confidence: {self._confidence(index):.1%}"]
        if kind:
            lines += [
                f"  Saturation: {kind.metrics.get('saturation', 0):.3f}",
                f"  Unique Colors: {kind.metrics.get('color_count', 0):.0f}",
                f"  Edge Density: {kind.metrics.get('edge_density', 0):.3f}",
            ]
        return "\n".join(lines)


def create_reference_preview_ui() -> dict[str, Any]:
    """The gallery, boxes, buttons and measurements as gradio components, wired to each other.

    They join the `gradio.Blocks` that is being built, or one of their own. Keys: gallery,
    checkbox_group, button_row, confidence_display, select_all_btn, deselect_all_btn, auto_select_btn,
    gallery_manager (the `ReferencePreviewGallery` behind them)."""
    import gradio
    from gradio.context import Context

    manager = ReferencePreviewGallery()

    def show(ticked: list[int]) -> tuple[list[str], str]:
        choices = manager.choices()
        return [choices[index] for index in ticked], manager.get_confidence_display()

    def changed(ticked: list[str]) -> str:
        manager.update_selection(ticked)
        return manager.get_confidence_display()

    with nullcontext() if Context.root_block else gradio.Blocks(analytics_enabled=False):
        gallery = manager.create_gallery_component()
        boxes = gradio.CheckboxGroup(label="Use as references", choices=[], interactive=True)
        with gradio.Row() as row:
            everything = gradio.Button("Select all")
            nothing = gradio.Button("Deselect all")
            best = gradio.Button("Select the best")
        measured = gradio.Textbox(label="Measured", lines=6, interactive=False, value="No images selected.")
        outputs = [boxes, measured]
        everything.click(lambda: show(manager.select_all()), outputs=outputs)
        nothing.click(lambda: show(manager.deselect_all()), outputs=outputs)
        best.click(lambda: show(manager.auto_select_best(manager.choices())), outputs=outputs)
        boxes.input(changed, inputs=boxes, outputs=measured)
    return {
        "gallery": gallery,
        "checkbox_group": boxes,
        "button_row": row,
        "confidence_display": measured,
        "select_all_btn": everything,
        "deselect_all_btn": nothing,
        "auto_select_btn": best,
        "gallery_manager": manager,
    }


def filter_references(all_references: Sequence[str], indices: Iterable[int]) -> list[str]:
    """The references at these positions, in the order of `indices`. ValidationError "Invalid index"."""
    wanted = list(indices)
    for index in wanted:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(all_references):
            raise ValidationError(
                "Invalid index {index}: there are {count} references, counted from 0.",
                index=repr(index),
                count=len(all_references),
            )
    return [all_references[index] for index in wanted]


def _index(choice: str | int) -> int:
    """The index that a choice begins with."""
    number = choice.partition(":")[0] if isinstance(choice, str) else choice
    try:
        return int(number)
    except ValueError:
        raise ValidationError(
            "Invalid index in the choice {choice}: it must begin with a number.", choice=repr(choice)
        ) from None


def _thumbnails(paths: Sequence[str]) -> list[Image.Image | None]:
    """A small picture of each, None for what cannot be read. Decoded in a worker with limited memory and time."""
    from PIL import Image

    from ..core.workers import LocalPool, Task
    from .web.pictures import MEMORY, TIMEOUT

    found: list[Image.Image | None] = []
    pool = LocalPool(1, memory_limit=MEMORY)
    try:
        for path in paths:
            pool.submit(Task(path, _Thumbnail(path), timeout_s=TIMEOUT))
            while not (results := pool.completed(TIMEOUT)):
                pass
            value, failure = results[0].value, results[0].failure
            if failure:
                _logger.warning("%s", failure.text)
            found.append(Image.frombytes("RGB", value.size, value.rgb) if value else None)
    finally:
        pool.close()
    return found


class _Pixels(NamedTuple):
    """8-bit sRGB pixels, row by row; `size` is (width, height)."""

    size: tuple[int, int]
    rgb: bytes


@dataclass(frozen=True)
class _Thumbnail:
    """The worker's task: a small picture of an image. ImageProcessingError."""

    path: str

    def run(self, progress: Progress) -> _Pixels:
        from ..io.images import decode

        rgb = decode(Path(self.path), max_side=_THUMBNAIL).srgb()
        return _Pixels((rgb.shape[1], rgb.shape[0]), rgb.tobytes())


def _gray() -> Image.Image:
    from PIL import Image

    return Image.new("RGB", (_THUMBNAIL, _THUMBNAIL), _PLACEHOLDER)
