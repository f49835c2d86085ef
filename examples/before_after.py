"""The picture in the README: one page of the sample chapter, as drawn and as Lote colours it.

    python examples/before_after.py OUT.png [--page N]

draws the chapter, runs `lote colorize` on it as anybody would, and sets the page before and after side
by side. Nothing is retouched: the right half is what the command wrote.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from examples.sample_chapter import draw_chapter

_HEIGHT = 900
"""Height of the picture in pixels: both pages stay legible at a README's usual width of about 900."""
_GAP = 24
_COLORS = 128
"""Palette entries: ink, paper, some 40 flats and their blends; keeps the file under 400 KB."""


def compose(before: Path, after: Path, out: Path) -> None:
    """Write `before` and `after` side by side on white as a palette PNG."""
    from PIL import Image

    pages = []
    for path in (before, after):
        with Image.open(path) as image:
            width = round(image.width * _HEIGHT / image.height)
            pages.append(image.convert("RGB").resize((width, _HEIGHT), Image.Resampling.LANCZOS))
    sheet = Image.new("RGB", (sum(p.width for p in pages) + _GAP, _HEIGHT), "white")
    sheet.paste(pages[0], (0, 0))
    sheet.paste(pages[1], (pages[0].width + _GAP, 0))
    palette = sheet.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    palette.save(out, "PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Set a sample page before and after colouring side by side.")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--page", type=int, default=1, metavar="N", help="page of the chapter (default 1)")
    chosen = parser.parse_args()
    chapter = draw_chapter()
    if not 1 <= chosen.page <= len(chapter.pages):
        parser.error(f"--page must be between 1 and {len(chapter.pages)}")
    page = chapter.pages[chosen.page - 1]
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        with_all, colored = folder / "chapter.cbz", folder / "coloured"
        chapter.write(with_all)
        command = [sys.executable, "-m", "batch_processing", "colorize", str(with_all), "-o", str(colored)]
        command += ["--backend", "flats", "--workspace", str(folder / "workspace"), "--quiet"]
        code = subprocess.run(command, check=False).returncode
        if code:
            sys.exit(code)
        with zipfile.ZipFile(with_all) as book:
            before = Path(book.extract(page.name, folder))
        compose(before, colored / page.name, chosen.out)
    print(f"{chosen.out}: {page.name} before and after, {chosen.out.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
