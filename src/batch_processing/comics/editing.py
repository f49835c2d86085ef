"""A page for the editor: its planes, its regions and their colours, in files that a browser takes as they are.

Promises: what a file holds is a function of the page, what was found of it, and its edits; a page whose state is gone from
the cache is found again. Files are compressed (gzip), and begin with a header in JSON that says what follows: text, padded
to a multiple of 8 bytes and preceded by its length in 8, then the planes, row by row, little-endian.
"""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError
from . import edits
from .tasks import Learn, Painting, backend_of, must_be

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..backends.base import Desk
    from ..core.workers import Progress

SIDE = 4096
"""Pixels of the longest side of a plane: what a browser draws at once."""
DESKS = 4
"""Pages that a worker keeps at hand: the one that is edited, those beside it, and the one before."""

_desks: OrderedDict[tuple[str, str], Desk] = OrderedDict()


@dataclass(frozen=True)
class _Header:
    """`width` and `height` of the planes, and those of the `page`; `planes` are names and types in their order; `regions` are
    rows [x0, y0, x1, y1, id, confidence, why, area] in pixels of the page; `shown` what the references show for ids."""

    width: int
    height: int
    page: tuple[int, int]
    planes: list[tuple[str, str]]
    mark: str = ""
    regions: Sequence[tuple[Any, ...]] = ()
    shown: Sequence[tuple[int, int, int, int]] = ()


@dataclass(frozen=True)
class EditorFile:
    """Write what an editor shows of a page to `target`: with `planes` what lies above its flats, which no edit changes, else
    its labels, regions and colours with the edits of the painting. `learn` brings back what was learned of the references,
    where the page has to be found again and that is gone, too."""

    painting: Painting
    planes: bool
    target: str
    learn: Learn | None = None

    def run(self, progress: Progress) -> None:
        from ..io.publish import SaveFile

        desk, size = _opened(self.painting, self.learn, progress)
        made = self._planes(desk, size) if self.planes else self._labels(desk, size)
        with SaveFile(Path(self.target)) as file:
            file.write(gzip.compress(made, 1, mtime=0))

    def _planes(self, desk: Desk, size: tuple[int, int]) -> bytes:
        import numpy as np

        found = desk.sheet((), self.painting.settings)
        gray = bool((found.own == found.own[..., :1]).all())
        own = found.own[..., 0] if gray else found.own
        named = {"over": found.over, "ink": found.ink.astype(np.uint8), "gray" if gray else "own": own}
        return _file(named, found.over.shape, size)

    def _labels(self, desk: Desk, size: tuple[int, int]) -> bytes:
        import numpy as np

        work = self.painting
        said = edits.read(Path(work.edits)) if work.edits else []
        labels = desk.labels(said)
        kind = np.uint16 if int(labels.max()) < 1 << 16 else np.uint32
        return _file(
            {"labels": labels.astype(kind)},
            labels.shape,
            size,
            mark=edits.digest(said) if said else "",
            regions=[(*one.box, one.id, one.confidence, one.why, one.area) for one in desk.regions(said)],
            shown=[(number, *rgb) for number, rgb in desk.shown(said).items()],
        )


def _file(
    planes: dict[str, NDArray[Any]], shape: tuple[int, ...], page: tuple[int, int], **known: Any
) -> bytes:
    listed = [(name, plane.dtype.name) for name, plane in planes.items()]
    header = json.dumps(
        vars(_Header(shape[1], shape[0], page, listed, **known)), separators=(",", ":")
    ).encode()
    header += b" " * (-len(header) % 8)
    body = b"".join(
        plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes() for plane in planes.values()
    )
    return len(header).to_bytes(8, "little") + header + body


_sizes: dict[tuple[str, str], tuple[int, int]] = {}


def _opened(work: Painting, learn: Learn | None, progress: Progress) -> tuple[Desk, tuple[int, int]]:
    """The page, ready to be edited, and its width and height; kept from one question to the next."""
    from ..backends import create
    from ..backends.base import Editing
    from ..io.images import decode
    from ..io.publish import SaveFile

    name = work.state, work.sha256
    if name in _desks:
        _desks.move_to_end(name)
        return _desks[name], _sizes[name]
    page = decode(Path(work.source))
    must_be(work.source, work.name, work.sha256)
    state = Path(work.state)
    desk: Desk | None = None
    painter = create(work.backend)
    if not isinstance(painter, Editing):
        raise ConfigurationError("Pages of the backend {name} cannot be edited.", name=work.backend)
    if state.exists():
        try:
            desk = painter.opened(page, state.read_bytes(), SIDE)
        except ValueError:  # damaged
            desk = None
    if desk is None:
        if learn is not None and not Path(learn.artefact).exists():
            learn.run(progress)
        hints = Path(work.hints) if work.hints else None
        found = (
            backend_of(work.backend, work.artefact, work.ids)
            .color(page, work.settings, hints, progress)
            .state
        )
        with SaveFile(state) as file:
            file.write(found)
        desk = painter.opened(page, found, SIDE)
    _desks[name], _sizes[name] = desk, (page.rgb.shape[1], page.rgb.shape[0])
    while len(_desks) > DESKS:
        gone, _ = _desks.popitem(last=False)
        del _sizes[gone]
    return desk, _sizes[name]
