"""The `flats` backend: flats for inked line art from coloured references and hints, on a CPU.

It promises the same bytes on each run, the page's size, the page's own line pixels, one palette for all pages
of a job, and a confidence for each region. It refuses nothing that can be decoded: a page without closed
regions is one region. It does not paint: shading is the page's own or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...exceptions import ResourceError
from ..base import Coloured, PageSettings, PaletteColour, Progress, Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...io.images import Page
    from .pages import Flatted
    from .palette import Palette
    from .references import Knowledge

__all__ = ["FlatsBackend"]

REVIEW_BELOW = 0.75
"""Regions less sure than this are coloured, and listed for a person to look at,"""
REVIEW_SHARE = 0.9
"""until the list holds this much of the area that is expected to be wrong in them;"""
SPECK = 70
"""but none that is smaller than a square of the page's width through this: 3 mm on A4."""


class FlatsBackend:
    """See base.Backend for the contract and this package's text for what it promises."""

    name = "flats"
    version = "13"
    needs_references = True
    exclusive = False

    def __init__(self) -> None:
        self._known: Knowledge | None = None
        self._palette: Palette | None = None

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

        def pictures() -> Iterator[NDArray[np.uint8]]:
            for number, reference in enumerate(references):
                progress(number, total)
                yield learning.shrink(decode(reference.path).rgb, learning.WORK_SIDE)

        known = learning.learn(pictures())
        artefact.write_bytes(known.to_bytes())
        progress(total, total)

    def load(self, artefact: Path | None) -> None:
        from .arrays import learned
        from .references import Knowledge

        self._palette = None
        if artefact is None:
            self._known = Knowledge.of_palette([[255, 255, 255]])
            return
        self._known = learned(Knowledge, artefact)

    def adopt(
        self,
        given: Sequence[PaletteColour],
        *,
        single: bool = False,
        first: Path | None = None,
        memory: Path | None = None,
    ) -> None:
        from .arrays import learned
        from .palette import joined
        from .references import Knowledge

        if first is not None:
            numbered, palette = joined(learned(Knowledge, first), given)
            taken = {colour.id for colour in given}
            shown = zip(palette.ids.tolist(), numbered.rgb.tolist(), strict=True)
            given = [*given, *(PaletteColour(i, (r, g, b)) for i, (r, g, b) in shown if i not in taken)]
        known = self._known or Knowledge.of_palette([[255, 255, 255]])
        self._known, self._palette = joined(known, given, own=single)
        if memory is not None:
            from .memory import Memory, recalled

            self._known, self._palette = recalled(self._known, self._palette, learned(Memory, memory))

    def remember(self, page: Page, state: bytes, *, approved: bool) -> bytes:
        import cv2

        from .memory import of_page
        from .pages import Flatted

        cv2.setNumThreads(1)
        return of_page(page.rgb, Flatted.of_bytes(state), everything=approved).to_bytes()

    def gather(self, remembered: Sequence[Path], artefact: Path) -> int:
        from .arrays import learned
        from .memory import Memory, gathered

        together = gathered(learned(Memory, path) for path in remembered)
        artefact.write_bytes(together.to_bytes())
        return len(together.region_id)

    def colour(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Coloured:
        try:
            return self._drawn(page, self.flat(page, hints, progress), settings)
        except MemoryError as fault:
            height, width = page.rgb.shape[:2]
            raise ResourceError(
                f"not enough memory for a page of {width} x {height} pixels; close other programs or use fewer --workers"
            ) from fault

    def flat(self, page: Page, hints: Path | None, progress: Progress) -> Flatted:
        """The page's regions and colours before they are drawn; `to_bytes` of it is `Coloured.state`."""
        import cv2

        from . import hints as marks
        from . import pages
        from .references import Knowledge

        cv2.setNumThreads(1)
        known = self._known or Knowledge.of_palette([[255, 255, 255]])
        if self._palette is None:
            self.adopt(())
        assert self._palette is not None  # noqa: S101 - adopt sets it
        height, width = page.rgb.shape[:2]
        rows = zip(self._palette.ids.tolist(), known.rgb.tolist(), strict=True)
        colours = {number: rgb for rgb, number in self._palette.given.items()}
        colours |= {number: (r, g, b) for number, (r, g, b) in rows}
        said = marks.read(hints, width, height, colours) if hints is not None else None
        return pages.flat(page.rgb, known, self._palette, said, progress)

    def recolour(
        self, page: Page, state: bytes, palette: Mapping[int, tuple[int, int, int]], settings: PageSettings
    ) -> Coloured:
        """Draw a page again from its `Coloured.state` with other colours for some palette ids, in milliseconds."""
        from .pages import Flatted

        return self._drawn(page, Flatted.of_bytes(state), settings, palette)

    def _drawn(
        self,
        page: Page,
        found: Flatted,
        settings: PageSettings,
        palette: Mapping[int, tuple[int, int, int]] | None = None,
    ) -> Coloured:
        from . import render

        flatted = found.painted(dict(palette)) if palette else found

        merged = render.merge(page.rgb, flatted, shadow=settings.style != "line")
        layers = (
            render.layers(page.rgb, flatted, gray=page.gray, by=settings.layers_by) if settings.layers else []
        )
        confidence = float((flatted.area * flatted.confidence).sum() / max(1.0, flatted.area.sum()))
        height, width = page.rgb.shape[:2]
        details = _details(flatted, found.rgb, width, height)
        # The page's own colours are what is kept: in others it can be drawn from them at any time.
        return Coloured(merged, min(1.0, confidence), details, layers, b"" if palette else found.to_bytes())


def _details(flatted: Flatted, shown: NDArray[np.uint8], width: int, height: int) -> dict[str, Any]:
    """What the report and its JSON files say of a page, boxes in its own pixels."""
    used = sorted(set(flatted.colour.tolist()))
    sx, sy = width / flatted.labels.shape[1], height / flatted.labels.shape[0]
    regions: list[dict[str, Any]] = []
    for row, why in enumerate(flatted.why):
        x0, y0, x1, y1 = flatted.box[row].tolist()
        regions.append(
            {
                "label": row + 1,
                "box": [int(x0 * sx), int(y0 * sy), min(width, round(x1 * sx)), min(height, round(y1 * sy))],
                "id": int(flatted.ids[flatted.colour[row]]),
                "confidence": round(float(flatted.confidence[row]), 4),
                "why": why,
                "panel": int(flatted.panel[row]),
            }
        )
    palette = [
        {"id": int(flatted.ids[row]), "rgb": flatted.rgb[row].tolist(), "reference": shown[row].tolist()}
        for row in used
    ]
    return {"palette": palette, "review": _review(flatted, regions), "regions": regions}


def _review(flatted: Flatted, regions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The regions to look at, those first of which most of the page is expected to be wrong."""
    page_area = max(1.0, float(flatted.area.sum()))
    speck = (flatted.labels.shape[1] / SPECK) ** 2
    listed = []
    for region, area in zip(regions, flatted.area.tolist(), strict=True):
        if region["confidence"] < REVIEW_BELOW and area >= speck:
            doubt = round(area * (1 - region["confidence"]) / page_area, 6)
            listed.append({key: region[key] for key in ("box", "id", "confidence", "why")} | {"doubt": doubt})
    listed.sort(key=lambda entry: -entry["doubt"])
    left = (1 - REVIEW_SHARE) * sum(entry["doubt"] for entry in listed)
    while len(listed) > 1 and listed[-1]["doubt"] <= left:
        left -= listed.pop()["doubt"]
    return listed
