"""The `flats` backend: flats for inked line art from coloured references and hints, on a CPU.

It promises the same bytes on each run, the page's size, the page's own line pixels, one palette for all pages
of a job, and a confidence for each region. It refuses nothing that can be decoded: a page without closed
regions is one region. It does not paint: shading is the page's own or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...exceptions import ImageProcessingError
from ..base import Coloured, PageSettings, Progress, Reference

if TYPE_CHECKING:
    from ...io.images import Page
    from .references import Knowledge

__all__ = ["FlatsBackend"]

WORK_SIDE = 2200
"""Longest side in pixels at which regions are found and matched (some 3.4 megapixels)."""


class FlatsBackend:
    """See base.Backend for the contract and this package's text for what it promises."""

    name = "flats"
    version = "1"
    needs_references = True

    def __init__(self) -> None:
        self._known: Knowledge | None = None

    def unavailable(self) -> str | None:
        from importlib.util import find_spec

        missing = [name for name in ("cv2", "scipy") if find_spec(name) is None]
        if missing:
            return f"the flats backend needs {' and '.join(missing)}: reinstall lote with its dependencies"
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        import cv2

        from ...io.images import decode
        from . import references as learning

        cv2.setNumThreads(1)
        total = len(references) + 1

        def pictures() -> Any:
            for number, reference in enumerate(references):
                progress(number, total)
                yield learning.shrink(decode(reference.path).rgb, learning.WORK_SIDE)

        known = learning.learn(pictures())
        artefact.write_bytes(known.to_bytes())
        progress(total, total)

    def load(self, artefact: Path | None) -> None:
        from .references import Knowledge

        if artefact is None:
            self._known = Knowledge.of_palette([[255, 255, 255]])
            return
        try:
            self._known = Knowledge.read(artefact)
        except (OSError, ValueError, KeyError) as fault:
            raise ImageProcessingError(
                artefact,
                "this file of learned references cannot be read; start the job again to make it anew",
            ) from fault

    def colour(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Coloured:
        import cv2

        from . import assign, describe, ink, references, regions, render, structure

        cv2.setNumThreads(1)
        known = self._known or references.Knowledge.of_palette([[255, 255, 255]])
        h, w = page.rgb.shape[:2]
        work = references.shrink(page.rgb, WORK_SIDE)
        progress(0, 4)
        drawn = ink.find(work)
        labels = regions.segment(drawn.mask, drawn.unit)
        progress(1, 4)
        what = describe.shapes(labels)
        panels = structure.find(labels, drawn.mask, what, drawn.unit)
        fixed = np.full(what.count, -1, np.int32)
        progress(2, 4)
        chosen = assign.assign(drawn, labels, what, panels, known, fixed)
        progress(3, 4)
        if work.shape[:2] != (h, w):
            labels = _enlarge(labels, h, w)
        under = render.flats(labels, chosen.colour, known.rgb)
        merged = render.merge(page.rgb, under, drawn.line, drawn.shade, shadow=settings.style != "line")
        progress(4, 4)
        share = what.area / what.area.sum()
        return Coloured(merged, float((share * chosen.confidence).sum()))


def _enlarge(labels: NDArray[np.int32], h: int, w: int) -> NDArray[np.int32]:
    import cv2

    return np.asarray(cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST), np.int32)
