"""Names, files that appear whole or not at all, and the output archive."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import stat
import subprocess
import sys
import unicodedata
import zipfile
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_processing.exceptions import ResourceError, ValidationError
from batch_processing.io import create_output_path, create_output_zip, handle_filename_collision
from batch_processing.io.comic_info import BookPage, comic_info, is_right_to_left
from batch_processing.io.naming import NameReservation
from batch_processing.io.publish import (
    METADATA_NAME,
    SaveFile,
    fsync_dir,
    hash_file,
    metadata_json,
    part_path,
    publish,
    write_part,
    write_zip,
)

# --- names -----------------------------------------------------------------------------------------------


def test_pages_keep_their_names_and_twins_are_numbered() -> None:
    names = NameReservation()
    wishes = ["a/p1.tif", "a/p1.jpg", "a/P1.png", "b/p1.png", "p1.png", "a/p1_1.png"]
    assert [names.reserve(wish, ".png") for wish in wishes] == [
        "a/p1.png",
        "a/p1_1.png",
        "a/P1_2.png",
        "b/p1.png",
        "p1.png",
        "a/p1_1_1.png",
    ]
    assert names.reserve("a/p1.jpg") == "a/p1.jpg"
    assert NameReservation(["x.png"]).reserve("X.tif", ".png") == "X_1.png"


def test_a_file_and_a_folder_never_share_a_name() -> None:
    names = NameReservation()
    assert names.reserve("x.tif", ".png") == "x.png"
    assert names.reserve("x.png/1.tif", ".png") == "x.png_1/1.png"
    assert names.reserve("X.png/2.tif", ".png") == "x.png_1/2.png"
    assert names.reserve("y.png/1.tif", ".png") == "y.png/1.png"
    assert names.reserve("Y.gif", ".png") == "Y_1.png"


PART = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=150
).filter(lambda part: part not in {".", ".."})


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(PART | st.sampled_from(["a", "A", "é", "e\u0301", "p.png"]), min_size=1, max_size=3),
        max_size=12,
    )
)
def test_reserved_names_are_legal_distinct_and_repeatable(wishes: list[list[str]]) -> None:
    paths = ["/".join(parts) for parts in wishes]
    names, again = NameReservation(), NameReservation()
    given_names = [names.reserve(path, ".png") for path in paths]
    assert given_names == [again.reserve(path, ".png") for path in paths]
    folded = [
        unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()) for name in given_names
    ]
    assert len(set(folded)) == len(folded)
    assert not any(other.startswith(f"{name}/") for name in folded for other in folded)
    for path, name in zip(paths, given_names, strict=True):
        assert name.endswith(".png")
        assert name.count("/") == path.count("/")
        assert all(0 < len(os.fsencode(part)) <= 255 for part in name.split("/"))


def test_output_paths(tmp_path: Path) -> None:
    page = tmp_path / "Page 1.JPG"
    page.touch()
    out = tmp_path / "new" / "folder"
    assert create_output_path(str(page), str(out)) == str(out / "Page 1_colorized.JPG")
    assert out.is_dir()
    assert create_output_path(page, out, suffix="", prefix="x_") == str(out / "x_Page 1.JPG")
    with pytest.raises(ValidationError, match="does not exist"):
        create_output_path(tmp_path / "missing.png", out)
    with pytest.raises(ValidationError, match="not a file"):
        create_output_path(tmp_path, out)
    for bad in ("../x", "a\\b", "a\0b"):
        with pytest.raises(ValidationError, match="separator"):
            create_output_path(page, out, suffix=bad)
        with pytest.raises(ValidationError, match="separator"):
            create_output_path(page, out, prefix=bad)
    longest = tmp_path / ("é" * 125 + ".png")
    longest.touch()
    made = Path(create_output_path(longest, out))
    made.touch()
    assert made.name.endswith("é_colorized.png")


def test_collisions(tmp_path: Path) -> None:
    wanted = tmp_path / "page.png"
    assert handle_filename_collision(str(wanted)) == str(wanted)
    wanted.touch()
    assert handle_filename_collision(str(wanted)) == str(tmp_path / "page_1.png")
    (tmp_path / "page_1.png").symlink_to("nowhere")
    assert handle_filename_collision(wanted) == str(tmp_path / "page_2.png")
    assert handle_filename_collision(str(wanted), overwrite=True) == str(wanted)


# --- publishing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["page.png", "é" * 125 + ".png", "x" * 255])
def test_publishing(name: str, tmp_path: Path) -> None:
    target = tmp_path / "deep" / name
    part = part_path(target, "token0123")
    assert part.parent == target.parent
    assert part.name.startswith(".")
    assert part.name.endswith(".token0123.part")
    assert part != part_path(target, "token4567")
    digest = write_part(part, b"content")
    assert not target.exists()
    publish(part, target)
    fsync_dir(target.parent)
    assert target.read_bytes() == b"content"
    assert digest == hash_file(target) == hashlib.sha256(b"content").hexdigest()
    assert list(target.parent.iterdir()) == [target]
    assert part_path(Path("a.png"), "t").name == ".a.png.t.part"


def test_parts_can_be_written_in_three_ways(tmp_path: Path) -> None:
    def backwards(file: object) -> None:
        file.write(b"--cd")  # type: ignore[attr-defined]
        file.seek(0)  # type: ignore[attr-defined]
        file.write(b"ab")  # type: ignore[attr-defined]

    expected = hashlib.sha256(b"abcd").hexdigest()
    for content in (b"abcd", iter([b"ab", b"cd"]), backwards):
        assert write_part(tmp_path / "x.part", content) == expected


def test_a_failure_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_bytes(b"old")

    def fails() -> object:
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_part(part_path(target, "t"), fails())
    with pytest.raises(TypeError), SaveFile(target) as file:
        file.writelines([b"new", "not bytes"])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"
    with SaveFile(tmp_path / "made" / "x.json") as file:
        file.write(b"new")
    assert [path.read_bytes() for path in (tmp_path / "made").iterdir()] == [b"new"]


def test_a_full_disk_names_the_file_and_the_space(tmp_path: Path) -> None:
    target = tmp_path / "page.png"

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceError) as error:
        write_part(part_path(target, "t"), full)
    assert "page.png" in str(error.value)
    assert "free" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from batch_processing.exceptions import ResourceError
from batch_processing.io.publish import SaveFile, write_part, write_zip
folder = Path(sys.argv[1])
noise = bytes(range(256)) * 8192
for write in (
    lambda part: write_part(part, noise),
    lambda part: write_part(part, iter([noise])),
    lambda part: write_zip(part, [("p.png", noise)]),
):
    try:
        write(folder / ".p.png.t.part")
    except ResourceError as fault:
        print(fault)
print(list(folder.iterdir()))
"""
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            'mount -t tmpfs -o size=64k none "$2" && exec "$0" -c "$1" "$2"',
            sys.executable,
            code,
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"this system does not let us mount: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    assert "2097152 bytes needed" in lines[0]
    assert all(".p.png.t.part" in line and "free" in line for line in lines[:3])
    assert lines[3] == "[]"


# --- archives --------------------------------------------------------------------------------------------


def test_the_archive_is_a_function_of_its_members(tmp_path: Path) -> None:
    page = tmp_path / "p.png"
    page.write_bytes(random.Random(1).randbytes(5000))
    members = [("b/カラー.png", page), ("a.txt", b"text " * 500), (METADATA_NAME, b"{}\n")]
    first = write_zip(tmp_path / "1.zip", members)
    os.utime(page, (0, 0))
    page.chmod(0o600)
    second = write_zip(tmp_path / "2.zip", members)
    assert first == second == hash_file(tmp_path / "1.zip")
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == [name for name, _ in members]
    assert [entry.compress_type for entry in entries] == [
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_DEFLATED,
    ]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {stat.S_IFREG | 0o644}


@pytest.mark.parametrize("name", ["", "/abs.png", "../up.png", "a/../b.png", "a\\b.png", "nul\0.png"])
def test_no_archive_with_a_name_that_leaves_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        write_zip(tmp_path / "x.zip", [(name, b"")])
    assert list(tmp_path.iterdir()) == []


def outputs(folder: Path) -> Path:
    for name in (
        "b/page1.png",
        "a/page10.png",
        "a/page1.png",
        "a/page2.png",
        "_lote/report.png",
        "notes.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_create_output_zip(tmp_path: Path) -> None:
    folder = outputs(tmp_path)
    given_metadata = {"pages": 4}
    made = create_output_zip(str(folder), "book", given_metadata)
    assert made == str(folder / "book.zip")
    assert given_metadata == {"pages": 4}
    with zipfile.ZipFile(made) as archive:
        assert archive.namelist() == [
            "a/page1.png",
            "a/page2.png",
            "a/page10.png",
            "b/page1.png",
            METADATA_NAME,
        ]
        assert archive.read("b/page1.png") == b"b/page1.png"
        metadata = json.loads(archive.read(METADATA_NAME))
    assert set(metadata) == {"pages", "created_at", "cobra_version", "software"}
    assert datetime.fromisoformat(metadata["created_at"]).utcoffset() is not None
    again = create_output_zip(folder, "book.ZIP", preserve_structure=False)
    assert again == str(folder / "book.ZIP")
    with zipfile.ZipFile(again) as archive:
        assert archive.namelist() == ["page1.png", "page2.png", "page10.png", "page1_1.png"]
    assert create_output_zip(folder, "book.zip", {}) == str(folder / "book_1.zip")
    with zipfile.ZipFile(folder / "book_1.zip") as archive:
        assert METADATA_NAME in archive.namelist()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_create_output_zip_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="No images"):
        create_output_zip(tmp_path, "x.zip")
    with pytest.raises(ValidationError, match="does not exist"):
        create_output_zip(tmp_path / "missing", "x.zip")
    outputs(tmp_path)
    for name in ("../x.zip", "a/b.zip", "", ".."):
        with pytest.raises(ValidationError, match="name of an archive"):
            create_output_zip(tmp_path, name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TypeError):
        create_output_zip(tmp_path, "x.zip", {"object": object()})
    assert sorted(tmp_path.rglob("*")) == before


def test_source_date_epoch_decides_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    outputs(tmp_path)
    made = [Path(create_output_zip(tmp_path, f"{n}.zip", {"pages": 4})).read_bytes() for n in range(2)]
    assert made[0] == made[1]
    assert b"1970-01-02T00:00:00+00:00" in zipfile.ZipFile(tmp_path / "0.zip").read(METADATA_NAME)


def test_metadata_is_stable_and_always_valid_json() -> None:
    data = metadata_json({"b": 1, "a": "カ", "name": "x\udc80"})
    assert data == '{\n  "a": "カ",\n  "b": 1,\n  "name": "x\\udc80"\n}\n'.encode()
    assert json.loads(data)["name"] == "x\udc80"


# --- ComicInfo -------------------------------------------------------------------------------------------

BOOK = b"""<?xml version="1.0"?>
<!-- <BlackAndWhite>Yes</BlackAndWhite> -->
<ComicInfo xmlns:xsi="x">
  <Title>A &amp; B</Title>
  <BlackAndWhite>Yes</BlackAndWhite>
  <Pages><Page Image="0" /></Pages>
</ComicInfo>
"""
ORDERED = b"<ComicInfo>\n  <Title>T</Title>\n  <Manga>Yes</Manga>\n  <Pages />\n</ComicInfo>"


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (BOOK, BOOK.replace(b"\n  <BlackAndWhite>Yes", b"\n  <BlackAndWhite>No")),
        (b"<ComicInfo/>", b"<ComicInfo><BlackAndWhite>No</BlackAndWhite></ComicInfo>"),
        (b'<ComicInfo a=">/" />', b'<ComicInfo a=">/" ><BlackAndWhite>No</BlackAndWhite></ComicInfo>'),
        (b"<ComicInfo></ComicInfo>", b"<ComicInfo><BlackAndWhite>No</BlackAndWhite></ComicInfo>"),
        (
            b"<ComicInfo><Title>T</Title></ComicInfo>",
            b"<ComicInfo><Title>T</Title><BlackAndWhite>No</BlackAndWhite></ComicInfo>",
        ),
        (ORDERED, ORDERED.replace(b"<Manga>", b"<BlackAndWhite>No</BlackAndWhite>\n  <Manga>")),
        (
            b"<ComicInfo><BlackAndWhite/></ComicInfo>",
            b"<ComicInfo><BlackAndWhite>No</BlackAndWhite></ComicInfo>",
        ),
        (
            b"<ComicInfo><Notes><![CDATA[<BlackAndWhite>Yes]]></Notes><BlackAndWhite a='>' > Unknown\n</BlackAndWhite ></ComicInfo>",
            b"<ComicInfo><Notes><![CDATA[<BlackAndWhite>Yes]]></Notes><BlackAndWhite>No</BlackAndWhite></ComicInfo>",
        ),
        (
            b"<ComicInfo><X><BlackAndWhite>Yes</BlackAndWhite></X></ComicInfo>",
            b"<ComicInfo><X><BlackAndWhite>Yes</BlackAndWhite></X><BlackAndWhite>No</BlackAndWhite></ComicInfo>",
        ),
    ],
)
def test_comic_info_says_no_and_keeps_everything_else(xml: bytes, expected: bytes) -> None:
    assert comic_info(xml) == expected
    assert comic_info(expected) == expected
    assert ET.fromstring(expected).findtext("BlackAndWhite") == "No"  # noqa: S314


PAGES = b"""<ComicInfo>
  <PageCount>4</PageCount>
  <BlackAndWhite>No</BlackAndWhite>
  <Manga>YesAndRightToLeft</Manga>
  <Pages>
    <Page Image="0" Type="FrontCover" ImageSize="100" ImageWidth="500" ImageHeight="700" />
    <Page Bookmark="a &gt; Image='1'" Image = '1' ImageSize='200'></Page>
    <Page Image="2" DoublePage="true" Key="002.png" /><Page Image="3" Type="Deleted"/>
    <Page Image="9" />
    <Page Image="x" /><Page />
  </Pages>
</ComicInfo>
"""


def test_comic_info_follows_its_pages() -> None:
    pages = [None, BookPage(0, 2345, 510, 710), BookPage(1), None]
    assert (
        comic_info(PAGES, pages, 2)
        == b"""<ComicInfo>
  <PageCount>2</PageCount>
  <BlackAndWhite>No</BlackAndWhite>
  <Manga>YesAndRightToLeft</Manga>
  <Pages>
    <Page Bookmark="a &gt; Image='1'" Image = '0' ImageSize='2345'></Page>
    <Page Image="1" DoublePage="true" Key="002.png" />
    <Page Image="7" />
    <Page Image="x" /><Page />
  </Pages>
</ComicInfo>
"""
    )
    assert comic_info(PAGES, [BookPage(number) for number in range(4)], 4) == PAGES


@given(st.lists(st.booleans(), max_size=12), st.lists(st.integers(0, 14), max_size=12))
def test_every_page_that_stays_is_told_of_under_its_number(kept: list[bool], told: list[int]) -> None:
    text = "".join(f'<Page Image="{number}" Key="{number}"/>' for number in told)
    pages = [BookPage(sum(kept[:at])) if stays else None for at, stays in enumerate(kept)]
    result = comic_info(f"<ComicInfo><Pages>{text}</Pages></ComicInfo>".encode(), pages, sum(kept))
    found = [(page.get("Image"), page.get("Key")) for page in ET.fromstring(result).iter("Page")]  # noqa: S314
    stay = [number for number in told if number >= len(kept) or kept[number]]
    dropped = [at for at, stays in enumerate(kept) if not stays]
    assert found == [(str(number - sum(at < number for at in dropped)), str(number)) for number in stay]


def test_which_way_a_book_is_read() -> None:
    assert is_right_to_left(PAGES)
    assert not is_right_to_left(PAGES.replace(b"YesAndRightToLeft", b"Yes"))
    assert not is_right_to_left(b"<ComicInfo><X><Manga>YesAndRightToLeft</Manga></X></ComicInfo>")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "iso-8859-1"])
def test_comic_info_keeps_its_encoding(encoding: str) -> None:
    declared = {"utf-16-be": "utf-16", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    text = f'<?xml version="1.0" encoding="{declared}"?><ComicInfo><Title>é</Title></ComicInfo>'
    data = (b"\xfe\xff" if encoding == "utf-16-be" else b"") + text.encode(encoding)
    result = ET.fromstring(comic_info(data))  # noqa: S314
    assert result.findtext("Title") == "é"
    assert result.findtext("BlackAndWhite") == "No"


BILLION = (
    b'<!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 20) for n in range(12))
    + b"]><ComicInfo><Title>&m;</Title></ComicInfo>"
)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (BILLION, "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><ComicInfo/>', "document type"),
        (b"<ComicInfo>", "damaged"),
        (b"", "damaged"),
        (b"<ComicInfo>\xff</ComicInfo>", "damaged"),
        (b'<?xml version="1.0" encoding="rot13"?><ComicInfo/>', "damaged"),
        (b'<?xml version="1.0" encoding="nonsense"?><ComicInfo/>', "damaged"),
        (b"<ComicInfo>&undefined;</ComicInfo>", "damaged"),
        (b"<html/>", "no ComicInfo"),
        (b" " * (5 << 20), "limit"),
    ],
)
def test_comic_info_that_is_not_read(xml: bytes, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        comic_info(xml)
