"""Layered documents: PSD for Photoshop, Krita, GIMP and Clip Studio, OpenRaster for Krita, GIMP and MyPaint.

Promises that the layers lie in the order given (bottom first) with their names, blend modes and exact pixels,
that the picture shown by programs that read no layers is the merged one, and the same bytes on each run.
Refuses layers whose size is not the page's. Holds 8 bit sRGB only: a page's profile is not carried over.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["LayerLike", "write_layers", "write_ora", "write_psd"]

LayerFormat = Literal["psd", "ora"]
ORA_THUMBNAIL = 256
"""Longest side in pixels of an OpenRaster thumbnail (the format's own limit)."""
PSD_SIDE = 30_000
"""Longest side in pixels that a PSD can have (Adobe Photoshop File Formats Specification)."""


class LayerLike(Protocol):
    """A name, pixels of (h, w) gray or (h, w, 4) RGBA of 8 bit, and how they lie on what is below."""

    name: str
    pixels: NDArray[np.uint8]
    blend: Literal["normal", "multiply"]


def write_layers(
    target: BinaryIO,
    kind: LayerFormat,
    layers: Sequence[LayerLike],
    merged: NDArray[np.uint8],
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write layers, bottom first, and their merged (h, w, 3) picture to an open file.

    ValueError for a layer of another size and for a page that the format cannot hold.
    """
    size = merged.shape[:2]
    for layer in layers:
        if layer.pixels.shape[:2] != size:
            raise ValueError(
                f"layer {layer.name!r} is {layer.pixels.shape[1]} x {layer.pixels.shape[0]} pixels "
                f"and the page is {size[1]} x {size[0]}"
            )
    if kind == "psd":
        write_psd(target, layers, merged, dpi)
    else:
        write_ora(target, layers, merged, dpi)


def write_psd(
    target: BinaryIO,
    layers: Sequence[LayerLike],
    merged: NDArray[np.uint8],
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write a PSD with `dpi` pixels per inch across and down."""
    from PIL import Image
    from psd_tools import PSDImage
    from psd_tools.constants import BlendMode, Resource
    from psd_tools.psd.image_resources import ImageResource

    height, width = merged.shape[:2]
    if max(height, width) > PSD_SIDE:
        raise ValueError(f"a PSD holds {PSD_SIDE} pixels a side and the page is {width} x {height}: use ora")
    blends = {"normal": BlendMode.NORMAL, "multiply": BlendMode.MULTIPLY}
    document = PSDImage.frompil(Image.fromarray(merged))
    for layer in layers:
        document.create_pixel_layer(_rgba(layer), name=layer.name, blend_mode=blends[layer.blend])
    if dpi is not None:
        # Fixed point 16.16 in pixels per inch (unit 1), shown in inches (unit 1).
        across, down = (round(value * 65536) for value in dpi)
        document.image_resources[Resource.RESOLUTION_INFO] = ImageResource(
            key=Resource.RESOLUTION_INFO.value, data=struct.pack(">IHHIHH", across, 1, 1, down, 1, 1)
        )
    # save() would compose the picture anew from the layers, in floats and with other rounding: the merged
    # picture is there already, and is what was promised.
    document._record.write(target)  # noqa: SLF001 - the only way to write a document as it is


def write_ora(
    target: BinaryIO,
    layers: Sequence[LayerLike],
    merged: NDArray[np.uint8],
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write OpenRaster 0.0.5: a ZIP whose first member is its type, stored."""
    from PIL import Image

    height, width = merged.shape[:2]
    resolution = f' xres="{round(dpi[0])}" yres="{round(dpi[1])}"' if dpi else ""
    rows = []
    for number in reversed(range(len(layers))):  # the format lists the uppermost first
        layer = layers[number]
        rows.append(
            f'  <layer name={quoteattr(layer.name)} src="data/layer{number}.png" x="0" y="0" opacity="1.0" '
            f'visibility="visible" composite-op="svg:{"multiply" if layer.blend == "multiply" else "src-over"}"/>'
        )
    stack = "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<image version="0.0.5" w="{width}" h="{height}"{resolution}>',
            " <stack>",
            *rows,
            " </stack>",
            "</image>",
            "",
        ]
    )
    whole = Image.fromarray(merged)
    small = whole.copy()
    small.thumbnail((ORA_THUMBNAIL, ORA_THUMBNAIL))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member("mimetype"), b"image/openraster")
        archive.writestr(_member("stack.xml"), stack.encode())
        for number, layer in enumerate(layers):
            archive.writestr(_member(f"data/layer{number}.png"), _png(_rgba(layer)))
        archive.writestr(_member("mergedimage.png"), _png(whole))
        archive.writestr(_member("Thumbnails/thumbnail.png"), _png(small))


def _member(name: str) -> zipfile.ZipInfo:
    """A member without a clock, stored: PNG is compressed already."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _rgba(layer: LayerLike) -> Image.Image:
    from PIL import Image

    return Image.fromarray(layer.pixels).convert("RGBA")


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
