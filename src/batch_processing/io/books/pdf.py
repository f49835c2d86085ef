"""The pages of a PDF as pictures, by PDFium. Runs in a worker (`isolated`): it is C++, and eats hostile bytes.

A page that is one picture gives that picture: a JPEG or JPEG 2000 byte for byte, any other decoded without loss. Where
text, drawings or further pictures lie on it the page is drawn, at the resolution of the picture that covers most of it,
else at 300 dpi. A picture that was taken out must look like the page, else the page is drawn: PDFs have ways to show a
picture otherwise than it is (inverted, masked, blended).
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ...exceptions import BatchProcessingError
from ...messages import Message
from ...reading import open_regular
from ..images import MAX_PIXELS
from .contract import damaged, refused
from .isolated import BLOCK, Store, needs_packages

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["read_pdf"]

_POINT: Final = 72.0  # points in an inch
_DPI: Final = 300.0
_MOST_DPI: Final = 1200.0
_LOOK: Final = 64  # pixels of a side, to compare a picture with its page
_DIFFERENCE: Final = 12.0  # levels of 255 on the average
_OBJECTS: Final = 10_000  # objects of a page that are looked at: a page with more is drawn
_INVISIBLE: Final = 3  # text rendering mode: scanned pages have what was read in them so
_PASSWORD: Final = 4  # FPDF_ERR_PASSWORD


def read_pdf(store: Store) -> None:
    try:
        import pypdfium2
    except (ImportError, OSError) as fault:
        raise needs_packages(store.path, Message("a PDF document")) from fault
    with open_regular(store.path) as file:
        try:
            document = pypdfium2.PdfDocument(file)
            count = len(document)
        except pypdfium2.PdfiumError as fault:
            if fault.err_code == _PASSWORD:
                raise refused(store.path, _ENCRYPTED) from fault
            raise damaged(store.path, Message(str(fault).rstrip("."))) from fault
        if count > store.limits.entries:
            raise refused(
                store.path,
                "it has {count} pages, more than the limit of {entries}",
                count=count,
                entries=store.limits.entries,
            )
        width = len(str(count))
        for number in range(count):
            store.count()
            name = f"{number + 1:0{width}d}"
            try:
                suffix, data = _page(pypdfium2, document, number)
            except (
                pypdfium2.PdfiumError,
                OSError,
                ValueError,
                ctypes.ArgumentError,
                BatchProcessingError,
            ) as fault:
                store.lost(f"{name}.png", Message("cannot be drawn ({fault})", fault=str(fault).rstrip(".")))
                continue
            store.take(f"{name}.{suffix}", _parts(data))
        document.close()


_ENCRYPTED: Final = Message("it is encrypted; save it without a password first")


def _parts(data: bytes) -> Iterator[bytes]:
    yield from (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))


def _page(library: ModuleType, document: Any, number: int) -> tuple[str, bytes]:
    """The suffix and the bytes of a page's picture."""
    page = document[number]
    try:
        pictures, is_plain = _looked_at(library, page)
        if is_plain and len(pictures) == 1 and (taken := _taken_out(library, page, pictures[0])) is not None:
            return taken
        return "png", _drawn(page, _resolution(page, pictures))
    finally:
        page.close()


def _looked_at(library: ModuleType, page: Any) -> tuple[list[Any], bool]:
    """The pictures of a page, and whether nothing else is to be seen on it."""
    raw = library.raw
    pictures: list[Any] = []
    is_plain = page.get_rotation() == 0 and raw.FPDFPage_GetAnnotCount(page) == 0
    for count, each in enumerate(page.get_objects()):
        if count >= _OBJECTS:
            return pictures, False
        if each.type == raw.FPDF_PAGEOBJ_IMAGE:
            pictures.append(each)
        elif each.type == raw.FPDF_PAGEOBJ_TEXT:
            is_plain = is_plain and raw.FPDFTextObj_GetTextRenderMode(each) == _INVISIBLE
        elif each.type != raw.FPDF_PAGEOBJ_FORM:  # what is in a form comes by itself
            is_plain = False
    return pictures, is_plain


def _taken_out(library: ModuleType, page: Any, picture: Any) -> tuple[str, bytes] | None:
    """The one picture of a page, if it is the page."""
    from PIL import Image

    raw = library.raw
    matrix = picture.get_matrix()
    upright = matrix.a > 0 and matrix.d > 0 and abs(matrix.b) + abs(matrix.c) < 1e-3 * (matrix.a + matrix.d)
    if not upright or raw.FPDFPageObj_HasTransparency(picture) or _left_over(page, picture):
        return None
    filters = picture.get_filters(skip_simple=True)
    suffix = {"DCTDecode": "jpg", "JPXDecode": "jp2"}.get(filters[0]) if len(filters) == 1 else None
    try:
        if suffix:
            data = bytes(picture.get_data(decode_simple=True))
            with Image.open(io.BytesIO(data)) as seen:
                if seen.width * seen.height > MAX_PIXELS:
                    return None
                seen.draft("RGB", (4 * _LOOK, 4 * _LOOK))
                shown = seen.convert("RGB")
        else:
            if not _is_small(picture.get_px_size()):
                return None
            bitmap = picture.get_bitmap(render=False)
            shown = bitmap.to_pil()
            if shown.size != picture.get_px_size() or shown.mode not in {"L", "RGB"}:
                return None
            width, height = shown.size
            dpi = width * _POINT / matrix.a, height * _POINT / matrix.d
            suffix, data = "png", _png(shown, dpi)
        return (suffix, data) if _is_alike(page, shown) else None
    except (library.PdfiumError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # drawn instead


def _is_small(size: tuple[int, int]) -> bool:
    return 0 < size[0] * size[1] <= MAX_PIXELS


def _left_over(page: Any, picture: Any) -> bool:
    """Whether more than a twentieth of a side of the page is blank beside the picture, or of the picture outside."""
    left, bottom, right, top = page.get_cropbox()
    bounds = picture.get_bounds()
    room = 0.05 * max(right - left, top - bottom)
    return any(abs(a - b) > room for a, b in zip((left, bottom, right, top), bounds, strict=True))


def _is_alike(page: Any, shown: Image.Image) -> bool:
    """Whether the page, drawn small, looks like its picture."""
    import numpy as np

    width, height = page.get_size()
    drawn = page.render(scale=4 * _LOOK / max(width, height)).to_pil().convert("RGB")
    small = [
        np.asarray(each.convert("RGB").resize((_LOOK, _LOOK), 4), np.int16) for each in (drawn, shown)
    ]  # 4: box
    return bool(np.abs(small[0] - small[1]).mean() < _DIFFERENCE)


def _resolution(page: Any, pictures: list[Any]) -> float:
    """Dots per inch at which to draw: those of the picture that covers most of the page."""
    best, largest = _DPI, 0.0
    for each in pictures:
        matrix, (width, height) = each.get_matrix(), each.get_px_size()
        across = (matrix.a**2 + matrix.b**2) ** 0.5
        down = (matrix.c**2 + matrix.d**2) ** 0.5
        if across * down > largest and across > 0 and down > 0:
            largest = across * down
            best = max(width * _POINT / across, height * _POINT / down)
    if largest < 0.05 * page.get_width() * page.get_height():  # an ornament says nothing of the page
        best = max(best, _DPI) if largest else _DPI
    most = (MAX_PIXELS / 2 / max(1e-3, page.get_width() * page.get_height())) ** 0.5 * _POINT
    return float(min(max(best, _POINT), _MOST_DPI, most))


def _drawn(page: Any, dpi: float) -> bytes:
    scale = dpi / _POINT * (1 - 1e-6)  # the library rounds up, and a page of 900 pixels is not one of 901
    picture = page.render(scale=scale, rev_byteorder=True).to_pil().convert("RGB")
    red, green, blue = picture.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        picture = red
    return _png(picture, (dpi, dpi))


def _png(picture: Image.Image, dpi: tuple[float, float]) -> bytes:
    target = io.BytesIO()
    picture.save(target, "PNG", compress_level=1, dpi=dpi)
    return target.getvalue()
