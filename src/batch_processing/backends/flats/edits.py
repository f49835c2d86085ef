"""What a person changed on a finished page, laid over what was found: regions given a colour, regions parted.

Promises that nothing is matched again, so that a page answers at once; that edits are worked off in their order, the
later one wins, and the same edits on the same regions give the same page; that no region changes which nobody touched.
On a page that was found anew, with other regions, an edit means the regions where its points lie. Refuses nothing:
a point outside of the page means nothing.

A stroke alone gives its region its colour; strokes of two colours in one region part it, as hints do (`hints`). A region
that was given a colour counts as marked with it at a few points, deep inside, when a stroke is drawn there later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import Edit
from .assign import WHY
from .color import distances, to_lab
from .color_ids import OWN_COLOR
from .flatted import Flatted
from .hints import parted

SAME = 5.0
"""CIE 1976 difference up to which a colour is the palette's."""
TIP = 0.1
"""A stroke means a region in which at least this share of what it covers in any one lies: its tip may slip over a line."""
_HINT = WHY.index("hint")


def edited(found: Flatted, edits: Sequence[Edit], width: int, height: int) -> Flatted:
    """The page of `width` x `height` pixels with these edits."""
    if not edits:
        return found
    over = _Overlay(found, width, height)
    for edit in edits:
        match edit.kind:
            case "region":
                over.give(edit)
            case "stroke":
                over.draw(edit)
            case "erase":
                over.erase(edit)
            case "merge":
                over.merge(edit)
    return over.page()


class _Overlay:
    """A page while edits are laid over it. Regions of the page as it was found are `home`; parts of one share it."""

    def __init__(self, found: Flatted, width: int, height: int) -> None:
        self._found = found
        self._labels = found.labels.copy()
        h, w = found.labels.shape
        self._scale = (w / width, h / height)
        self._width = w / width
        self._ids: list[int] = found.ids.tolist()
        self._rgb: list[list[int]] = found.rgb.tolist()
        self._color: list[int] = found.color.tolist()
        self._told = [False] * len(self._color)
        self._home = list(range(1, len(self._color) + 1))
        self._seeds = np.zeros((h, w), np.int32)
        """Row of the colour + 1 where a person has marked a region."""

    def page(self) -> Flatted:
        """What has come of it."""
        found, home = self._found, np.array(self._home) - 1
        told = np.array(self._told)
        color = np.array(self._color, np.int32)
        changed = range(len(found.color), len(home))
        box, area = found.box[home].copy(), found.area[home].copy()
        for number in {self._home[row] for row in changed}:
            self._measure(number, box, area)
        return replace(
            found,
            labels=self._labels,
            ids=np.array(self._ids, found.ids.dtype),
            rgb=np.array(self._rgb, np.uint8).reshape(-1, 3),
            color=color,
            confidence=np.where(told, 1, found.confidence[home]).astype(np.float32),
            reason=np.where(told, _HINT, found.reason[home]).astype(np.uint8),
            panel=found.panel[home],
            box=box,
            area=area,
        )

    def _measure(self, home: int, box: NDArray[np.int32], area: NDArray[np.float64]) -> None:
        """Boxes and areas of the parts of a region."""
        x0, y0, x1, y1 = self._found.box[home - 1].tolist()
        window = self._labels[y0:y1, x0:x1]
        for row in (row for row, of in enumerate(self._home) if of == home):
            ys, xs = np.nonzero(window == row + 1)
            area[row] = len(ys)
            if len(ys):
                box[row] = (x0 + xs.min(), y0 + ys.min(), x0 + xs.max() + 1, y0 + ys.max() + 1)
            else:
                box[row] = (x0, y0, x0, y0)

    def give(self, edit: Edit) -> None:
        """Give regions a colour."""
        row = self._row(edit)
        at = [point for point in map(self._at, edit.points) if point is not None]
        for label in sorted({int(self._labels[point]) for point in at}):
            self._color[label - 1], self._told[label - 1] = row, True
            window = self._window(label)
            mine = self._labels[window] == label
            seeds = self._seeds[window]
            seeds[mine & (seeds > 0)] = row + 1
            for point in at:
                if self._labels[point] == label:
                    self._seeds[point] = row + 1

    def draw(self, edit: Edit) -> None:
        row = self._row(edit)
        drawn = self._line(edit)
        if drawn is None:
            return
        touched, times = np.unique(self._homes(self._labels[drawn]), return_counts=True)
        for home in touched[times >= max(1.0, TIP * times.max())].tolist():
            window = self._window_of_home(home)
            inside = drawn[window] & self._inside(window, home)
            self._seeds[window][inside] = row + 1
            self._part(home)

    def erase(self, edit: Edit) -> None:
        drawn = self._line(edit)
        if drawn is None:
            return
        drawn &= self._seeds > 0
        for home in np.unique(self._homes(self._labels[drawn])).tolist():
            window = self._window_of_home(home)
            self._seeds[window][drawn[window] & self._inside(window, home)] = 0
            self._part(home)

    def merge(self, edit: Edit) -> None:
        row = self._row(edit)
        gone = {number for number, known in enumerate(self._ids) if known == edit.before}
        self._color = [row if color in gone else color for color in self._color]

    def _part(self, home: int) -> None:
        """Part a region between the colours that are marked in it: by none it is as it was found, by one it is of that."""
        window = self._window_of_home(home)
        inside = self._inside(window, home)
        seeds = np.where(inside, self._seeds[window], 0)
        marks = np.unique(seeds[seeds > 0]).tolist()
        parts = [number for number, of in enumerate(self._home, 1) if of == home]
        labels = self._labels[window]
        if len(marks) < 2:
            labels[inside] = home
            self._color[home - 1] = marks[0] - 1 if marks else int(self._found.color[home - 1])
            self._told[home - 1] = bool(marks)
            return
        of_color = {self._color[part - 1] + 1: part for part in reversed(parts)}
        free = [part for part in parts if part not in {of_color.get(mark) for mark in marks}]
        found = parted(inside, seeds, self._found.line[window].astype(np.float32) / np.float32(255))
        for mark in marks:
            part = of_color.get(mark) or (free.pop(0) if free else self._new(home))
            self._color[part - 1], self._told[part - 1] = mark - 1, True
            labels[inside & (found == mark)] = part

    def _new(self, home: int) -> int:
        self._home.append(home)
        self._color.append(0)
        self._told.append(True)
        return len(self._home)

    def _row(self, edit: Edit) -> int:
        """The row of an edit's colour: its id where the references show that as they did, else what is nearest, else its
        own."""
        lab = to_lab(np.array([edit.rgb, *self._rgb]))
        away = distances(lab[:1], lab[1:])[0]
        if edit.id in self._ids:
            row = self._ids.index(edit.id)
            if away[row] <= SAME or edit.id == 0:
                return row
        nearest = int(away.argmin())
        if away[nearest] <= SAME and edit.id < OWN_COLOR:
            return nearest
        red, green, blue = edit.rgb
        own = OWN_COLOR + (red << 16 | green << 8 | blue)
        if own not in self._ids:
            self._ids.append(own)
            self._rgb.append([red, green, blue])
        return self._ids.index(own)

    def _at(self, point: tuple[float, float]) -> tuple[int, int] | None:
        h, w = self._labels.shape
        x, y = int((point[0] + 0.5) * self._scale[0]), int((point[1] + 0.5) * self._scale[1])
        return (y, x) if 0 <= x < w and 0 <= y < h else None

    def _line(self, edit: Edit) -> NDArray[np.bool_] | None:
        """Where a stroke lies."""
        if not edit.points:
            return None
        drawn = np.zeros(self._labels.shape, np.uint8)
        at = [((x + 0.5) * self._scale[0] - 0.5, (y + 0.5) * self._scale[1] - 0.5) for x, y in edit.points]
        thick = max(1, round(edit.size * self._width))
        path = np.rint(np.array([*at, at[-1]]).clip(-1e6, 1e6)).astype(np.int32)
        cv2.polylines(drawn, [path], isClosed=False, color=1, thickness=thick)
        return drawn.astype(bool) if drawn.any() else None

    def _homes(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.array([0, *self._home], np.int32)[labels]

    def _window(self, label: int) -> tuple[slice, slice]:
        return self._window_of_home(self._home[label - 1])

    def _window_of_home(self, home: int) -> tuple[slice, slice]:
        x0, y0, x1, y1 = self._found.box[home - 1].tolist()
        return slice(y0, y1), slice(x0, x1)

    def _inside(self, window: tuple[slice, slice], home: int) -> NDArray[np.bool_]:
        return np.asarray(self._found.labels[window] == home, np.bool_)
