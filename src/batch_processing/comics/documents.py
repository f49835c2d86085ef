"""A page's editable documents: layered, its flats alone, its regions. How a worker writes them, and how they get their names.

Promises: a page that is done has its documents; one that a person has changed since is left alone; no link below the output
leads a document out of it. Also a kill between writing down what was written and the rename makes no stranger of our own file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from ..core.files import ROOT, WRITTEN
from ..core.plain import JsonObject
from ..io.publish import (
    Claim,
    SaveFile,
    fsync_dir,
    hash_file,
    meant_for,
    metadata_json,
    part_path,
    publish,
    standing,
    write_part,
)
from .model import RGB, Document, DocumentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..backends.base import Colored, Layer
    from ..io.images import Page

KEPT: Final = "kept_documents"
"""In what there is to say of a page: those of its documents that a person has changed."""


@dataclass(frozen=True)
class DocumentPart:
    """A document to write: its kind, the file `part`, and the folder that no link may lead it out of."""

    kind: DocumentKind
    part: str = field(metadata=WRITTEN)
    root: str = field(metadata=ROOT)


def parts_of(documents: Sequence[Document], root: Path, token: str) -> list[DocumentPart]:
    """What a worker is to write for them, below `root`, under the lease `token`: one that has lost it writes into no other's."""
    return [DocumentPart(one.kind, str(part_path(Path(one.target), token)), str(root)) for one in documents]


def write(
    document: DocumentPart,
    page: Page,
    colored: Colored,
    merged: NDArray[Any],
    layers: Sequence[Layer],
) -> None:
    """Write a page's document: layered, in 16 bit where the page has it; its flats alone (png); its regions (json). `merged`
    is the coloured page, which `layers` make."""
    from ..io.layers import write_flats, write_layers

    draw: Callable[[BinaryIO], object]
    if document.kind == "json":
        regions = metadata_json({"size": merged.shape[1::-1], "regions": colored.details.get("regions", [])})
        draw = lambda file: file.write(regions)  # noqa: E731
    elif document.kind == "png":
        flats = [layer for layer in layers if not layer.own]
        colors = _in_page(colored.details.get("palette", ()), page)
        size = merged.shape[0], merged.shape[1]
        draw = lambda file: write_flats(file, flats, size, colors, page.dpi, page.icc)  # noqa: E731
    else:
        kind = document.kind
        draw = lambda file: write_layers(file, kind, layers, merged, page.dpi, page.icc)  # noqa: E731
    write_part(Path(document.part), draw, within=Path(document.root))


def layers_of(page: Page, colored: Colored, merged: NDArray[Any], names: Mapping[str, str]) -> list[Layer]:
    """The layers of a page's documents. `names` are what a person calls palette ids.

    A backend that knows no layers gets a document of two: the page as it was, and its colours above."""
    import numpy as np

    from ..backends.base import Layer

    def opaque(rgb: NDArray[Any]) -> NDArray[Any]:
        full = np.iinfo(rgb.dtype).max
        return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), full, rgb.dtype)], axis=2)

    own: NDArray[Any] = page.rgb if page.native is None else page.native
    own = np.repeat(own[..., None], 3, axis=2) if own.ndim == 2 else own
    layers = colored.layers or [Layer("Page", opaque(own), own=True), Layer("Colours", opaque(merged))]
    for layer in layers:
        if layer.color is not None:
            layer.name = names.get(str(layer.color), layer.name)
    return layers


def _in_page(palette: Sequence[JsonObject], page: Page) -> list[tuple[int, RGB]]:
    """Ids and colours of `Colored.details`, which are sRGB, as the page's own profile has them."""
    import numpy as np

    from ..io.profiles import from_srgb

    rgb = np.array([color["rgb"] for color in palette], np.uint8).reshape(-1, 3)
    shown = from_srgb(rgb, page.icc).tolist()
    return [(color["id"], (r, g, b)) for color, (r, g, b) in zip(palette, shown, strict=True)]


def hand_over(documents: Sequence[Document], root: Path, token: str) -> list[str]:
    """Give the documents that a worker has written under this lease their names; those that a person has changed since, which
    stay. FileNotFoundError for one of which there is nothing."""
    return list(_kept(documents, root, token))


def _kept(documents: Sequence[Document], root: Path, token: str) -> Iterator[str]:
    for document in documents:
        target, record = Path(document.target), Path(document.record)
        part = part_path(target, token)
        try:
            sha256 = hash_file(part)
        except FileNotFoundError:
            if standing(target) is None:
                raise
            continue  # a run that was killed has handed it over
        known = record.read_text().split() if record.exists() else []
        if standing(target) not in {None, sha256, *known}:
            part.unlink()
            yield document.target
            continue
        with SaveFile(record) as file:  # before the rename: a kill in between must not make it a stranger's
            file.write("\n".join(meant_for(target, known, sha256)).encode())
        try:
            publish(part, target, Claim(root, frozenset(known)))
        except FileExistsError:
            part.unlink()
            yield document.target
            continue
        fsync_dir(target.parent)
