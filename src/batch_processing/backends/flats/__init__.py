"""The `flats` backend: flats for inked line art from coloured references and hints, on a CPU.

It promises the same bytes on each run, the page's size, the page's own line pixels, one palette for all pages
of a job, and a confidence for each region. It refuses nothing that can be decoded: a page without closed
regions is one region. It does not paint: shading is the page's own or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...exceptions import ResourceError
from ...json_types import JsonObject
from ...messages import Message
from ..base import Colored, Desk, Edit, PageSettings, PaletteColor, Progress, Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...io.images import Page
    from .color_ids import Palette
    from .flatted import Flatted
    from .prepared import PreparedPage
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
    version = "23"
    needs_references = True
    exclusive = False

    def __init__(self) -> None:
        self._known: Knowledge | None = None
        self._palette: Palette | None = None

    def unavailable(self) -> Message | None:
        from importlib.util import find_spec

        missing = [name for name in ("cv2", "scipy") if find_spec(name) is None]
        if missing:
            return Message(
                "the flats backend needs {missing}: reinstall lote with its dependencies",
                missing=" and ".join(missing),
            )
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        import cv2

        from . import references as learning

        cv2.setNumThreads(1)
        total = len(references) + 1

        def pictures() -> Iterator[NDArray[np.uint8]]:
            for number, reference in enumerate(references):
                progress(number, total)
                yield _picture(reference)

        known = learning.learn(pictures())
        artefact.write_bytes(known.to_bytes())
        progress(total, total)

    rounds = 3

    def study(
        self, number: int, reference: Reference, before: Sequence[Path], common: Path | None, own: Path
    ) -> None:
        import cv2

        from . import rounds

        cv2.setNumThreads(1)
        if common is None:
            rounds.look_at(_picture(reference), own)
        else:
            rounds.study(number, before, common, own)

    def agree(
        self,
        number: int,
        references: Sequence[Reference],
        own: Sequence[Path],
        common: Path | None,
        made: Path,
    ) -> None:
        from . import rounds

        rounds.agree(number, own, common, made)

    def load(self, artefact: Path | None) -> None:
        from .references import Knowledge

        self._palette = None
        self._known = Knowledge.of_palette([[255, 255, 255]]) if artefact is None else self._learned(artefact)

    def _learned(self, artefact: Path) -> Knowledge:
        """What `prepare` wrote. ImageProcessingError if the file is damaged or cannot be read."""
        from .arrays import learned
        from .references import Knowledge

        return learned(Knowledge, artefact)

    def adopt(
        self,
        given: Sequence[PaletteColor],
        *,
        single: bool = False,
        first: Path | None = None,
        memory: Path | None = None,
    ) -> None:
        from .color_ids import joined
        from .references import Knowledge

        if first is not None:
            numbered, palette = joined(self._learned(first), given)
            taken = {color.id for color in given}
            shown = zip(palette.ids.tolist(), numbered.rgb.tolist(), strict=True)
            given = [*given, *(PaletteColor(i, (r, g, b)) for i, (r, g, b) in shown if i not in taken)]
        known = self._known or Knowledge.of_palette([[255, 255, 255]])
        self._known, self._palette = joined(known, given, own=single)
        if memory is not None:
            from .arrays import learned
            from .own_pages import Memory, recalled

            self._known, self._palette = recalled(self._known, self._palette, learned(Memory, memory))

    def remember(self, page: Page, state: bytes, *, approved: bool) -> bytes:
        import cv2

        from .flatted import Flatted
        from .own_pages import of_page

        cv2.setNumThreads(1)
        return of_page(page.rgb, Flatted.of_bytes(state), everything=approved).to_bytes()

    def gather(self, remembered: Sequence[Path], artefact: Path) -> int:
        from .arrays import learned
        from .own_pages import Memory, gathered

        together = gathered(learned(Memory, path) for path in remembered)
        artefact.write_bytes(together.to_bytes())
        return len(together.region_id)

    def color(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Colored:
        try:
            return self._drawn(page, self.flat(page, hints, progress), settings)
        except MemoryError as fault:
            height, width = page.rgb.shape[:2]
            raise ResourceError(
                "not enough memory for a page of {width} x {height} pixels; close other programs or use "
                "fewer --workers",
                width=width,
                height=height,
            ) from fault

    def flat(self, page: Page, hints: Path | None, progress: Progress) -> Flatted:
        """The page's regions and colours before they are drawn; `to_bytes` of it is `Colored.state`."""
        import cv2

        from . import hints as marks
        from .prepared import flat

        cv2.setNumThreads(1)
        known, palette = self._adopted()
        height, width = page.rgb.shape[:2]
        said = marks.read(hints, width, height, self.hint_colors()) if hints is not None else None
        return flat(page.rgb, known, palette, said, progress)

    def prepared(self, page: Page, progress: Progress) -> PreparedPage:
        """The page made ready for any number of hints: what `flat` gives, for each of them in a fraction of the time."""
        import cv2

        from .prepared import PreparedPage

        cv2.setNumThreads(1)
        known, palette = self._adopted()
        return PreparedPage(page.rgb, known, palette, progress)

    def hint_colors(self) -> dict[int, tuple[int, int, int]]:
        """The colour by which hints name each id of the job's palette."""
        known, palette = self._adopted()
        colors = {number: rgb for rgb, number in palette.given.items()}
        rows = zip(palette.ids.tolist(), known.rgb.tolist(), strict=True)
        return colors | {number: (r, g, b) for number, (r, g, b) in rows}

    def _adopted(self) -> tuple[Knowledge, Palette]:
        if self._palette is None or self._known is None:
            self.adopt(())
        assert self._known is not None and self._palette is not None  # noqa: S101, PT018 - adopt sets them
        return self._known, self._palette

    def recolor(
        self, page: Page, state: bytes, palette: Mapping[int, tuple[int, int, int]], settings: PageSettings
    ) -> Colored:
        """Draw a page again from its `Colored.state` with other colours for some palette ids, in milliseconds."""
        from .flatted import Flatted

        return self._drawn(page, Flatted.of_bytes(state), settings, palette)

    def edit(self, page: Page, state: bytes, edits: Sequence[Edit]) -> bytes:
        from .edits import edited
        from .flatted import Flatted

        height, width = page.rgb.shape[:2]
        return edited(Flatted.of_bytes(state), edits, width, height).to_bytes()

    def opened(self, page: Page, state: bytes, side: int) -> Desk:
        """A page made ready to be edited, see base.Editing."""
        from .desk import FlatsDesk

        return FlatsDesk(page, state, side)

    def _drawn(
        self,
        page: Page,
        found: Flatted,
        settings: PageSettings,
        palette: Mapping[int, tuple[int, int, int]] | None = None,
    ) -> Colored:
        from ...io.profiles import from_srgb
        from . import render

        flatted = found.painted(dict(palette)) if palette else found
        if settings.right_to_left:
            flatted = flatted.right_to_left()
        # Colours are sRGB everywhere but on the page itself, which has its own profile.
        painted = replace(flatted, rgb=from_srgb(flatted.rgb, page.icc))
        drawn = render.draw(page, painted, shadow=settings.style != "line", parts=settings.layers)
        layers = render.layers(page.rgb, painted, drawn, by=settings.layers_by) if settings.layers else []
        confidence = float((flatted.area * flatted.confidence).sum() / max(1.0, flatted.area.sum()))
        height, width = page.rgb.shape[:2]
        details = _details(flatted, found.rgb, width, height)
        # The page's own colours are what is kept: in others it can be drawn from them at any time.
        state = b"" if palette else found.to_bytes()
        return Colored(drawn.rgb, min(1.0, confidence), details, layers, state, drawn.native)


@dataclass(frozen=True)
class _Region:
    """A region of a page. `box` in pixels of the page, the ends exclusive; `id` of the palette."""

    label: int
    box: list[int]
    id: int
    confidence: float
    why: str
    panel: int


@dataclass(frozen=True)
class _ToReview:
    """A region that a person should look at. `doubt`: the share of the page that is expected to be wrong there; `at`: its
    pixel that is farthest from its border."""

    box: list[int]
    id: int
    confidence: float
    why: str
    doubt: float
    at: list[int]


@dataclass(frozen=True)
class _Seen:
    """Where a colour is to be seen."""

    id: int
    box: list[int]


def _details(flatted: Flatted, shown: NDArray[np.uint8], width: int, height: int) -> JsonObject:
    """What the report and its JSON files say of a page, boxes in its own pixels."""
    used = sorted(set(flatted.color.tolist()))
    sx, sy = width / flatted.labels.shape[1], height / flatted.labels.shape[0]
    regions = []
    for row, why in enumerate(flatted.why):
        x0, y0, x1, y1 = flatted.box[row].tolist()
        regions.append(
            _Region(
                label=row + 1,
                box=[int(x0 * sx), int(y0 * sy), min(width, round(x1 * sx)), min(height, round(y1 * sy))],
                id=int(flatted.ids[flatted.color[row]]),
                confidence=round(float(flatted.confidence[row]), 4),
                why=why,
                panel=int(flatted.panel[row]),
            )
        )
    palette = [
        {"id": int(flatted.ids[row]), "rgb": flatted.rgb[row].tolist(), "reference": shown[row].tolist()}
        for row in used
    ]
    review = [dict(vars(one)) for one in _review(flatted, regions)]
    return {
        "palette": palette,
        "review": review,
        "seen": [dict(vars(one)) for one in _seen(flatted, regions)],
        "regions": [dict(vars(one)) for one in regions],
    }


def _seen(flatted: Flatted, regions: list[_Region]) -> list[_Seen]:
    """Where each colour is shown best: its largest region of those that are sure, in a box; else its largest."""
    best: dict[int, tuple[bool, float, list[int]]] = {}
    for region, area in zip(regions, flatted.area.tolist(), strict=True):
        if area > 0:
            found = (region.confidence >= REVIEW_BELOW, area, region.box)
            best[region.id] = max(best.get(region.id, found), found)
    return [_Seen(number, box) for number, (_, _, box) in sorted(best.items())]


def _review(flatted: Flatted, regions: list[_Region]) -> list[_ToReview]:
    """The regions to look at, those first of which most of the page is expected to be wrong."""
    page_area = max(1.0, float(flatted.area.sum()))
    speck = (flatted.labels.shape[1] / SPECK) ** 2
    listed = []
    for region, area in zip(regions, flatted.area.tolist(), strict=True):
        if region.confidence < REVIEW_BELOW and area >= speck:
            listed.append((round(area * (1 - region.confidence) / page_area, 6), region))
    listed.sort(key=lambda entry: -entry[0])
    left = (1 - REVIEW_SHARE) * sum(doubt for doubt, _ in listed)
    while len(listed) > 1 and listed[-1][0] <= left:
        left -= listed.pop()[0]
    return [
        _ToReview(one.box, one.id, one.confidence, one.why, doubt, _deepest(flatted, one))
        for doubt, one in listed
    ]


def _deepest(flatted: Flatted, region: _Region) -> list[int]:
    """The pixel of the page that is farthest from the border of a region."""
    import cv2
    import numpy as np

    x0, y0, x1, y1 = flatted.box[region.label - 1].tolist()
    mine = np.pad((flatted.labels[y0:y1, x0:x1] == region.label).astype(np.uint8), 1)
    deep = cv2.distanceTransform(mine, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = divmod(int(deep.argmax()), deep.shape[1])
    left, top, right, bottom = region.box
    return [
        left + int((x + 0.5) * (right - left) / max(1, x1 - x0)),
        top + int((y + 0.5) * (bottom - top) / max(1, y1 - y0)),
    ]


def _picture(reference: Reference) -> NDArray[np.uint8]:
    """A reference in sRGB, at the size at which it is studied."""
    from ...io.images import decode
    from ...io.profiles import to_srgb
    from . import references as learning

    page = decode(reference.path)
    return to_srgb(learning.shrink(page.rgb, learning.WORK_SIDE), page.icc)
