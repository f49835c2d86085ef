"""What a job learns from its own pages: how the regions look whose colour is sure, or was said by a person.

Promises that what is gathered is a function of the pages alone, in whatever order they were done. It is made once,
after a first pass, and then stands beside the references: their own colours and ids stay as they are, colours that
only hints brought are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import attention, describe, graph, ink, structure
from .arrays import packed
from .assign import WHY
from .color_ids import Palette
from .flatted import Flatted, cuts, strips
from .references import Knowledge

SURE = 0.97
"""Regions at least this sure are learned: .99 of them are right on drawn series that nothing was trained on."""
PAGE_REGIONS, PAGE_POINTS = 200, 1500
"""Remembered of one page, evenly from all."""
MOST_REGIONS, MOST_POINTS = 4000, 12_000
"""Remembered of a job: as much as some eight references have, so that a page takes no longer than twice its time."""


@dataclass
class Memory:
    """R regions and P points in raw descriptors, with the palette id of each and the colour of that id."""

    region_rows: NDArray[np.float16]
    region_place: NDArray[np.float16]
    """In the learned metric, see graph.embed; and their shares of the page's area."""
    region_share: NDArray[np.float32]
    region_id: NDArray[np.int32]
    region_rgb: NDArray[np.uint8]
    region_keys: NDArray[np.float16]
    """What other pages attend to, see attention.heard."""
    region_context: NDArray[np.float16]
    """The colours that each region has heard of for that, (R, attention.CONTEXTS, C),"""
    region_around: NDArray[np.float16]
    """the colours around each, (R, graph.AROUND, C), and the palette ids of the C colours."""
    around_id: NDArray[np.int32]
    point_rows: NDArray[np.float16]
    point_id: NDArray[np.int32]
    point_rgb: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        return packed(vars(self))


def of_page(rgb: NDArray[np.uint8], flatted: Flatted, *, everything: bool) -> Memory:
    """What to remember of a page, (h, w, 3). With `everything` a person has approved all of it."""
    told = flatted.reason == WHY.index("hint")
    sure = (flatted.confidence >= SURE) & (flatted.reason == WHY.index("reference"))
    wanted = told | sure | (everything & (flatted.reason != WHY.index("paper")))
    found: list[Memory] = []
    row = 0
    for _, _, work in strips(rgb, cuts(rgb)):
        here, labels = np.unique(flatted.labels[row : row + len(work)], return_inverse=True)
        row += len(work)
        found.append(_of_strip(work, labels.astype(np.int32) + 1, here - 1, wanted, flatted))
    return _thinned(_together(found), PAGE_REGIONS, PAGE_POINTS)


def _of_strip(
    work: NDArray[np.uint8],
    labels: NDArray[np.int32],
    whole: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    flatted: Flatted,
) -> Memory:
    """`whole` is the row of each of the strip's regions on its page."""
    drawn = ink.find(work)
    what = describe.shapes(labels)
    panels = structure.find(labels, drawn, what)
    seen = graph.look(drawn, labels, what, panels.frame, panels.white)
    chosen = np.flatnonzero(wanted[whole])
    chosen = chosen[np.argsort(-what.area[chosen], kind="stable")]
    color = flatted.color[whole]
    used, row = np.unique(color, return_inverse=True)
    placed, own = graph.embed(seen), np.eye(len(used), dtype=np.float32)[row]
    around = graph.surroundings(graph.walks(seen), own, graph.sent(placed.place))
    heard = attention.heard(seen, placed.levels, own)
    home = seen.home
    inside = wanted[whole[home]]
    of_point = color[home[inside]]
    return Memory(
        seen.regions[chosen].astype(np.float16),
        placed.place[chosen].astype(np.float16),
        (what.area[chosen] / labels.size).astype(np.float32),
        flatted.ids[color[chosen]],
        flatted.rgb[color[chosen]],
        heard.keys[chosen].astype(np.float16),
        heard.context[chosen].astype(np.float16),
        around[chosen].astype(np.float16),
        flatted.ids[used],
        seen.points[inside].astype(np.float16),
        flatted.ids[of_point],
        flatted.rgb[of_point],
    )


def gathered(parts: Iterable[Memory]) -> Memory:
    """The memory of a job from those of its pages, in an order that does not follow the book's."""
    return _thinned(_together(list(parts)), MOST_REGIONS, MOST_POINTS)


def recalled(known: Knowledge, palette: Palette, memory: Memory) -> tuple[Knowledge, Palette]:
    """The references' knowledge with what was learned from pages; colours without a row get one at the end."""
    ids = palette.ids.tolist()
    rgb = known.rgb.tolist()
    for number, color in zip(
        [*memory.region_id.tolist(), *memory.point_id.tolist()],
        [*memory.region_rgb.tolist(), *memory.point_rgb.tolist()],
        strict=True,
    ):
        if number not in ids:
            ids.append(number)
            rgb.append(color)
    row_of = {number: row for row, number in enumerate(ids)}
    k, more = len(ids), len(ids) - len(known.rgb)
    region_color = np.array([row_of[i] for i in memory.region_id.tolist()], np.int32)
    point_color = np.array([row_of[i] for i in memory.point_id.tolist()], np.int32)
    # The references' shares stand for themselves; a new colour has its share of what was learned.
    met = np.isin(memory.around_id, ids)
    columns = [row_of[i] for i in memory.around_id[met].tolist()]

    def beside(before: NDArray[Any], learned: NDArray[Any]) -> NDArray[Any]:
        mine = np.zeros((*learned.shape[:2], k), np.float16)
        mine[..., columns] = learned[..., met]
        return np.concatenate([np.pad(before, ((0, 0), (0, 0), (0, more))), mine])

    learned = np.bincount(point_color, minlength=k) / max(1, len(point_color))
    touch = np.ones((k, k), np.float32)
    touch[: k - more, : k - more] = known.touch
    extended = replace(
        known,
        rgb=np.array(rgb, np.uint8),
        share=np.concatenate([known.share, learned[k - more :].astype(np.float32)]),
        touch=touch,
        region_rows=_below(known.region_rows, memory.region_rows, known.region_turn),
        region_color=np.concatenate([known.region_color, region_color]),
        region_place=np.concatenate([known.region_place, memory.region_place]),
        region_share=np.concatenate([known.region_share, memory.region_share]),
        region_told=np.concatenate([known.region_told, _as_told(known, len(region_color))]),
        region_around=beside(known.region_around, memory.region_around),
        region_keys=np.concatenate([known.region_keys, memory.region_keys]),
        region_context=beside(known.region_context, memory.region_context),
        burst=np.pad(known.burst, (0, more)),
        point_rows=_below(known.point_rows, memory.point_rows, known.point_turn),
        point_color=np.concatenate([known.point_color, point_color]),
    )
    return extended, replace(palette, ids=np.array(ids, np.int32))


def _as_told(known: Knowledge, count: int) -> NDArray[np.floating[Any]]:
    """Things on pages are told as well as those of the references, on the whole."""
    mean = known.region_told.astype(np.float64).mean() if len(known.region_told) else 0.0
    return np.full(count, mean, known.region_told.dtype)


def _below(known: NDArray[Any], rows: NDArray[np.float16], turn: NDArray[np.float32]) -> NDArray[Any]:
    return np.concatenate([known, (rows.astype(np.float32) @ turn).astype(known.dtype)])


def _together(parts: list[Memory]) -> Memory:
    empty = Memory(
        np.zeros((0, describe.REGION_WIDTH), np.float16),
        np.zeros((0, graph.PLACE_WIDTH), np.float16),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
        np.zeros((0, 3), np.uint8),
        np.zeros((0, attention.KEY_WIDTH), np.float16),
        np.zeros((0, attention.CONTEXTS, 0), np.float16),
        np.zeros((0, graph.AROUND, 0), np.float16),
        np.zeros(0, np.int32),
        np.zeros((0, describe.POINT_WIDTH), np.float16),
        np.zeros(0, np.int32),
        np.zeros((0, 3), np.uint8),
    )
    ids = np.unique(np.concatenate([part.around_id for part in [empty, *parts]]))
    same = [
        replace(
            part,
            region_context=_by_id(part.region_context, part.around_id, ids),
            region_around=_by_id(part.region_around, part.around_id, ids),
            around_id=ids[:0],
        )
        for part in [empty, *parts]
    ]
    together = Memory(
        *(np.concatenate([getattr(part, field.name) for part in same]) for field in fields(Memory))
    )
    return replace(together, around_id=ids)


def _by_id(heard: NDArray[np.float16], own: NDArray[np.int32], ids: NDArray[np.int32]) -> NDArray[np.float16]:
    """Colours that regions have heard of, a column for each of the ids `own`, with one for each of `ids`, ascending."""
    every = np.zeros((*heard.shape[:2], len(ids)), np.float16)
    every[..., np.searchsorted(ids, own)] = heard
    return every


def _thinned(memory: Memory, most_regions: int, most_points: int) -> Memory:
    """At most so many of each, evenly from all of them."""
    regions, points = _even(len(memory.region_id), most_regions), _even(len(memory.point_id), most_points)
    return Memory(
        memory.region_rows[regions],
        memory.region_place[regions],
        memory.region_share[regions],
        memory.region_id[regions],
        memory.region_rgb[regions],
        memory.region_keys[regions],
        memory.region_context[regions],
        memory.region_around[regions],
        memory.around_id,
        memory.point_rows[points],
        memory.point_id[points],
        memory.point_rgb[points],
    )


def _even(count: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
