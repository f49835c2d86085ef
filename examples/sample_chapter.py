"""The sample chapter: a small comic that Lote draws itself, to be coloured by Lote.

    python examples/sample_chapter.py OUT.cbz [--truth DIR] [--small]

writes a CBZ with a coloured cover, eight pages of line art, two coloured reference sheets under
`references/` and a ComicInfo.xml. `--truth` also writes every page in its exact colours, under the
name of its line art: what a perfect colouring would be. `--small` writes the chapter as the web page brings it
(src/batch_processing/ui/web/sample/): as lossless WebP, a third smaller. (With less than all its greys the pages are
coloured worse: screentone is told by them.)

The same bytes are written on every run. Every colour of the line-art pages stands in the cover or in a
reference, paper white aside: balloons, lettering and sound effects are white in the truth.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that the script also runs by its path

from examples.seaside import pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP member can have


@dataclass(frozen=True)
class Drawing:
    """One picture of the chapter, drawn anew on every call; `name` is its file name in the archive."""

    name: str
    scene: Callable[[pages.Sheet], None]

    def line_art(self) -> NDArray[np.uint8]:
        """(1754, 1240) grey, 8 bit: ink on white paper."""
        return self._draw(color=False)

    def truth(self) -> NDArray[np.uint8]:
        """(1754, 1240, 3) sRGB, 8 bit: the same ink over the exact flat colours."""
        return self._draw(color=True)

    def _draw(self, *, color: bool) -> NDArray[np.uint8]:
        sheet = pages.Sheet(color=color)
        self.scene(sheet)
        return sheet.paper.picture()


@dataclass(frozen=True)
class Chapter:
    """The whole chapter in reading order: a coloured cover, line-art pages, coloured references."""

    title: str
    cover: Drawing
    pages: tuple[Drawing, ...]
    references: tuple[Drawing, ...]

    def members(self) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) of everything in the archive, one at a time."""
        yield "ComicInfo.xml", _comic_info(self).encode()
        yield self.cover.name, png(self.cover.truth())
        for page in self.pages:
            yield page.name, png(page.line_art())
        for reference in self.references:
            yield reference.name, png(reference.truth())

    def small_members(self) -> Iterator[tuple[str, bytes]]:
        """The same pictures as lossless WebP."""
        yield "ComicInfo.xml", _comic_info(self).encode()
        for drawing in (self.cover, *self.pages, *self.references):
            pixels = drawing.line_art() if drawing in self.pages else drawing.truth()
            yield drawing.name.replace(".png", ".webp"), webp(pixels)

    def write(self, path: Path, *, small: bool = False) -> None:
        """Write the CBZ. Pictures are stored, as they are compressed already."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in self.small_members() if small else self.members():
                member = zipfile.ZipInfo(name, _EPOCH)
                member.create_system = 3  # Unix, wherever this runs: the bytes must not depend on it
                member.external_attr = 0o644 << 16
                archive.writestr(member, content)


def draw_chapter() -> Chapter:
    """The chapter. Nothing is drawn until a page's pixels are asked for (about half a second each)."""
    return Chapter(
        title=pages.TITLE,
        cover=Drawing("cover.png", pages.cover),
        pages=tuple(Drawing(f"page_{i:02}.png", scene) for i, scene in enumerate(pages.PAGES, 1)),
        references=tuple(
            Drawing(f"references/{name}.png", scene) for name, scene in pages.REFERENCES.items()
        ),
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """`pixels`, grey or RGB, as a PNG file with its resolution and nothing else beside the image."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG", dpi=(150, 150))
    return held.getvalue()


def webp(pixels: NDArray[np.uint8]) -> bytes:
    """`pixels`, grey or RGB, as a lossless WebP file."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "WEBP", lossless=True, quality=100, method=6)
    return held.getvalue()


def _comic_info(chapter: Chapter) -> str:
    kinds = ["FrontCover", *["Story"] * len(chapter.pages), *["Other"] * len(chapter.references)]
    listed = "\n".join(f'    <Page Image="{i}" Type="{kind}" />' for i, kind in enumerate(kinds))
    return f"""<?xml version="1.0" encoding="utf-8"?>
<ComicInfo xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">
  <Title>{escape(chapter.title)}</Title>
  <Series>Lote samples</Series>
  <Number>1</Number>
  <Summary>Mara, Tomo and Pip the cat chase a kite through a town by the sea.</Summary>
  <Writer>The Lote authors</Writer>
  <PageCount>{len(kinds)}</PageCount>
  <LanguageISO>en</LanguageISO>
  <BlackAndWhite>Yes</BlackAndWhite>
  <Pages>
{listed}
  </Pages>
</ComicInfo>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw Lote's sample chapter.")
    parser.add_argument("out", type=Path, metavar="OUT.cbz")
    parser.add_argument(
        "--truth", type=Path, metavar="DIR", help="also write every page in its exact colours"
    )
    parser.add_argument("--small", action="store_true", help="as the web page brings it: lossless WebP")
    chosen = parser.parse_args()
    chapter = draw_chapter()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chapter.write(chosen.out, small=chosen.small)
    print(f"{chosen.out}: {chapter.title}, {len(chapter.pages)} pages of line art")
    if chosen.truth:
        chosen.truth.mkdir(parents=True, exist_ok=True)
        for page in chapter.pages:
            (chosen.truth / page.name).write_bytes(png(page.truth()))
        print(f"{chosen.truth}: the same pages in colour")


if __name__ == "__main__":
    main()
