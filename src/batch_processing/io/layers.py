"""Editable documents: PSD for Photoshop, Krita, GIMP and Clip Studio, OpenRaster for Krita, GIMP and MyPaint; and
the flats of a page alone, as a PNG with a palette.

Promises that the layers lie in the order given (bottom first) and in their groups, with their names, blend modes
and exact pixels of 8 or 16 bit; that the picture shown by programs that read no layers is the merged one; that
resolution and colour profile are the page's; and the same bytes on each run. Refuses layers that do not fit on the
page. Holds one layer's pixels at a time, where layers are made as they are asked for.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from .images import Resolution

__all__ = ["LayerLike", "write_flats", "write_layers", "write_ora", "write_psd"]

LayerFormat = Literal["psd", "ora"]
ORA_THUMBNAIL = 256
"""Longest side in pixels of an OpenRaster thumbnail (the format's own limit)."""
PSD_SIDE = 30_000
"""Longest side in pixels that a PSD can have (Adobe Photoshop File Formats Specification)."""


class LayerLike(Protocol):
    """A name, pixels of (h, w) gray or (h, w, 4) RGBA, how they lie on what is below, and where their corner is.

    8 bit, or 16 in a document whose merged picture has 16. `pixels` may be a function that makes them. Layers
    that follow each other with the same `group`, but "", lie in a group of that name."""

    name: str
    pixels: NDArray[Any] | Callable[[], NDArray[Any]]
    blend: Literal["normal", "multiply"]
    group: str
    left: int
    top: int


def write_layers(
    target: BinaryIO,
    kind: LayerFormat,
    layers: Sequence[LayerLike],
    merged: NDArray[Any],
    dpi: Resolution | None = None,
    icc: bytes | None = None,
) -> None:
    """Write layers, bottom first, and their merged (h, w, 3) picture of 8 or 16 bit to an open file.

    ValueError for a layer that does not fit and for a page that the format cannot hold.
    """
    if kind == "psd":
        write_psd(target, layers, merged, dpi, icc)
    else:
        write_ora(target, layers, merged, dpi, icc)


def write_psd(
    target: BinaryIO,
    layers: Sequence[LayerLike],
    merged: NDArray[Any],
    dpi: Resolution | None = None,
    icc: bytes | None = None,
) -> None:
    """Write a PSD with `dpi` pixels per inch across and down."""
    from psd_tools import PSDImage
    from psd_tools.api.layers import PixelLayer
    from psd_tools.constants import BlendMode, Compression, Resource
    from psd_tools.psd.image_data import ImageData
    from psd_tools.psd.image_resources import ImageResource

    height, width = merged.shape[:2]
    if max(height, width) > PSD_SIDE:
        raise ValueError(f"a PSD holds {PSD_SIDE} pixels a side and the page is {width} x {height}: use ora")
    wide = merged.dtype.itemsize == 2
    blends = {"normal": BlendMode.NORMAL, "multiply": BlendMode.MULTIPLY}
    document = PSDImage.new("RGB", (width, height), depth=16 if wide else 8)
    record = document._record  # noqa: SLF001 - psd-tools writes a picture of its own: see below
    record.image_data = ImageData(Compression.RAW if wide else Compression.RLE)
    record.image_data.set_data([_plane(merged[..., c]) for c in range(3)], record.header)
    for name, members in _grouped(layers):
        parent = document.create_group(name=name) if name else document
        for layer in members:
            # Not create_pixel_layer: it makes the transparency of a layer a mask, and has 8 bit only.
            made = PixelLayer(parent, *_psd_layer(layer, _pixels(layer, merged), record.header.depth))
            made.name = layer.name  # in Unicode as well as in its old form
            made.blend_mode = blends[layer.blend]
            parent.append(made)
    if dpi is not None:
        # Fixed point 16.16 in pixels per inch (unit 1), shown in inches (unit 1).
        across, down = (round(value * 65536) for value in dpi)
        document.image_resources[Resource.RESOLUTION_INFO] = ImageResource(
            key=Resource.RESOLUTION_INFO.value, data=struct.pack(">IHHIHH", across, 1, 1, down, 1, 1)
        )
    if icc is not None:
        document.image_resources[Resource.ICC_PROFILE] = ImageResource(
            key=Resource.ICC_PROFILE.value, data=icc
        )
    # save() would compose the picture anew from the layers, in floats and with other rounding: the merged
    # picture is there already, and is what was promised.
    record.write(target)


def write_flats(
    target: BinaryIO,
    layers: Sequence[LayerLike],
    size: tuple[int, int],
    palette: Sequence[tuple[int, tuple[int, int, int]]],
    dpi: Resolution | None = None,
    icc: bytes | None = None,
) -> None:
    """Write what the layers show together, without blending, on white of `size` (height, width), to a PNG.

    `palette` are ids and their RGB: a pixel's index is the id of its colour where that is below 256. With more
    colours than a palette holds it is a PNG of RGB."""
    import numpy as np
    from PIL import Image

    from .images import encode

    flats = np.full((*size, 3), 255, np.uint8)
    for layer in layers:
        pixels = _pixels(layer, flats)
        part = flats[layer.top : layer.top + pixels.shape[0], layer.left : layer.left + pixels.shape[1]]
        there = pixels[..., 3] > 0
        part[there] = pixels[there][:, :3]
    codes, inverse = np.unique(
        flats.astype(np.int32) @ np.array([65536, 256, 1], np.int32), return_inverse=True
    )
    if len(codes) > 256:
        encode(flats, target, format="png", dpi=dpi, icc=icc)
        return
    index: dict[int, int] = {}
    for number, (red, green, blue) in sorted(palette):
        if number < 256:
            index.setdefault(red << 16 | green << 8 | blue, number)
    free = iter(sorted(set(range(256)) - set(index.values())))
    indices = np.array([index[code] if code in index else next(free) for code in codes.tolist()], np.uint8)
    table = np.zeros((int(indices.max()) + 1, 3), np.uint8)
    table[indices] = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    picture = Image.fromarray(indices[inverse.reshape(size)])
    picture.putpalette(table.tobytes())
    options = {name: value for name, value in (("dpi", dpi), ("icc_profile", icc)) if value}
    picture.save(target, "PNG", optimize=False, **options)


def _psd_layer(layer: LayerLike, pixels: NDArray[Any], depth: int) -> tuple[Any, Any]:
    """A layer's record and its channels, transparency first."""
    from psd_tools.constants import ChannelID, Compression
    from psd_tools.psd.layer_and_mask import ChannelData, ChannelDataList, ChannelInfo, LayerRecord

    height, width = pixels.shape[:2]
    record = LayerRecord(
        top=layer.top, left=layer.left, bottom=layer.top + height, right=layer.left + width, channel_info=[]
    )
    gray = pixels.ndim == 2
    opaque = b"\xff" * (width * height * depth // 8)
    data = ChannelDataList()
    for number in (
        ChannelID.TRANSPARENCY_MASK,
        ChannelID.CHANNEL_0,
        ChannelID.CHANNEL_1,
        ChannelID.CHANNEL_2,
    ):
        if number is ChannelID.TRANSPARENCY_MASK:
            plane = opaque if gray else _plane(pixels[..., 3])
        else:
            plane = _plane(pixels if gray else pixels[..., int(number)])
        # What Photoshop writes: run lengths at 8 bit, deflate at 16.
        channel = ChannelData(Compression.RLE if depth == 8 else Compression.ZIP)
        channel.set_data(plane, width, height, depth, 1)
        record.channel_info.append(ChannelInfo(number, len(channel.data) + 2))
        data.append(channel)
    return record, data


def _plane(samples: NDArray[Any]) -> bytes:
    """One channel, the larger byte first."""
    return bytes(samples.astype(samples.dtype.newbyteorder(">")).tobytes())


def _grouped(layers: Sequence[LayerLike]) -> Iterable[tuple[str, list[LayerLike]]]:
    return ((name, list(members)) for name, members in groupby(layers, key=lambda layer: layer.group))


def _pixels(layer: LayerLike, merged: NDArray[Any]) -> NDArray[Any]:
    """The layer's pixels, in the depth of the document."""
    import numpy as np

    pixels: NDArray[Any] = layer.pixels() if callable(layer.pixels) else layer.pixels
    (height, width), (h, w) = merged.shape[:2], pixels.shape[:2]
    if not (0 <= layer.top <= height - h and 0 <= layer.left <= width - w):
        raise ValueError(
            f"layer {layer.name!r} is {w} x {h} pixels at {layer.left}, {layer.top} and the page is {width} x {height}"
        )
    if merged.dtype == np.uint16 and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return pixels


def write_ora(
    target: BinaryIO,
    layers: Sequence[LayerLike],
    merged: NDArray[Any],
    dpi: Resolution | None = None,
    icc: bytes | None = None,
) -> None:
    """Write OpenRaster 0.0.5: a ZIP whose first member is its type, stored."""
    from PIL import Image

    height, width = merged.shape[:2]
    resolution = f' xres="{round(dpi[0])}" yres="{round(dpi[1])}"' if dpi else ""
    numbered = {id(layer): number for number, layer in enumerate(layers)}
    rows = []
    for name, members in reversed(list(_grouped(layers))):  # the format lists the uppermost first
        indent = "   " if name else "  "
        if name:
            rows.append(f'  <stack name={quoteattr(name)} x="0" y="0" opacity="1.0" visibility="visible">')
        rows += [
            f'{indent}<layer name={quoteattr(layer.name)} src="data/layer{numbered[id(layer)]}.png" '
            f'x="{layer.left}" y="{layer.top}" opacity="1.0" visibility="visible" '
            f'composite-op="svg:{"multiply" if layer.blend == "multiply" else "src-over"}"/>'
            for layer in reversed(members)
        ]
        if name:
            rows.append("  </stack>")
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
    small = Image.fromarray(merged if merged.dtype.itemsize == 1 else (merged >> 8).astype("uint8"))
    small.thumbnail((ORA_THUMBNAIL, ORA_THUMBNAIL))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member("mimetype"), b"image/openraster")
        archive.writestr(_member("stack.xml"), stack.encode())
        for number, layer in enumerate(layers):
            archive.writestr(
                _member(f"data/layer{number}.png"), _png(_rgba(_pixels(layer, merged)), dpi, icc)
            )
        archive.writestr(_member("mergedimage.png"), _png(merged, dpi, icc))
        archive.writestr(_member("Thumbnails/thumbnail.png"), _small_png(small))


def _member(name: str) -> zipfile.ZipInfo:
    """A member without a clock, stored: PNG is compressed already."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _rgba(pixels: NDArray[Any]) -> NDArray[Any]:
    """A gray PNG cannot carry the page's profile, which is one of RGB."""
    import numpy as np

    if pixels.ndim == 3:
        return pixels
    whole = np.empty((*pixels.shape, 4), pixels.dtype)
    whole[..., :3] = pixels[..., None]
    whole[..., 3] = np.iinfo(pixels.dtype).max
    return whole


def _png(pixels: NDArray[Any], dpi: Resolution | None, icc: bytes | None) -> bytes:
    from .images import encode

    buffer = io.BytesIO()
    encode(pixels, buffer, format="png", dpi=dpi, icc=icc)
    return buffer.getvalue()


def _small_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
