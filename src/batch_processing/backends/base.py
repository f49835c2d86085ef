"""The contract between Lote and whatever colours a page.

A backend is a class that needs no arguments. It lives in a worker process: `load` and `prepare`
are called once per job and process, `color` once per page, all from one thread (but see `Overlapping`). It never sees the
ledger, never chooses a file name and never writes outside the folder it is given.

A backend MUST
* give the same pixels for the same page, references, settings and version (`version` is part of
  every page's fingerprint: change it whenever pixels change);
* return an image of exactly the page's size;
* call `progress(done, total)` at least every few seconds: it raises `Cancelled` when the page is
  no longer wanted, and the backend lets it pass;
* raise `ImageProcessingError` for a page it cannot colour, `ResourceError` when memory runs out.

A backend MUST NOT read the clock, the network or environment variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from ..json_types import JsonObject
from ..messages import Message

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..exceptions import ImageProcessingError
    from ..io.images import Page

Progress = Callable[[int, int], None]
Style = Literal["line", "line + shadow"]
Survey = JsonObject
"""What `Batching.arrange` must know of a page: plain data of the backend's own."""


@dataclass(frozen=True)
class PageSettings:
    """What a person can set for one page. Plain values: travels between processes and into hashes."""

    style: Style = "line + shadow"
    seed: int = 0
    num_inference_steps: int = 10
    top_k: int = 3
    keep_ink: bool = False
    """Lay the page's own ink over the result, where the backend draws lines anew."""
    layers: bool = False
    """Whether an editable document is wanted: `Colored.layers` stays empty without."""
    layers_by: Sequence[str] = ()
    """How flats are parted in it: "panel", a group for each; "color", a layer for each colour; both, or neither."""
    right_to_left: bool = False
    """Whether panels are numbered from the upper right."""


@dataclass(frozen=True)
class Reference:
    """One coloured reference: where its bytes lie, and their SHA-256 in hex."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class PaletteColor:
    """A colour of a palette that a person gave: its id, what it is drawn in, and what references showed for it."""

    id: int
    rgb: tuple[int, int, int]
    reference: tuple[int, int, int] | None = None


EditKind = Literal["region", "stroke", "erase", "merge"]


@dataclass(frozen=True)
class Edit:
    """One thing that a person changed on a finished page; plain values, in pixels of the page.

    "region": the regions at `points` are of the colour; "stroke": a line of it through `points`, `size` pixels wide,
    which parts a region from what other colours were drawn in it; "erase": the same line takes strokes away; "merge":
    what is of the id `before` is of the colour. The colour is the palette id `id`, shown as `rgb` by the references: where
    these have changed since, the id nearest to that is meant."""

    kind: EditKind
    points: tuple[tuple[float, float], ...] = ()
    id: int = 0
    rgb: tuple[int, int, int] = (255, 255, 255)
    size: float = 0.0
    before: int = 0


@dataclass
class Layer:
    """One layer of a layered document: RGBA, or L for a line layer, or a function that makes these; 8 bit, or 16 as
    the page has them.

    Layers that follow each other with the same `group` lie in a group of that name. `left` and `top` are where its
    corner lies on the page, in pixels. `color` is the palette id that the layer holds, where it holds one alone: the
    name that a person gave that id is then the layer's. `own`: it holds the page's own drawing, and no colours."""

    name: str
    pixels: NDArray[Any] | Callable[[], NDArray[Any]]
    blend: Literal["normal", "multiply"] = "normal"
    group: str = ""
    left: int = 0
    top: int = 0
    color: int | None = None
    own: bool = False


@dataclass
class Colored:
    """A coloured page.

    `rgb` is (height, width, 3), 8 bit, sRGB unless the page kept an ICC profile of its own.
    `confidence` in [0, 1] is the share of the page's area that the backend believes is right.
    `details` is plain JSON data for the metadata and the report. Three of its keys have a meaning:
    "palette", a list of {"id", "rgb": [r, g, b], optionally "reference": what the references show for it}, one
    id the same colour on every page of the job; "review", a list of {"box": [x0, y0, x1, y1] in pixels of the page, the ends exclusive,
    "confidence", optionally "id": of the palette, "why", "doubt": the share of the page that is expected to be
    wrong there, and "at": [x, y], a pixel of it}, the regions that a person should look at, the most important first; and
    "seen", a list of {"id", "box"}: where each colour of the palette is shown best.
    `layers` from the bottom up, where the backend can give an editable document and the settings ask for it.
    `state` is what the backend needs to draw the page again in other colours; empty where it cannot.
    `native` is the same picture in uint16, of a page that has 16 bits, from a backend that works in them.
    """

    rgb: NDArray[np.uint8]
    confidence: float = 1.0
    details: JsonObject = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    state: bytes = b""
    native: NDArray[np.uint16] | None = None


class Backend(Protocol):
    """See the module's text for what an implementer must do."""

    name: str
    version: str
    needs_references: bool
    exclusive: bool
    """Whether one worker at a time may run it, because it holds a device."""

    def unavailable(self) -> Message | str | None:
        """Why this backend cannot run here, in one sentence that says what to do; None if it can.

        Cheap: looks for packages, files and devices, and loads nothing."""
        ...

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        """Learn the job's references and write what was learned to the new file `artefact`.

        Called once per set of references, in one worker; every worker of the job then loads the file.
        The bytes written are a function of the references and the version alone.
        An unreadable reference raises ImageProcessingError naming it."""
        ...

    def load(self, artefact: Path | None) -> None:
        """Make ready to colour pages with what `prepare` wrote (None: without references)."""
        ...

    def color(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Colored:
        """Colour one page. `hints` is a `.hints.json` or `.hints.png` file belonging to it."""
        ...


@dataclass(frozen=True)
class PageJob:
    """One page for `Batching.color_many`: as the arguments of `color`, and which `place` (number, count)
    it has in the batch that `arrange` made of it."""

    page: Page
    settings: PageSettings
    hints: Path | None = None
    place: tuple[int, int] = (0, 1)


@runtime_checkable
class Dividing(Protocol):
    """A backend that can learn references on as many processors as there are, in `rounds`.

    In each, `study` is called of every reference, in any order and process, and then `agree` once. Together they MUST
    write the bytes that `prepare` writes. Files that they write are read on the same machine, by the same version."""

    rounds: int

    def study(
        self, number: int, reference: Reference, before: Sequence[Path], common: Path | None, own: Path
    ) -> None:
        """Write the new file `own` of one reference, in round `number` from 0: from its files of the rounds before and the
        last that `agree` wrote. The reference is read in round 0 alone, where there is neither."""
        ...

    def agree(
        self,
        number: int,
        references: Sequence[Reference],
        own: Sequence[Path],
        common: Path | None,
        made: Path,
    ) -> None:
        """Write the new file `made`, after the last round the artefact: from the files of all `references` of this round, in
        their order, and what was agreed on last."""
        ...


@runtime_checkable
class Batching(Protocol):
    """A backend that does better with several pages at once, in an order of its own.

    The engine has every page of a job surveyed, then all of them arranged, and hands over the batches one
    after the other. A page that is done again comes alone, with the `place` that it had: its pixels MUST
    be the same then."""

    def survey(self, page: Page, settings: PageSettings, progress: Progress) -> Survey:
        """What `arrange` must know of a page."""
        ...

    def arrange(self, surveys: Sequence[Survey]) -> list[list[int]]:
        """Numbers of the surveyed pages in the order to colour them, in batches; each once.

        A function of its argument alone."""
        ...

    def color_many(self, jobs: Sequence[PageJob], progress: Progress) -> list[Colored | ImageProcessingError]:
        """Colour the pages of one batch, or what is left of it; in the place of one that cannot be, its error."""
        ...


class Underway(Protocol):
    """Pages of one batch on their way, and what is known of them so far."""

    def paint(self, progress: Progress) -> None:
        """All that needs the device; always in the thread in which `load` was called."""
        ...

    def finish(self, progress: Progress) -> list[Colored | ImageProcessingError]:
        """The rest, which must not touch the device; what `color_many` gives."""
        ...


@runtime_checkable
class Overlapping(Batching, Protocol):
    """A backend whose device works on one batch while the host begins the next and finishes others.

    `color_many` MUST give what the three parts give one after the other. `begin` and `finish` are called in other threads
    than `load`, two batches perhaps being finished at once; none of them between `load` and `adopt`."""

    def begin(self, jobs: Sequence[PageJob], progress: Progress) -> Underway:
        """What the host can do before the device is needed; nothing that touches the device."""
        ...


@runtime_checkable
class Recoloring(Protocol):
    """A backend with a palette: it can draw a page again in other colours without matching anything again."""

    def adopt(
        self,
        given: Sequence[PaletteColor],
        *,
        single: bool = False,
        first: Path | None = None,
        memory: Path | None = None,
    ) -> None:
        """Number the colours of what was loaded as `given` does, where they are near one of these.

        Called after each `load`. `single` where that belongs to single pages, and not to the whole job; `first`
        is then the artefact of the job's references, if it has any: the same colour has one id in both.
        `memory` is what the job learned from its own pages, a file of `gather`."""
        ...

    def remember(self, page: Page, state: bytes, *, approved: bool) -> bytes:
        """What can be learned from a finished page by its `Colored.state`: what is sure, or said by a person;
        all of it where a person has approved the page. ValueError if the state is damaged."""
        ...

    def gather(self, remembered: Sequence[Path], artefact: Path) -> int:
        """Write what the pages taught, files of `remember`, to the new file `artefact`; the number of regions.

        The bytes written are a function of the files' contents in this order."""
        ...

    def recolor(
        self, page: Page, state: bytes, palette: Mapping[int, tuple[int, int, int]], settings: PageSettings
    ) -> Colored:
        """The page with the colours of `palette` (id to RGB) in place of its own, from `Colored.state`.

        ValueError if that is damaged."""
        ...


@dataclass(frozen=True)
class Region:
    """A region of a page as an editor shows it. `box` in pixels of the page, the ends exclusive; `id` of the palette."""

    box: tuple[int, int, int, int]
    id: int
    confidence: float
    why: str
    area: int


@dataclass(frozen=True)
class Sheet:
    """A page in planes, (h, w): a pixel is the colour of its region times `over` / 255, or the page's own where `ink` is
    set and `own`, (h, w, 3), is in no channel lighter than that colour. `labels` from 1, the row of a region + 1.

    Planes are of the page's size, or smaller where that has more than `side` pixels. Colours are sRGB."""

    labels: NDArray[np.int32]
    over: NDArray[np.uint8]
    ink: NDArray[np.bool_]
    own: NDArray[np.uint8]


class Desk(Protocol):
    """One page made ready to be edited: kept while somebody works on it, so that each answer comes at once."""

    def regions(self, edits: Sequence[Edit]) -> list[Region]:
        """The regions of the page with these edits."""
        ...

    def shown(self, edits: Sequence[Edit]) -> dict[int, tuple[int, int, int]]:
        """What the references show for each id that the page has with these edits, or might have."""
        ...

    def labels(self, edits: Sequence[Edit]) -> NDArray[np.int32]:
        """`Sheet.labels` with these edits."""
        ...

    def sheet(self, edits: Sequence[Edit], settings: PageSettings) -> Sheet:
        """The page in planes with these edits."""
        ...


@runtime_checkable
class Editing(Recoloring, Protocol):
    """A backend whose pages a person can change region by region, without anything being matched again."""

    def edit(self, page: Page, state: bytes, edits: Sequence[Edit]) -> bytes:
        """`Colored.state` of the page with these edits, in their order. The same edits give the same bytes; on a page that
        was found anew, with other regions, they are for those where their points lie. ValueError if the state is
        damaged."""
        ...

    def opened(self, page: Page, state: bytes, side: int) -> Desk:
        """The page of this `Colored.state`, in planes of at most `side` pixels a side. ValueError if it is damaged."""
        ...


class NoopBackend:
    """Gives each page back as it is: for trying the queue on a big book, and for tests of the engine."""

    name = "noop"
    version = "1"
    needs_references = False
    exclusive = False

    def unavailable(self) -> Message | str | None:
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        artefact.write_bytes(b"")

    def load(self, artefact: Path | None) -> None:
        pass

    def color(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Colored:
        progress(1, 1)
        return Colored(page.rgb)
