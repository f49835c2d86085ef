"""The contract between Lote and whatever colours a page.

A backend is a class that needs no arguments. It lives in a worker process: `load` and `prepare`
are called once per job and process, `colour` once per page, all from one thread. It never sees the
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..exceptions import ImageProcessingError
    from ..io.images import Page

Progress = Callable[[int, int], None]
Style = Literal["line", "line + shadow"]


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
    """Whether an editable document is wanted: `Coloured.layers` stays empty without."""
    layers_by: Sequence[str] = ()
    """How flats are parted in it: "panel", a group for each; "color", a layer for each colour; both, or neither."""


@dataclass(frozen=True)
class Reference:
    """One coloured reference: where its bytes lie, and their SHA-256 in hex."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class PaletteColour:
    """A colour of a palette that a person gave: its id, what it is drawn in, and what references showed for it."""

    id: int
    rgb: tuple[int, int, int]
    reference: tuple[int, int, int] | None = None


@dataclass
class Layer:
    """One layer of a layered document: RGBA, or L for a line layer, 8 bit, or a function that makes these.

    Layers that follow each other with the same `group` lie in a group of that name. `left` and `top` are where its
    corner lies on the page, in pixels. `colour` is the palette id that the layer holds, where it holds one alone: the
    name that a person gave that id is then the layer's. `own` is the page as it was: in 16 bit where it has them."""

    name: str
    pixels: NDArray[Any] | Callable[[], NDArray[Any]]
    blend: Literal["normal", "multiply"] = "normal"
    group: str = ""
    left: int = 0
    top: int = 0
    colour: int | None = None
    own: bool = False


@dataclass
class Coloured:
    """A coloured page.

    `rgb` is (height, width, 3), 8 bit, sRGB unless the page kept an ICC profile of its own.
    `confidence` in [0, 1] is the share of the page's area that the backend believes is right.
    `details` is plain JSON data for the metadata and the report. Two of its keys have a meaning:
    "palette", a list of {"id", "rgb": [r, g, b], optionally "reference": what the references show for it}, one
    id the same colour on every page of the job; and "review", a list of {"box": [x0, y0, x1, y1] in pixels of the page, the ends exclusive,
    "id": of the palette, "confidence", optionally "why" and "doubt": the share of the page that is expected to be
    wrong there}, the regions that a person should look at, the most important first.
    `layers` from the bottom up, where the backend can give an editable document and the settings ask for it.
    `state` is what the backend needs to draw the page again in other colours; empty where it cannot.
    """

    rgb: NDArray[np.uint8]
    confidence: float = 1.0
    details: dict[str, Any] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    state: bytes = b""


class Backend(Protocol):
    """See the module's text for what an implementer must do."""

    name: str
    version: str
    needs_references: bool
    exclusive: bool
    """Whether one worker at a time may run it, because it holds a device."""

    def unavailable(self) -> str | None:
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

    def colour(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Coloured:
        """Colour one page. `hints` is a `.hints.json` or `.hints.png` file belonging to it."""
        ...


@dataclass(frozen=True)
class PageJob:
    """One page for `Batching.colour_many`: as the arguments of `colour`, and which `place` (number, count)
    it has in the batch that `arrange` made of it."""

    page: Page
    settings: PageSettings
    hints: Path | None = None
    place: tuple[int, int] = (0, 1)


@runtime_checkable
class Batching(Protocol):
    """A backend that does better with several pages at once, in an order of its own.

    The engine has every page of a job surveyed, then all of them arranged, and hands over the batches one
    after the other. A page that is done again comes alone, with the `place` that it had: its pixels MUST
    be the same then."""

    def survey(self, page: Page, settings: PageSettings, progress: Progress) -> dict[str, Any]:
        """What `arrange` must know of a page, as plain data."""
        ...

    def arrange(self, surveys: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Numbers of the surveyed pages in the order to colour them, in batches; each once.

        A function of its argument alone."""
        ...

    def colour_many(
        self, jobs: Sequence[PageJob], progress: Progress
    ) -> list[Coloured | ImageProcessingError]:
        """Colour the pages of one batch, or what is left of it; in the place of one that cannot be, its error."""
        ...


@runtime_checkable
class Recolouring(Protocol):
    """A backend with a palette: it can draw a page again in other colours without matching anything again."""

    def adopt(
        self,
        given: Sequence[PaletteColour],
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
        """What can be learned from a finished page by its `Coloured.state`: what is sure, or said by a person;
        all of it where a person has approved the page. ValueError if the state is damaged."""
        ...

    def gather(self, remembered: Sequence[Path], artefact: Path) -> int:
        """Write what the pages taught, files of `remember`, to the new file `artefact`; the number of regions.

        The bytes written are a function of the files' contents in this order."""
        ...

    def recolour(
        self, page: Page, state: bytes, palette: Mapping[int, tuple[int, int, int]], settings: PageSettings
    ) -> Coloured:
        """The page with the colours of `palette` (id to RGB) in place of its own, from `Coloured.state`.

        ValueError if that is damaged."""
        ...


class NoopBackend:
    """Gives each page back as it is: for trying the queue on a big book, and for tests of the engine."""

    name = "noop"
    version = "1"
    needs_references = False
    exclusive = False

    def unavailable(self) -> str | None:
        return None

    def prepare(
        self, references: Sequence[Reference], artefact: Path, settings: PageSettings, progress: Progress
    ) -> None:
        artefact.write_bytes(b"")

    def load(self, artefact: Path | None) -> None:
        pass

    def colour(self, page: Page, settings: PageSettings, hints: Path | None, progress: Progress) -> Coloured:
        progress(1, 1)
        return Coloured(page.rgb)
