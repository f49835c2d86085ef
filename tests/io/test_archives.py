"""What a user gets from an archive: its pages, or one sentence and nothing else."""

from __future__ import annotations

import bz2
import io
import logging
import struct
import tempfile
import tracemalloc
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_processing.exceptions import NoArchiveError, ValidationError, ZIPExtractionError
from batch_processing.io import cleanup_temp_directory, extract_zip_file, is_zip_file
from batch_processing.io.archives import Archive, Limits
from batch_processing.io.books.opening import here, opener
from batch_processing.io.books.unpacking import unpack
from batch_processing.io.kinds import LeftOut, Reason
from batch_processing.io.publish import write_zip
from corpus.archives import HOSTILE, LYING, PAGE, Entry, build, deflated_zeros, plain
from shared_data import require_shared

REFUSED = (ZIPExtractionError, ValidationError)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where new temporary folders go, to see what is left of them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def written(folder: Path, data: bytes, name: str = "book.cbz") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with Archive(path) as archive:
        return {member.name: b"".join(archive.stream(member)) for member in archive.members}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused_before_anything_is_written(
    name: str, tmp_path: Path, temporary: Path
) -> None:
    data, sentence = HOSTILE[name]
    path = written(tmp_path, data())
    with pytest.raises(ZIPExtractionError) as error:
        Archive(path)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ZIPExtractionError):
        extract_zip_file(path)
    assert list(temporary.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [path, temporary]


@pytest.mark.parametrize("name", LYING)
def test_lying_archive_is_refused_while_it_is_read(name: str, tmp_path: Path, temporary: Path) -> None:
    data, sentence = LYING[name]
    path = written(tmp_path, data())
    with pytest.raises(ZIPExtractionError) as error:
        extract_zip_file(path)
    assert sentence in str(error.value)
    assert "p.png" in str(error.value)
    assert list(temporary.iterdir()) == []
    target = tmp_path / "given"
    with pytest.raises(ZIPExtractionError):
        extract_zip_file(path, str(target))
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("name", ["ratio", "real bomb", "all members one", "endless directory"])
def test_a_bomb_costs_little_memory(name: str, tmp_path: Path, temporary: Path) -> None:
    path = written(tmp_path, {**HOSTILE, **LYING}[name][0]())
    tracemalloc.start()
    try:
        with pytest.raises(ZIPExtractionError):
            extract_zip_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert list(temporary.iterdir()) == []


def test_a_blank_page_packed_a_thousand_times_smaller_is_welcome(tmp_path: Path) -> None:
    zeros = bytes(64 << 20)
    entry = Entry("blank.png", packed=deflated_zeros(64), size=len(zeros), crc=zlib.crc32(zeros))
    with Archive(written(tmp_path, build(entry))) as archive:
        assert sum(len(part) for part in archive.stream(archive.members[0])) == len(zeros)
    with pytest.raises(ZIPExtractionError, match="200 times"):
        Archive(tmp_path / "book.cbz", Limits(ratio_from=32 << 20))


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = build(Entry("1.png"), Entry("a/2.png", method=0), comment=b"a comment")
    assert contents(written(tmp_path, data)) == {"1.png": PAGE, "a/2.png": PAGE}
    directory = data.index(b"PK\5\6")
    for length in range(len(data) - len(b"a comment")):
        path = written(tmp_path, data[:length])
        with pytest.raises(REFUSED):
            contents(path)
        if length < directory:
            assert not is_zip_file(path)


def test_flipped_bits_are_noticed_or_harmless(tmp_path: Path) -> None:
    """Whatever one wrong bit does, the answer is a refusal or pages with their true bytes."""
    nested = build(Entry("x.png"))
    data = build(Entry("1.png"), Entry("a/2.png", method=0), Entry("n.cbz", nested))
    survived = 0
    for position in range(0, len(data) * 8, 3):  # 3: every byte, and every place in a byte
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        path = written(tmp_path, bytes(flipped))
        try:
            found = contents(path)
        except REFUSED:
            continue
        survived += 1
        assert set(found.values()) <= {PAGE, nested}
        assert all(".." not in name and not name.startswith("/") for name in found)
    assert survived < len(data)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400), head=st.sampled_from([b"", b"PK\3\4", b"PK\5\6"]))
def test_noise_is_never_more_than_a_refusal(
    data: bytes, head: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.getbasetemp(), head + data)
    try:
        contents(path)
    except REFUSED:
        return
    assert is_zip_file(path)


def test_the_book_comes_out_byte_for_byte_in_its_order(tmp_path: Path) -> None:
    book = require_shared("data", "comics", "formats", "book.cbz")
    with zipfile.ZipFile(book) as reference:
        expected = {name: reference.read(name) for name in reference.namelist()}
    with Archive(book) as archive:
        assert [member.name for member in archive.members] == list(expected)
        assert {member.name: member.kind for member in archive.members if not member.is_image} == {
            "ComicInfo.xml": "comic_info",
            "__MACOSX/Chapter 1/._1.png": "junk",
            "Thumbs.db": "junk",
            "notes.txt": "other",
        }
        unpacked = list(unpack(archive, tmp_path / "u", opener(None, here)))
        assert archive.left_out == [
            LeftOut("__MACOSX/Chapter 1/._1.png", Reason.JUNK),
            LeftOut("Thumbs.db", Reason.JUNK),
            LeftOut("notes.txt", Reason.NO_PICTURE),
        ]
    assert [page.name for page in unpacked] == [
        "ComicInfo.xml",
        "Chapter 1/1.png",
        "Chapter 1/2.png",
        "Chapter 1/10.png",
        "Chapter 1/カラー.png",
    ]
    assert {page.name: page.path.read_bytes() for page in unpacked}.items() <= expected.items()
    assert sorted(path.name for path in (tmp_path / "u").iterdir()) == [
        "000001.xml",
        *(f"00000{n}.png" for n in range(2, 6)),
    ]


def test_extract_gives_images_under_their_names(tmp_path: Path, temporary: Path) -> None:
    path = written(tmp_path, plain(b__10_png=b"ten", b__2_png=b"two", notes_txt=b"x"))
    folder, images = extract_zip_file(path)
    assert Path(folder).parent == temporary
    assert [Path(image).relative_to(folder).as_posix() for image in images] == ["b/10.png", "b/2.png"]
    assert [Path(image).read_bytes() for image in images] == [b"ten", b"two"]
    cleanup_temp_directory(folder)
    assert list(temporary.iterdir()) == []
    given_dir = f"{tmp_path}/given/"
    folder, images = extract_zip_file(str(path), given_dir)
    assert folder == given_dir
    assert extract_zip_file(str(path), given_dir) == (folder, images)


def test_extract_does_not_follow_a_link_that_waits_in_the_folder(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "b").symlink_to(outside)
    with pytest.raises(ZIPExtractionError, match="leads outside"):
        extract_zip_file(written(tmp_path, plain(b__p_png=b"x")), str(target))
    assert list(outside.iterdir()) == []


def test_nested_archives_open_one_level_deep(tmp_path: Path, temporary: Path) -> None:
    deep = plain(deep_png=b"deep")
    path = written(
        tmp_path, plain(p1_png=b"1", a__extra_zip=plain(x__p2_png=b"2", deeper_cbz=deep), p3_png=b"3")
    )
    folder, images = extract_zip_file(path)
    assert [Path(image).relative_to(folder).as_posix() for image in images] == [
        "p1.png",
        "a/extra_extracted/x/p2.png",
        "p3.png",
    ]
    with Archive(path) as archive:
        assert [page.name for page in unpack(archive, tmp_path / "u", opener(None, here))] == [
            "p1.png",
            "a/extra_extracted/x/p2.png",
            "p3.png",
        ]
        assert archive.left_out == [LeftOut("a/extra_extracted/deeper.cbz", Reason.BOOK_INSIDE_BOOK)]
    assert len(list((tmp_path / "u").iterdir())) == 3


@pytest.mark.parametrize(
    "bad",
    [b"no zip at all", *(HOSTILE[n][0]() for n in ("parent folder", "ratio")), LYING["wrong checksum"][0]()],
)
def test_a_bad_nested_archive_costs_only_itself(
    bad: bytes, tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, build(Entry("p1.png"), Entry("bad.zip", bad, method=0), Entry("p3.png")))
    with caplog.at_level(logging.WARNING):
        folder, images = extract_zip_file(path)
    assert [Path(image).name for image in images] == ["p1.png", "p3.png"]
    assert "bad.zip" in caplog.text
    assert sorted(found.name for found in Path(folder).rglob("*")) == ["p1.png", "p3.png"]


def test_limits_count_nested_members_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inner = build(*(Entry(f"{n}.png") for n in range(6)))
    path = written(tmp_path, build(Entry("1.cbz", inner), Entry("2.cbz", inner), Entry("last.png")))
    with caplog.at_level(logging.WARNING), Archive(path, Limits(entries=10)) as archive:
        names = [page.name for page in unpack(archive, tmp_path / "u", opener(None, here))]
    assert names == [*(f"1_extracted/{n}.png" for n in range(6)), "last.png"]
    assert "limit of 1" in caplog.text


def test_nested_members_never_collide_with_the_outer_ones(tmp_path: Path, temporary: Path) -> None:
    inner = plain(p_png=b"inner")
    path = written(tmp_path, build(Entry("x.cbz", inner), Entry("X_extracted/p.png", b"outer")))
    folder, images = extract_zip_file(path)
    assert {Path(image).relative_to(folder).as_posix(): Path(image).read_bytes() for image in images} == {
        "x_extracted_1/p.png": b"inner",
        "X_extracted/p.png": b"outer",
    }


def _unicode_path(raw: bytes, name: str) -> bytes:
    field = b"\1" + zlib.crc32(raw).to_bytes(4, "little") + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (Entry("カラー.png"), "カラー.png"),
        (Entry(b"caf\x82.png"), "café.png"),  # cp437, the format's own
        (Entry("カラー.png".encode()), "カラー.png"),  # UTF-8 without saying so: macOS
        (Entry("表紙.png".encode("cp932")), "表紙.png"),  # the second byte of the first letter is a backslash
        (Entry(b"x.png", extra=_unicode_path(b"x.png", "é.png")), "é.png"),  # Info-ZIP
        (Entry(b"x.png", extra=_unicode_path(b"y.png", "é.png")), "x.png"),  # of another name: stale
        (Entry("dir\\page.png"), "dir/page.png"),  # old .NET
        (Entry("./a//b.png"), "a/b.png"),
    ],
)
def test_names_are_read_as_they_were_meant(entry: Entry, name: str, tmp_path: Path) -> None:
    assert contents(written(tmp_path, build(entry))) == {name: PAGE}


def test_odd_but_honest_archives_open(tmp_path: Path) -> None:
    entry = Entry("p.png")
    for data in (
        build(entry, zip64=True),
        build(entry, prefix=b"#!/bin/sh\nexit\n"),
        build(entry, comment=b"x" * 65_535),
        build(entry, between=b"a gap"),
        build(Entry("p.png", method=12, packed=bz2.compress(PAGE))),
        build(entry, Entry("folder/", b"", method=0, mode=0o040755)),
        build(entry, Entry("Icon\r", b"", method=0)),
    ):
        found = contents(written(tmp_path, data))
        assert found.pop("p.png") == PAGE
        assert set(found) <= {"Icon\r"}
    assert contents(written(tmp_path, build())) == {}
    with (
        zipfile.ZipFile(tmp_path / "forced.zip", "w") as archive,
        archive.open("p.png", "w", force_zip64=True) as m,
    ):
        m.write(PAGE)
    assert contents(tmp_path / "forced.zip") == {"p.png": PAGE}


def test_a_page_ending_exactly_at_a_full_buffer_is_whole(tmp_path: Path) -> None:
    for size in (65_535, 65_536, 65_537, 131_072, 200_000):
        for data in (bytes(size), bytes(range(256)) * (size // 256)):
            assert contents(written(tmp_path, plain(p_png=data))) == {"p.png": data}


def test_is_zip_file_goes_by_name_and_content_and_never_raises(tmp_path: Path) -> None:
    zipped = plain(p_png=b"1")
    assert is_zip_file(written(tmp_path, zipped, "book.cbz"))
    assert is_zip_file(str(written(tmp_path, zipped, "BOOK.ZIP")))
    assert not is_zip_file(str(written(tmp_path, zipped, "book.cbr")))
    assert is_zip_file(written(tmp_path, build(), "empty.zip"))
    assert is_zip_file(written(tmp_path, HOSTILE["parent folder"][0](), "hostile.zip"))
    assert is_zip_file(written(tmp_path, HOSTILE["too many"][0](), "many.zip"))
    assert not is_zip_file(written(tmp_path, b"PK\3\4 and then nothing", "cut.zip"))
    assert not is_zip_file(written(tmp_path, b"text", "text.zip"))
    assert not is_zip_file(written(tmp_path, b"", "nothing.zip"))
    assert not is_zip_file(written(tmp_path, bytes(100) + b"PK\5\6" + b"\x01" * 40, "accident.png"))
    assert not is_zip_file(tmp_path)
    assert not is_zip_file(tmp_path / "missing.zip")
    assert not is_zip_file("\0")
    assert not is_zip_file(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "words"),
    [(b"Rar!\x1a\x07\x01\0", "not a ZIP archive"), (b"some text", "not a ZIP archive"), (b"", "is empty")],
)
def test_what_is_no_zip_is_told_so(head: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(NoArchiveError, match=words) as error:
        extract_zip_file(written(tmp_path, head, "book.cbr"))
    assert isinstance(error.value, ValidationError)


def test_missing_archive_and_folder_are_validation_errors(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="does not exist"):
        extract_zip_file(tmp_path / "missing.zip")
    with pytest.raises(ValidationError, match="not a file"):
        extract_zip_file(tmp_path)


def test_cleanup_removes_a_folder_and_refuses_what_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "people" / "ana"
    work = tmp_path / "people" / "work" / "here"
    for folder in (home, work):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    link = tmp_path / "link"
    link.symlink_to(work)
    file = tmp_path / "file"
    file.touch()
    with caplog.at_level(logging.WARNING):
        for refused in ("/", home, work, ".", "", "..", home.parent, link, file):
            caplog.clear()
            cleanup_temp_directory(refused)
            assert len(caplog.records) == 1, refused
        caplog.clear()
        cleanup_temp_directory(tmp_path / "missing")
        assert caplog.records == []
    assert home.is_dir()
    assert work.is_dir()
    assert file.exists()
    victim = tmp_path / "victim" / "deep"
    victim.mkdir(parents=True)
    (victim / "x").touch()
    cleanup_temp_directory(str(victim.parent))
    assert not victim.parent.exists()


NAMES = st.lists(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:"), min_size=1, max_size=20
    ).filter(lambda part: part not in {".", ".."}),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=100, deadline=None)
@given(members=st.dictionaries(NAMES, st.binary(max_size=200), max_size=6))
def test_what_we_write_we_and_everybody_else_can_read(
    members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "roundtrip.zip"
    folded = [unicodedata.normalize("NFC", name.casefold()) for name in members]
    clash = any(a != b and (b == a or b.startswith(f"{a}/")) for a in folded for b in folded)
    if clash or len(set(folded)) < len(folded):  # no file system could hold both
        with pytest.raises(REFUSED, match=r"collides|both be called"):
            (write_zip(path, members.items()), contents(path))
        return
    write_zip(path, members.items())
    found = contents(path)
    assert list(found.items()) == list(members.items())
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(members)
