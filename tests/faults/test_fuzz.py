"""What reads untrusted bytes, fed with damaged ones: each reader gives an answer or its own error, soon.

Mutations of kept examples, the same ones in each run: seconds for each reader here, ten minutes in `make faults`.
A case that once took a reader down is kept in `KEPT` and tried first."""

from __future__ import annotations

import json
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batch_processing import palette
from batch_processing.backends.flats import hints
from batch_processing.config import ConfigurationHandler
from batch_processing.exceptions import BatchProcessingError, ConfigurationError, ValidationError
from batch_processing.io import images
from batch_processing.io.archives import Archive, Limits, unpack
from batch_processing.io.bounds import exif_tags
from batch_processing.io.comic_info import comic_info
from corpus.archives import HOSTILE, LYING, Entry, build, plain
from corpus.images import png, whole
from faults.runs import Length, Report

# Cases for each reader with every change: the same ones on every machine. `make faults` goes on for its time.
CASES = 300
# The most that one input may take (s of processor time), hundreds of times what it does.
PATIENCE_S = 5.0
SMALL = Limits(entries=100, total=4 << 20, ratio_from=1 << 20)


@dataclass(frozen=True)
class Reader:
    """`read` takes a file; `errors` are how it may refuse. `words` are what its format is made of."""

    read: Callable[[Path], object]
    examples: list[bytes]
    errors: tuple[type[BaseException], ...]
    suffix: str = ""
    words: tuple[bytes, ...] = ()
    kept: list[bytes] = field(default_factory=list)


def unpacked(path: Path) -> None:
    target = path.with_suffix(".d")
    with Archive(path, SMALL) as archive:
        for page in unpack(archive, target):
            assert target in page.path.parents
    for stored in target.iterdir() if target.exists() else ():
        stored.unlink()


def configured(path: Path) -> None:
    handler = ConfigurationHandler()
    handler.load_config_file(path)
    handler.get_image_config("a/page_001.png")


JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"NaN",
    b'"id"',
    b'"rgb"',
)
XML = (
    b"<",
    b">",
    b"/>",
    b"<a>",
    b"</a>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"&a;",
    b"<?x ?>",
    b"<!DOCTYPE a>",
)
ZIP = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"\xff\xff\xff\xff", b"../", b"\0\0\0\0")
PAGE = png(8, 8, bytes(72))
PICTURES = whole()


def without_tiles(jpeg2000: bytes) -> bytes:
    """A JPEG 2000 whose tiles are no pixel wide: the number stands 22 bytes behind the marker SIZ."""
    at = jpeg2000.index(b"\xff\x51") + 22
    return jpeg2000[:at] + bytes(4) + jpeg2000[at + 4 :]


BOOK = plain(a__p_png=PAGE, b_png=PAGE, ComicInfo_xml=b"<ComicInfo/>", extra_zip=plain(c_png=PAGE))
EXIF = struct.pack("<2sHLHHHLLHHLLL", b"II", 42, 8, 2, 274, 3, 1, 6, 282, 5, 1, 38, 0) + struct.pack(
    "<LL", 300, 1
)


def with_an_endless_box(jpeg2000: bytes) -> bytes:
    """A JPEG 2000 with a box before its picture that is longer than any file can be."""
    return jpeg2000[:12] + struct.pack(">L4sQ", 1, b"free", 2**64 - 1) + jpeg2000[12:]


PALETTE = {"colors": [{"id": 4, "name": "hair", "rgb": "#4a302a", "locked": True, "reference": [74, 48, 42]}]}
HINTS = {
    "points": [{"x": 1, "y": 2, "color": "#c0392b"}],
    "strokes": [{"points": [[1, 2], [3, 4]], "id": 3}],
    "lock": [],
}
CONFIG = {"default": {"style": "line", "seed": 1}, "images": {"page_001.png": {"skip": True, "steps": 9}}}
TOML = b'[default]\nstyle = "line"\nseed = 1\n[images."page_001.png"]\nreferences = ["a.png"]\nskip = true\n'
INFO = b'<?xml version="1.0"?>\n<ComicInfo a="1"><Title>x</Title><BlackAndWhite>Yes</BlackAndWhite><Pages><Page/></Pages></ComicInfo>'

READERS = {
    "archives": Reader(
        unpacked,
        [BOOK, build(Entry("n.zip", BOOK), Entry("p.png", PAGE)), *(make() for make, _ in [*HOSTILE.values(), *LYING.values()])],
        (BatchProcessingError,),
        ".cbz",
        ZIP,
    ),
    "ComicInfo": Reader(lambda path: comic_info(path.read_bytes()), [INFO, INFO.decode().encode("utf-16")], (ValidationError,), "", XML),
    "palettes": Reader(palette.read, [json.dumps(PALETTE).encode()], (ValidationError,), ".json", JSON),
    "hints": Reader(
        lambda path: hints.read(path, 8, 8, {3: (1, 2, 3)}), [json.dumps(HINTS).encode()], (BatchProcessingError,), ".json", JSON
    ),
    "painted hints": Reader(
        lambda path: hints.read(path, 8, 8, {}), [PAGE, png(8, 8, bytes(8 * 33), colour=6)], (BatchProcessingError,), ".png"
    ),
    "configurations": Reader(configured, [json.dumps(CONFIG).encode()], (ConfigurationError,), ".json", JSON),
    "configurations in TOML": Reader(
        configured, [TOML], (ConfigurationError,), ".toml", (b"[", b"]", b"=", b'"', b"'''", b"#", b".", b"{", b"}", b"\n")
    ),
    "EXIF": Reader(
        lambda path: exif_tags(path.read_bytes(), frozenset({274, 282, 283, 296})), [b"Exif\0\0" + EXIF, EXIF], (), ""
    ),
    "headers": Reader(
        images.probe,
        list(PICTURES.values()),
        (BatchProcessingError,),
        kept=[
            damaged(data)
            for data in PICTURES.values()
            if data[4:8] == b"jP  "
            for damaged in (without_tiles, with_an_endless_box)
        ],
    ),
}  # fmt: skip


def mutations(reader: Reader, chance: random.Random) -> Iterator[bytes]:
    """The examples as they are, then one damage after the other, several at once, or two examples in one."""
    yield from reader.kept
    yield from reader.examples
    while True:
        data = bytearray(chance.choice(reader.examples))
        for _ in range(chance.choice([1, 1, 2, 4, 16])):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(7)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                data[at : at + 1] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
            elif kind == 2:
                del data[at : at + chance.choice([1, 2, 4, 100, 10_000])]
            elif kind == 3 and reader.words:
                data[at:at] = chance.choice(reader.words) * chance.choice([1, 1, 2, 50])
            elif kind == 4:
                data[at:at] = data[at : at + chance.choice([1, 8, 64])] * chance.choice([1, 2, 30])
            elif kind == 5:
                data[at : at + 4] = struct.pack(
                    chance.choice("<>") + "I", chance.choice([0, 1, 2**16, 2**31, 2**32 - 1])
                )
            else:
                other = chance.choice(reader.examples)
                data[at:] = other[chance.randrange(len(other) + 1) :]
        yield bytes(data)


@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")  # what Pillow thinks of a damaged header
@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes_are_read_or_refused(name: str, tmp_path: Path, length: Length, report: Report) -> None:
    reader = READERS[name]
    path = tmp_path / f"given{reader.suffix}"
    until = time.monotonic() + length(6, 600)
    count = refused = 0
    slowest = 0.0
    said: set[str] = set()
    for data in mutations(reader, random.Random(name)):
        path.write_bytes(data)
        began = time.process_time()
        try:
            reader.read(path)
        except reader.errors as error:
            refused += 1
            said.add(str(error)[:40])
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error} by {data[:2000]!r}") from error
        took = time.process_time() - began
        slowest = max(slowest, took)
        assert took < PATIENCE_S, data[:2000]
        count += 1
        if time.monotonic() > until or count == length(CASES, 10**9):
            break
    assert count > len(reader.examples)
    assert "" not in said
    assert [found for found in tmp_path.iterdir() if found not in {path, path.with_suffix(".d")}] == []
    report(f"damaged {name}", f"{count} given, {refused} refused, the slowest took {slowest:.2f} s")
