"""What a person gets from a book of any kind: its pages in order, byte for byte, or one sentence."""

from __future__ import annotations

import io
import lzma
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch_processing.exceptions import BatchProcessingError, NoArchiveError, ZIPExtractionError
from batch_processing.io import create_output_zip
from batch_processing.io.archives import Archive, Limits
from batch_processing.io.books.contract import Unpacked
from batch_processing.io.books.isolated import Entry as IsolatedEntry
from batch_processing.io.books.opening import here, open_book, opener
from batch_processing.io.books.stored import StoredBook
from batch_processing.io.books.unpacking import unpack
from batch_processing.io.images import decode
from batch_processing.io.kinds import FileKind, LeftOut, Reason
from batch_processing.io.name_encoding import archive_names, is_unicode
from corpus.archives import Entry, build
from corpus.books import epub, pdf, picture, rar4, rar5, seven_zip, showing, tar
from corpus.images import png

PAGES = [png(8, 8, bytes([number]) * 72) for number in range(4)]
MEMBERS = {
    "b/2.png": PAGES[0],
    "b/10.png": PAGES[1],
    "notes.txt": b"x" * 300,
    "ComicInfo.xml": b"<ComicInfo/>",
    "cover": PAGES[2],
}
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
KINDS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "tar": tar,
    "tar.gz": lambda members: tar(members, "w:gz"),
    "tar.bz2": lambda members: tar(members, "w:bz2"),
    "tar.xz": lambda members: tar(members, "w:xz"),
    "7z": seven_zip,
    "7z, stored": lambda members: seven_zip(members, "compression=store"),
    "rar4": rar4,
    "rar5": rar5,
    "zip": lambda members: build(*(Entry(name, data) for name, data in members.items())),
}
ONE = "q 144 0 0 216 0 0 cm /I Do Q"


class Read:
    """A book unpacked in a folder."""

    def __init__(
        self, folder: Path, data: bytes, limits: Limits | None = None, name_encoding: str | None = None
    ) -> None:
        path = folder / "book"
        path.write_bytes(data)
        with open_book(path, limits, folder=folder / "in", name_encoding=name_encoding, run=here) as book:
            self.all: list[Unpacked] = list(unpack(book, folder / "out", opener(name_encoding, here)))
            self.left_out = [one for one in book.left_out if one.reason != Reason.JUNK]
            self.notes = list(map(str, book.notes))
        self.pages = {one.name: one for one in self.all if one.kind == FileKind.IMAGE}

    @property
    def whole(self) -> dict[str, bytes]:
        assert not [page.name for page in self.pages.values() if page.fault]
        return {name: page.path.read_bytes() for name, page in self.pages.items()}

    @property
    def faults(self) -> dict[str, str]:
        return {name: str(page.fault) for name, page in self.pages.items() if page.fault}


@pytest.mark.parametrize("kind", KINDS)
def test_a_book_of_any_kind_gives_its_pages(kind: str, tmp_path: Path) -> None:
    book = Read(tmp_path, KINDS[kind](MEMBERS))
    assert book.whole == {"b/2.png": PAGES[0], "b/10.png": PAGES[1], "cover": PAGES[2]}
    assert [one.path.read_bytes() for one in book.all if one.kind == FileKind.COMIC_INFO] == [b"<ComicInfo/>"]
    assert book.left_out == [LeftOut("notes.txt", Reason.NO_PICTURE)]
    assert {path.parent for path in (one.path for one in book.all)} == {tmp_path / "out"}


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "zip"])
def test_a_book_that_leaves_its_folder_is_refused(kind: str, tmp_path: Path) -> None:
    for name in ("../evil.png", "a/../../evil.png", "..\\evil.png"):
        with pytest.raises(ZIPExtractionError, match="leaves the folder"):
            Read(tmp_path, KINDS[kind]({name: PAGES[0]}))
    assert not list(tmp_path.parent.glob("evil*"))


@pytest.mark.parametrize("kind", [name for name in KINDS if not name.startswith("zip")])
def test_too_many_members_and_too_many_bytes_are_refused(kind: str, tmp_path: Path) -> None:
    members = {f"{number}.png": PAGES[0] for number in range(11)}
    with pytest.raises(ZIPExtractionError, match="limit of 10"):
        Read(tmp_path, KINDS[kind](members), Limits(entries=10))
    with pytest.raises(ZIPExtractionError, match="GiB"):
        Read(tmp_path, KINDS[kind]({"0.png": bytes(3 << 20)}), Limits(total=1 << 20))


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_bomb_in_a_tar_is_refused_before_it_is_unpacked(mode: str, tmp_path: Path) -> None:
    for name in ("0.png", "notes.txt"):  # what is passed over costs as much as what is taken
        with pytest.raises(ZIPExtractionError, match="200 times"):
            Read(tmp_path, tar({name: bytes(64 << 20)}, mode), Limits(ratio_from=4 << 20))
    stored = list(tmp_path.rglob("*.member"))
    assert sum(path.stat().st_size for path in stored) < 20 << 20


@pytest.mark.parametrize(
    "change",
    [
        {"type": b"2", "linkname": "/etc/passwd"},
        {"type": b"1", "linkname": "other.png"},
        {"type": b"3"},
        {"type": b"6"},
        {"type": b"S"},
    ],
)
def test_links_and_devices_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ZIPExtractionError, match=r"link or a device|sparse"):
        Read(tmp_path, tar({"a.png": b""}, **change))


def test_a_header_as_long_as_the_memory_is_refused(tmp_path: Path) -> None:
    data = bytearray(tar({"a.png": b""}, type=b"x"))
    data[124:136] = b"77777777777\0"
    checksum = sum(data[:148]) + 8 * 0x20 + sum(data[156:512])
    data[148:156] = b"%06o\0 " % checksum
    with pytest.raises(ZIPExtractionError, match="too long"):
        Read(tmp_path, bytes(data))


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_that_broke_off_gives_what_is_there(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(40_000)
    data = KINDS[kind]({"1.png": noise, "2.png": noise[::-1], "3.png": noise})
    book = Read(tmp_path, data[: len(data) // 2])
    assert book.pages["1.png"].path.read_bytes() == noise
    assert list(book.faults) == ["2.png"]
    assert noise[::-1].startswith(book.pages["2.png"].path.read_bytes())


def test_a_rar_that_broke_off_gives_what_is_there(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(40_000)
    for make in (rar4, rar5):
        data = make({"1.png": noise, "2.png": noise[::-1], "3.png": noise})
        book = Read(tmp_path, data[: len(data) // 2])
        assert book.pages["1.png"].path.read_bytes() == noise
        assert list(book.faults) == ["2.png"]


def test_what_stands_behind_damage_in_a_solid_archive_is_named(tmp_path: Path) -> None:
    members = {f"{number:02}.png": np.random.default_rng(number).bytes(40_000) for number in range(50)}
    data = bytearray(seven_zip(members))
    data[1_000_000] ^= 0x55
    book = Read(tmp_path, bytes(data))
    assert list(book.pages) == list(members)
    assert {name for name in members if name not in book.faults} >= {
        f"{number:02}.png" for number in range(15)
    }
    assert "49.png" in book.faults


def test_a_tar_with_a_damaged_header_is_no_shorter_book(tmp_path: Path) -> None:
    """Python's reader takes it for the end of the archive."""
    data = bytearray(tar(MEMBERS))
    data[1024 + 148] ^= 1
    with pytest.raises(ZIPExtractionError, match="unreadable"):
        Read(tmp_path, bytes(data))


def test_one_damaged_member_costs_itself_only(tmp_path: Path) -> None:
    for kind in ("zip", "7z, stored"):
        data = bytearray(KINDS[kind]({**MEMBERS, "b/11.png": PAGES[3]}))
        packed = zlib.compress(PAGES[1], 9)
        at = data.find(PAGES[1]) if kind == "7z, stored" else data.find(b"b/10.png") + len("b/10.png")
        assert packed
        assert at > 0
        data[at + 20] ^= 0x55
        book = Read(tmp_path, bytes(data))
        assert list(book.faults) == ["b/10.png"]
        assert "damaged" in book.faults["b/10.png"] or "cut off" in book.faults["b/10.png"]
        assert {name for name in book.pages if name not in book.faults} == {"b/2.png", "b/11.png", "cover"}


class TestZip:
    def test_the_directory_is_believed(self, tmp_path: Path) -> None:
        data = build(
            Entry("vol/1.png", PAGES[0], local_name=b"vol\\1.png"), Entry("é.png", local_name=b"\x82.png")
        )
        assert Read(tmp_path, data).whole["vol/1.png"] == PAGES[0]

    @pytest.mark.parametrize(
        "names", [("ComicInfo.xml", "ComicInfo.xml"), ("comicinfo.xml", "ComicInfo.xml")]
    )
    def test_the_last_comic_info_counts(self, names: tuple[str, str], tmp_path: Path) -> None:
        data = build(
            *(Entry(name, name.encode() + b"%d" % at) for at, name in enumerate(names)), Entry("1.png")
        )
        book = Read(tmp_path, data)
        infos = [one for one in book.all if one.kind == FileKind.COMIC_INFO]
        assert [one.path.read_bytes() for one in infos] == [b"ComicInfo.xml1"]
        assert any("2 times" in note for note in book.notes)

    @pytest.mark.parametrize("name", ["/1.jpg", "C:\\x\\1.jpg", "\\\\host\\1.jpg", "c:1.jpg", "//a//1.jpg"])
    def test_what_makes_a_name_absolute_is_stripped_with_a_note(self, name: str, tmp_path: Path) -> None:
        book = Read(tmp_path, build(Entry(name, PAGES[0]), Entry("2.jpg", PAGES[1])))
        (first, second) = book.whole
        assert first == {
            "C:\\x\\1.jpg": "x/1.jpg",
            "\\\\host\\1.jpg": "host/1.jpg",
            "//a//1.jpg": "a/1.jpg",
        }.get(name, "1.jpg")
        assert second == "2.jpg"
        assert any("absolute" in note for note in book.notes)

    def test_colliding_pages_are_numbered(self, tmp_path: Path) -> None:
        data = build(
            Entry("p.png", PAGES[0]),
            Entry("P.png", PAGES[1]),
            Entry("p.png", PAGES[2]),
            Entry("ch1", b"a text"),
            Entry("ch1/1.png", PAGES[3]),
        )
        book = Read(tmp_path, data)
        assert book.whole == {
            "p.png": PAGES[0],
            "P_1.png": PAGES[1],
            "p_2.png": PAGES[2],
            "ch1/1.png": PAGES[3],
        }
        assert any("twice" in note for note in book.notes)
        assert book.left_out == [LeftOut("ch1", Reason.NO_PICTURE)]

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (Entry("info.txt", flags=1), Reason.ENCRYPTED),
            (Entry("info.txt", method=99), Reason.ENCRYPTED),
            (Entry("info.txt", method=1), Reason.COMPRESSION),
            (Entry("info.txt", crc=1), Reason.NO_PICTURE),
            (Entry("info.txt", packed=b"\xff" * 40), Reason.DAMAGED),
        ],
    )
    def test_what_is_not_needed_may_be_unreadable(self, entry: Entry, reason: Reason, tmp_path: Path) -> None:
        book = Read(tmp_path, build(Entry("1.png", PAGES[0]), entry))
        assert book.whole == {"1.png": PAGES[0]}
        assert [one.name for one in book.left_out] == ["info.txt"]
        assert book.left_out[0].reason in {reason, Reason.DAMAGED}

    def test_an_encrypted_page_fails_by_itself(self, tmp_path: Path) -> None:
        book = Read(tmp_path, build(Entry("1.png", PAGES[0]), Entry("2.png", flags=1)))
        assert list(book.faults) == ["2.png"]
        assert "encrypted" in book.faults["2.png"]
        with pytest.raises(ZIPExtractionError, match="encrypted"):
            Read(tmp_path, build(Entry("1.png", flags=1), Entry("2.png", flags=1)))

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
    def test_pages_packed_by_what_python_knows(self, method: int, tmp_path: Path) -> None:
        target = io.BytesIO()
        noise = np.random.default_rng(2).integers(0, 9, 300_000, np.uint8).tobytes()
        with zipfile.ZipFile(target, "w", method) as file:
            file.writestr("1.png", noise)
            file.writestr("2.png", b"")
        assert Read(tmp_path, target.getvalue()).whole == {"1.png": noise, "2.png": b""}

    def test_pages_packed_by_xz_zstandard_and_deflate64(self, tmp_path: Path) -> None:
        import inflate64

        try:
            from compression import zstd
        except ImportError:
            from backports import zstd
        noise = np.random.default_rng(2).integers(0, 9, 300_000, np.uint8).tobytes()
        deflate = inflate64.Deflater()
        packed = {
            95: lzma.compress(noise),
            93: zstd.compress(noise),
            9: deflate.deflate(noise) + deflate.flush(),
        }
        entries = [Entry(f"{way}.png", noise, method=way, packed=data) for way, data in packed.items()]
        assert Read(tmp_path, build(*entries)).whole == {f"{way}.png": noise for way in packed}

    @pytest.mark.parametrize("method", [9, 14, 93, 95, 12])
    def test_damage_in_any_packing_costs_its_page(self, method: int, tmp_path: Path) -> None:
        chance = np.random.default_rng(method)
        for _ in range(40):
            bad = Entry("1.png", method=method, packed=chance.bytes(200))
            assert list(Read(tmp_path, build(bad, Entry("2.png", PAGES[0]))).faults) == ["1.png"]


NAMES = [
    ("cp932", ["ソードの表紙.png", "第１話 能登 001.png"]),
    ("cp932", ["第01話/表.png", "第01話/頁1.png"]),
    ("cp932", ["第01巻/000 表紙.png", "第01巻/001.png"]),
    ("cp932", ["鬼滅の刃 第1巻/001.jpg"]),
    ("gbk", ["封面.png", "第1话 01.png"]),
    ("gbk", ["海贼王 第900话/001.jpg"]),
    ("big5", ["第1話/封面.png", "第1話/頁1.png"]),
    ("euc-kr", ["표지.png", "1화 01.png"]),
    ("euc-kr", ["원피스 1권/표지.jpg"]),
    ("cp437", ["Mädchen/Straße 1.png"]),
    ("cp850", ["Capítulo São Paulo/ção.png"]),
    ("cp1252", ["Été/couverture.png", "Été/p1.png"]),
    ("cp866", ["Глава 1/стр 01.png"]),
    ("cp1251", ["Глава 1/стр 01.png", "Том 2.png"]),
    ("utf-8", ["カラー.png", "café.png"]),
]


class TestNames:
    @pytest.mark.parametrize(("encoding", "names"), NAMES)
    def test_one_code_page_reads_all_names(self, encoding: str, names: list[str], tmp_path: Path) -> None:
        entries = [Entry(name.encode(encoding), PAGES[0]) for name in names]
        book = Read(tmp_path, build(*entries, Entry("ComicInfo.xml", b"<ComicInfo/>")))
        assert list(book.whole) == names
        assert bool(book.notes) == (encoding != "utf-8")
        plain = Read(tmp_path, tar({}) if not names else _tar_of([name.encode(encoding) for name in names]))
        assert list(plain.whole) == names

    def test_declared_names_stay_as_they_are(self, tmp_path: Path) -> None:
        book = Read(
            tmp_path, build(Entry("第1话.png", PAGES[0]), Entry("表紙.png".encode("cp932"), PAGES[1]))
        )
        assert list(book.whole) == ["第1话.png", "表紙.png"]

    def test_a_person_knows_better(self, tmp_path: Path) -> None:
        data = build(Entry(bytes([0xDC, 0xDD, 0xCB]) + b".png", PAGES[0]))
        assert list(Read(tmp_path, data, name_encoding="cp1251").whole) == ["ЬЭЛ.png"]
        assert list(Read(tmp_path, data, name_encoding="cp932").whole) == ["\uff9c\uff9d\uff8b.png"]
        book = Read(tmp_path, data, name_encoding="utf-8")
        assert list(book.whole) == ["%DC%DD%CB.png"]
        assert book.notes == []


def _tar_of(names: list[bytes]) -> bytes:
    return tar({name.decode("utf-8", "surrogateescape"): PAGES[0] for name in names})


class TestEpub:
    def test_pages_come_in_the_order_of_the_spine(self, tmp_path: Path) -> None:
        data = epub(
            {
                "z.xhtml": showing("img/z.png"),
                "a.xhtml": showing("../OEBPS/img/b%20b.png", "img/a.png", "img/z.png"),
                "text.xhtml": showing(),
                "c.svg": b'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="img/c.png"/></svg>',
            },
            {
                "img/a.png": PAGES[0],
                "img/b b.png": PAGES[1],
                "img/z.png": PAGES[2],
                "img/c.png": PAGES[3],
                "logo.png": PAGES[0],
            },
        )
        book = Read(tmp_path, data)
        assert list(book.whole.values()) == [PAGES[2], PAGES[1], PAGES[0], PAGES[3]]
        assert list(book.pages) == ["1_z.png", "2_b b.png", "3_a.png", "4_c.png"]
        assert book.left_out == [
            LeftOut("OEBPS/text.xhtml", Reason.NO_PICTURE),
            LeftOut("OEBPS/logo.png", Reason.NOT_SHOWN),
        ]

    def test_names_that_tell_the_order_stay(self, tmp_path: Path) -> None:
        data = epub(
            {"1.xhtml": showing("1.png"), "2.xhtml": showing("10.png")},
            {"1.png": PAGES[0], "10.png": PAGES[1]},
        )
        assert list(Read(tmp_path, data).pages) == ["OEBPS/1.png", "OEBPS/10.png"]

    def test_without_a_spine_it_is_a_zip(self, tmp_path: Path) -> None:
        data = build(
            Entry("META-INF/container.xml", b"<container"), Entry("1.png", PAGES[0]), Entry("2.png", PAGES[1])
        )
        book = Read(tmp_path, data)
        assert list(book.whole) == ["1.png", "2.png"]
        assert any("spine" in note for note in book.notes)

    def test_pictures_that_a_shop_encrypted_fail(self, tmp_path: Path) -> None:
        secret = b'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:CipherReference URI="OEBPS/1.png"/></encryption>'
        spine = {"1.xhtml": showing("1.png", "2.png")}
        book = Read(tmp_path, epub(spine, {"1.png": PAGES[0], "2.png": PAGES[1]}, encryption=secret))
        assert list(book.faults) == ["OEBPS/1.png"]

    def test_entities_are_not_expanded(self, tmp_path: Path) -> None:
        bomb = b'<!DOCTYPE a [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><html><img src="1.png"/>&c;</html>'
        data = epub({"1.xhtml": bomb, "2.xhtml": showing("2.png")}, {"1.png": PAGES[0], "2.png": PAGES[1]})
        book = Read(tmp_path, data)
        assert list(book.whole.values()) == [PAGES[1]]
        assert LeftOut("OEBPS/1.png", Reason.NOT_SHOWN) in book.left_out


def noise(mode: str, size: tuple[int, int] = (200, 300)) -> Image.Image:
    small = [Image.fromarray(np.random.default_rng(n).integers(0, 255, (30, 20), np.uint8)) for n in range(3)]
    return Image.merge("RGB", [one.resize(size, Image.Resampling.BICUBIC) for one in small]).convert(mode)


class TestPdf:
    def test_a_page_that_is_a_jpeg_gives_it_byte_for_byte(self, tmp_path: Path) -> None:
        for mode in ("L", "RGB"):
            stored = picture(noise(mode), jpeg=True)
            (name, data) = next(iter(Read(tmp_path, pdf((ONE, {"I": stored}))).whole.items()))
            assert name == "1.jpg"
            assert data in stored

    def test_a_page_that_is_any_other_picture_gives_its_pixels(self, tmp_path: Path) -> None:
        for mode in ("1", "L", "RGB"):
            image = noise(mode)
            hidden = "BT /F 9 Tf 3 Tr 10 10 Td (what was read) Tj ET"
            book = Read(tmp_path, pdf((f"{ONE} {hidden}", {"I": picture(image)})))
            assert np.array_equal(decode(book.pages["1.png"].path).rgb, np.asarray(image.convert("RGB")))
            assert decode(book.pages["1.png"].path).dpi == pytest.approx((100, 100), abs=0.1)

    @pytest.mark.parametrize(
        ("content", "more"),
        [
            (f"{ONE} BT /F 40 Tf 10 100 Td (Hello) Tj ET", ""),
            (f"{ONE} 0 0 100 100 re f", ""),
            (ONE, "/Decode[1 0]"),
            ("q 0 144 -216 0 144 0 cm /I Do Q", ""),
            ("q 144 0 0 -216 0 216 cm /I Do Q", ""),
            (f"{ONE} q 20 0 0 20 5 5 cm /I Do Q", ""),
        ],
    )
    def test_what_is_more_than_a_picture_is_drawn_at_its_resolution(
        self, content: str, more: str, tmp_path: Path
    ) -> None:
        data = pdf((content, {"I": picture(noise("L"), jpeg=True, more=more)}))
        drawn = decode(Read(tmp_path, data).pages["1.png"].path)
        largest = max(drawn.rgb.shape[:2])
        assert 299 <= largest <= 460
        assert drawn.dpi is not None
        plain = decode(
            next(iter(Read(tmp_path, pdf((ONE, {"I": picture(noise("L"), jpeg=True)}))).pages.values())).path
        )
        small = [np.asarray(Image.fromarray(one.rgb).resize((20, 30)), np.int16) for one in (drawn, plain)]
        assert np.abs(small[0] - small[1]).max() > 30

    def test_a_page_without_a_picture_has_300_dpi(self, tmp_path: Path) -> None:
        data = pdf(("BT /F 40 Tf 10 100 Td (Hello) Tj ET", {}), ("", {}))
        book = Read(tmp_path, data)
        assert list(book.pages) == ["1.png", "2.png"]
        drawn = decode(book.pages["1.png"].path)
        assert drawn.rgb.shape == (900, 600, 3)
        assert drawn.gray
        assert drawn.rgb.min() < 50

    def test_a_page_is_never_larger_than_a_picture_may_be(self, tmp_path: Path) -> None:
        tiny = "q 0.5 0 0 0.5 0 0 cm /I Do Q"
        data = pdf((tiny, {"I": picture(noise("L"))}), box=(144, 216))
        drawn = decode(Read(tmp_path, data).pages["1.png"].path)
        assert max(drawn.rgb.shape) <= 216 / 72 * 1200 + 1

    def test_an_encrypted_one_is_one_sentence(self, tmp_path: Path) -> None:
        data = pdf((ONE, {"I": picture(noise("L"))}))
        locked = data.replace(
            b"/Root 1 0 R>>\nstartxref",
            b"/Root 1 0 R/Encrypt<</Filter/Standard/V 1/R 2/P -44/O<"
            + b"41" * 32
            + b">/U<"
            + b"42" * 32
            + b">>>/ID[<41><41>]>>\nstartxref",
        )
        with pytest.raises(ZIPExtractionError, match="encrypted"):
            Read(tmp_path, locked)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"just a text", "no archive"),
        (bytes(100_000), "no archive"),
        (b"\x1f\x8b\x08 not a gzip", "no archive"),
        (b"%PDF-1.7 and nothing", "damaged"),
        (SEVEN_ZIP + b"\0\4" + b"\xff" * 40, "damaged"),
        (b"Rar!\x1a\x07\x00rest", "damaged"),
        (b"Rar!\x1a\x07\x01\x00", "damaged"),
        (b"PK\3\4 and nothing", "damaged"),
    ],
)
def test_what_is_no_book_is_one_sentence_and_ends_with_12(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(BatchProcessingError, match=words) as error:
        Read(tmp_path, data)
    assert error.value.exit_code == 12
    assert "\n" not in str(error.value)


def test_the_kind_of_a_book_follows_from_its_content(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(rar5(MEMBERS))
    with open_book(path, folder=tmp_path / "in", run=here) as book:
        assert [member.name for member in book.members if member.is_image] == ["b/2.png", "b/10.png", "cover"]


def test_books_inside_of_books_are_read_one_level_deep(tmp_path: Path) -> None:
    inner = rar4({"1.png": PAGES[0], "deeper.cbt": tar(MEMBERS)})
    book = Read(
        tmp_path, tar({"a/x.cbr": inner, "b.zip": build(Entry("2.png", PAGES[1])), "c.pdf": b"%PDF-1.7"})
    )
    assert book.whole == {"a/x_extracted/1.png": PAGES[0], "b_extracted/2.png": PAGES[1]}
    assert set(book.left_out) == {
        LeftOut("a/x_extracted/deeper.cbt", Reason.BOOK_INSIDE_BOOK),
        LeftOut("c.pdf", Reason.BOOK_INSIDE_BOOK),
    }


def test_rar_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for package, data in (
        ("libarchive", rar4(MEMBERS)),
        ("libarchive", seven_zip(MEMBERS)),
        ("pypdfium2", pdf((ONE, {}))),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(NoArchiveError, match=r"pip install '\.\[archives\]' in Lote's folder") as error:
            Read(tmp_path, data)
        assert error.value.exit_code == 12


def test_zip64_and_unicode_path_names_still_count(tmp_path: Path) -> None:
    raw = b"x.png"
    field = b"\1" + zlib.crc32(raw).to_bytes(4, "little") + "é.png".encode()
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    (tmp_path / "b.zip").write_bytes(build(Entry(raw, PAGES[0], extra=extra), zip64=True))
    with Archive(tmp_path / "b.zip") as archive:
        assert [member.name for member in archive.members] == ["é.png"]


def test_ten_thousand_members_of_one_name_are_numbered_soon(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(build(*(Entry("p.png", b"") for _ in range(9_999))))
    began = time.process_time()
    with Archive(path) as archive:
        assert archive.members[-1].name == "p_9998.png"
    assert time.process_time() - began < 20


def test_halves_of_letters_are_no_names(tmp_path: Path) -> None:
    """7z has names in UTF-16, whole or not."""
    entries = [
        IsolatedEntry("a\ud800.png", FileKind.IMAGE, 1, "1.member"),
        IsolatedEntry("b.png", FileKind.IMAGE, 1, "2.member"),
    ]
    book = StoredBook(tmp_path / "b.7z", Limits(), tmp_path, entries, None)
    assert [member.name for member in book.members] == ["a\ufffd.png", "b.png"]


def test_what_a_worker_says_is_not_believed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    entries = [
        IsolatedEntry("1.png", FileKind.IMAGE, 6, "../secret"),
        IsolatedEntry("2.png", FileKind.IMAGE, 6, str(secret)),
    ]
    book = StoredBook(tmp_path / "b.7z", Limits(), tmp_path / "in", entries, None)
    assert all(member.file is not None and member.file.parent == tmp_path / "in" for member in book.members)
    with pytest.raises(ZIPExtractionError, match="leaves the folder"):
        StoredBook(tmp_path / "b", Limits(), tmp_path, [IsolatedEntry("../a.png", FileKind.IMAGE)], None)


ODD = st.lists(
    st.binary(min_size=1, max_size=12).map(os.fsdecode).filter(lambda name: "\0" not in name), max_size=8
)


@given(names=ODD)
def test_names_for_an_archive_are_unicode_and_each_its_own(names: list[str]) -> None:
    renamed = archive_names(names)
    found = [renamed.get(name, name) for name in dict.fromkeys(names)]
    assert all(is_unicode(name) and "\\" not in name for name in found)
    assert len(set(found)) == len(found)
    assert all(name not in renamed for name in names if is_unicode(name) and "\\" not in name)
    assert archive_names(names) == renamed


def test_an_archive_of_a_folder_with_names_of_another_code_page(tmp_path: Path) -> None:
    for text in ("表紙", "頁01"):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + text.encode("cp932") + b".png")).write_bytes(PAGES[0])
    with zipfile.ZipFile(create_output_zip(tmp_path, "out")) as file:
        assert set(file.namelist()) == {"表紙.png", "頁01.png"}
