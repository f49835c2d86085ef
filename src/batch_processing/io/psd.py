"""Photoshop documents (PSD and PSB) as pictures, for `io.images`: their merged picture, by psd-tools.

The header alone says how large one is and which profile and resolution it has. `load` gives the picture that Photoshop
keeps beside the layers, or composes it where a document was saved without; hidden layers stay hidden. Samples of 16 and
32 bits come at 8. What the file may ask for is bounded before (`io.bounds`).

Format: Adobe Photoshop File Formats Specification.
"""

from __future__ import annotations

import logging
import struct
import warnings
from typing import Any, Final

from PIL import Image, ImageFile

from ..messages import Message

__all__ = ["Psd"]

# Pillow's names of the colour modes: bitmap, gray, indexed, RGB, CMYK, duotone (its gray), Lab.
_MODES: Final = {0: "1", 1: "L", 2: "P", 3: "RGB", 4: "CMYK", 8: "L", 9: "LAB"}
_RESOLUTION, _PROFILE = 1005, 1039
_SIGNATURES: Final = {b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"}


class Psd(ImageFile.ImageFile):
    """An open document; made and used like Pillow's own kinds of files."""

    format = "PSD"
    format_description = "Adobe Photoshop"

    def _open(self) -> None:
        file: Any = self.fp
        head = file.read(26)
        if len(head) < 26 or head[:4] != b"8BPS":
            raise SyntaxError("not a Photoshop document")
        _, _channels, height, width, _depth, mode = struct.unpack(">H6xHLLHH", head[4:])
        if mode not in _MODES:
            raise ValueError(Message("its colour mode is one that Lote does not read: convert it to RGB"))
        self._mode = _MODES[mode]
        self._size = width, height
        file.seek(int.from_bytes(file.read(4), "big"), 1)  # colours of indexed and duotone documents
        length = int.from_bytes(file.read(4), "big")
        self._resources(file.read(length))
        self.tile = []

    def _resources(self, data: bytes) -> None:
        """Keep the profile and the resolution of the image resources."""
        at = 0
        while data[at : at + 4] in _SIGNATURES and at + 12 <= len(data):
            number, name = struct.unpack_from(">HB", data, at + 4)
            at += 6 + (name + 2) // 2 * 2  # the name and its length, padded
            length = int.from_bytes(data[at : at + 4], "big")
            content = data[at + 4 : at + 4 + length]
            at += 4 + (length + 1) // 2 * 2
            if number == _PROFILE:
                self.info["icc_profile"] = content
            elif number == _RESOLUTION and len(content) >= 16:
                across, down = struct.unpack_from(">L4xL", content)
                self.info["dpi"] = across / 65536, down / 65536

    def load(self) -> Any:
        file: Any = self.fp
        if file is None or getattr(self, "_merged", False):
            return Image.Image.load(self)
        from psd_tools import PSDImage
        from psd_tools.compression import PSDDecompressionWarning

        logging.getLogger("psd_tools").setLevel(logging.ERROR)
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", PSDDecompressionWarning)  # what is damaged would be black
            try:
                merged = PSDImage.open(file).composite(apply_icc=False)
            except PSDDecompressionWarning as fault:
                raise ValueError(str(fault).partition(";")[0]) from fault
        if merged.size != self._size:
            raise ValueError(Message("its picture has another size than its header says"))
        self.im, self._mode = merged.im, merged.mode
        if merged.mode == "P":
            self.palette = merged.palette
        self._merged = True
        return Image.Image.load(self)
