"""The ids of a job's colours: those of a palette that a person gave first, then the references' own.

Promises that the same references and the same given palette always get the same ids; that a colour of the
references within MERGE of a given colour is one with it; and that no new colour takes an id that is given.
The pictures keep the references' own colours here: what an id is drawn in is decided when the page is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..base import PaletteColor
from .color import distances, to_lab
from .references import Knowledge
from .tints import MERGE

OWN_COLOR = 1 << 24
"""Ids from here on are this number plus the RGB value, and so the same on every page: colours that only hints
use, and those of references that belong to single pages."""


@dataclass(frozen=True)
class Palette:
    """Which id each row of `Knowledge.rgb` has, and the ids that only the given palette knows."""

    ids: NDArray[np.int32]
    given: dict[tuple[int, int, int], int]
    """Ids of given colours by their RGB, for hints that name a colour which no reference shows."""


def joined(
    known: Knowledge, given: Sequence[PaletteColor], *, own: bool = False
) -> tuple[Knowledge, Palette]:
    """Number the colours of `known`, those near a given one as it is numbered; such as meet there become one row.

    Row 0 is paper and keeps id 0. New colours are numbered after the given ones; with `own`, by their RGB.
    """
    if not given and not own:
        return known, Palette(np.arange(len(known.rgb), dtype=np.int32), {})
    ids = _ids(known.rgb, given, own=own)
    kept, first, row_of = np.unique(ids, return_index=True, return_inverse=True)
    if len(kept) < len(ids):
        order = np.argsort(first)
        ids = kept[order]
        row_of = np.argsort(order)[row_of]
        known = _merged(known, row_of, len(ids))
    by_rgb: dict[tuple[int, int, int], int] = {}
    for color in given:
        for rgb in (color.rgb, color.reference):
            if rgb is not None:
                by_rgb.setdefault(rgb, color.id)
    return known, Palette(ids.astype(np.int32), by_rgb)


def _ids(rgb: NDArray[np.uint8], given: Sequence[PaletteColor], *, own: bool) -> NDArray[np.int64]:
    # Both what an id is drawn in and what the references showed for it: the next chapter may bring either.
    anchors = [(c.id, c.reference) for c in given if c.id and c.reference is not None]
    anchors += [(c.id, c.rgb) for c in given if c.id and c.rgb != c.reference]
    following = max((c.id for c in given if c.id < OWN_COLOR), default=0) + 1
    lab = to_lab(rgb)
    away = distances(lab, to_lab(np.array([at for _, at in anchors]).reshape(-1, 3)))
    ids = [0]
    for row in range(1, len(rgb)):
        nearest = int(away[row].argmin()) if anchors else -1
        if anchors and away[row, nearest] < MERGE:
            ids.append(anchors[nearest][0])
        elif own:
            red, green, blue = rgb[row].tolist()
            ids.append(OWN_COLOR + (red << 16 | green << 8 | blue))
        else:
            ids.append(following)
            following += 1
    return np.array(ids, np.int64)


def _merged(known: Knowledge, row_of: NDArray[np.intp], count: int) -> Knowledge:
    """Rows that have become one: shares add up, the largest gives the colour, touching is their mean by share."""
    share = np.bincount(row_of, known.share, minlength=count)
    weight = np.zeros((len(row_of), count))
    weight[np.arange(len(row_of)), row_of] = (known.share + 1e-6) / (share + 1e-6)[row_of]
    weight /= weight.sum(axis=0)
    rgb = np.zeros((count, 3), np.uint8)
    rising = np.argsort(known.share, kind="stable")
    rgb[row_of[rising]] = known.rgb[rising]
    rgb[0] = known.rgb[0]
    around, context = (
        (each.astype(np.float32) @ (weight > 0)).astype(each.dtype)
        for each in (known.region_around, known.region_context)
    )
    return replace(
        known,
        rgb=rgb,
        share=share.astype(np.float32),
        touch=(weight.T @ known.touch @ weight).astype(np.float32),
        region_color=row_of[known.region_color].astype(np.int32),
        region_around=around,
        region_context=context,
        point_color=row_of[known.point_color].astype(np.int32),
    )
