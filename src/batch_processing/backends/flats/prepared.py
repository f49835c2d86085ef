"""One page from pixels to flats: the main job, and the same again with other hints in a fraction of the time.

`flat` makes a page's flats. `PreparedPage` keeps what no hint changes, regions and what the references say of them, and
makes the flats of the page for any hints: the same as `flat` with these, whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import assign, completion, describe, graph, ink, regions, structure
from . import hints as marks
from .color_ids import OWN_COLOR, Palette
from .flatted import Flatted, cuts, joined, strips
from .references import Knowledge

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Strip:
    """A page, or a strip of a tall one, matched with the references; `top` in rows of the page."""

    top: int
    drawn: ink.Ink
    labels: regions.Labels
    what: describe.Shapes
    panels: structure.Structure
    seen: graph.Look
    matched: assign.Matched

    @classmethod
    def found(cls, top: int, work: NDArray[np.uint8], known: Knowledge) -> _Strip:
        drawn = ink.find(work)
        tips = completion.ends(drawn.mask)
        labels = regions.segment(drawn, tips)
        what = describe.shapes(labels)
        panels = structure.find(labels, drawn, what, tips)
        seen = graph.look(drawn, labels, what, panels.frame, panels.white)
        return cls(top, drawn, labels, what, panels, seen, assign.match(seen, panels, known))

    def parted(self, labels: regions.Labels, home: NDArray[np.int64]) -> _Strip:
        """The same with some regions parted; `home` is the region that each of `labels` lies in."""
        what = describe.shapes(labels)
        return replace(
            self,
            labels=labels,
            what=what,
            panels=self.panels.of(home),
            seen=graph.parted(self.seen, self.drawn, labels, what, home),
            matched=self.matched.of(home),
        )


class PreparedPage:
    """A page of which everything is known that hints do not change.

    Belongs to the process that made it."""

    def __init__(
        self, rgb: NDArray[np.uint8], known: Knowledge, palette: Palette, progress: Progress | None = None
    ) -> None:
        """`rgb` is the page, (h, w, 3)."""
        self._size = rgb.shape[1], rgb.shape[0]
        self._known, self._palette = known, palette
        self._strips: list[_Strip] = []
        at = cuts(rgb)
        for number, (top, _, work) in enumerate(strips(rgb, at)):
            if progress is not None:
                progress(number, len(at) - 1)
            self._strips.append(_Strip.found(top, work, known))

    def apply(self, said: marks.Hints | None, *, spread: bool = True) -> Flatted:
        """The page's flats with these hints and no others. Without `spread` they change only what they touch."""
        width, known, palette = self._size[0], self._known, self._palette
        parts = [_chosen(one, width, known, palette, said, spread=spread) for one in self._strips]
        return parts[0] if len(parts) == 1 else joined(parts)


def flat(
    rgb: NDArray[np.uint8], known: Knowledge, palette: Palette, said: marks.Hints | None, progress: Progress
) -> Flatted:
    """Find the regions of an (h, w, 3) page and choose their colours. Holds one strip of a tall page at a time."""
    at = cuts(rgb)
    parts: list[Flatted] = []
    for number, (top, _, work) in enumerate(strips(rgb, at)):
        progress(2 * number, 2 * len(at))
        parts.append(_chosen(_Strip.found(top, work, known), rgb.shape[1], known, palette, said))
        progress(2 * number + 1, 2 * len(at))
    return parts[0] if len(parts) == 1 else joined(parts)


def _chosen(
    strip: _Strip,
    width: int,
    known: Knowledge,
    palette: Palette,
    said: marks.Hints | None,
    *,
    spread: bool = True,
) -> Flatted:
    """A strip's flats with what was said of its page, which is `width` pixels wide."""
    colors: list[marks.Rgb] = []
    told = np.full(strip.what.count, -1, np.int32)
    seeds = np.zeros(strip.labels.shape, np.int32)
    if said is not None:
        wide = len(seeds[0])
        scale = wide / width
        whole, colors = said.seeds(wide, max(1, round(said.height * scale)))
        begin = min(round(strip.top * scale), max(0, len(whole) - 1))
        piece = whole[begin : begin + len(seeds)]
        seeds[: len(piece)] = piece
    ids, rgb, rows = _with_hints(known, palette, colors)
    if (seeds > 0).any():
        labels, number, home = marks.apply(strip.labels, seeds, strip.drawn.line)
        told = np.where(number > 0, rows[np.maximum(number - 1, 0)], -1).astype(np.int32)
        if len(home) > strip.what.count:
            strip = strip.parted(labels, home)
    found = assign.chosen(strip.matched, strip.seen, strip.panels, known, told, spread=spread)
    return Flatted(
        strip.labels,
        np.rint(strip.drawn.line * 255).astype(np.uint8),
        np.rint(strip.drawn.shade * 255).astype(np.uint8),
        ids,
        rgb,
        found.color,
        found.confidence.astype(np.float32),
        found.reason,
        strip.panels.panel,
        strip.what.box,
        strip.what.area,
    )


def _with_hints(
    known: Knowledge, palette: Palette, colors: list[marks.Rgb]
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]:
    """The palette with the hints' own colours added: ids, colours, and the row of each hint colour."""
    ids = palette.ids.tolist()
    rgb = [tuple(int(v) for v in color) for color in known.rgb]
    rows = []
    for color in colors:
        number = palette.given.get(color)
        if color in rgb:
            rows.append(rgb.index(color))
        elif number in ids:  # the references show this id in another shade
            rows.append(ids.index(number))
        else:
            rows.append(len(rgb))
            rgb.append(color)
            own = OWN_COLOR + (color[0] << 16 | color[1] << 8 | color[2])
            ids.append(own if number is None else number)
    return np.array(ids, np.int32), np.array(rgb, np.uint8).reshape(-1, 3), np.array(rows, np.int32)
