"""Files that somebody names or sends: pipes, endless devices, huge and deep ones. Each costs a sentence, not the
machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Run, environment
from corpus.archives import Entry, build
from pages import book, line_art

# More than the largest of these files needs, and far less than they can ask for.
MEMORY = 3 << 30
PATIENCE_S = 60.0

Kind = Callable[[Path], Path]


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def endless(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def text(content: str) -> Kind:
    def write(path: Path) -> Path:
        path.write_text(content)
        return path

    return write


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(8 << 30)
    return path


COLORS = [{"id": number, "rgb": [1, 2, 3]} for number in range(200_000)]
DEEP = '{"colors": ' + "[" * 900 + "]" * 900 + "}"
BAD: dict[str, Kind] = {
    "a pipe": pipe,
    "/dev/zero": endless,
    "eight gigabytes": sparse,
    "deep": text(DEEP),
    "deeper": text("[" * 1_000_000),
}


def limited(*args: str | Path, tmp_path: Path) -> Run:
    """The command with little memory and little patience."""
    program = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY})); "
        "from batch_processing.ui import cli; sys.argv = ['lote', *sys.argv[1:]]; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *map(str, args)],
        capture_output=True,
        text=True,
        env=environment(tmp_path / "ws"),
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr.replace("\n", " "))


def colorize(source: Path, *args: str | Path, tmp_path: Path, backend: str = "flats") -> Run:
    return limited(
        "colorize",
        source,
        "-o",
        tmp_path / "out",
        "--backend",
        backend,
        "--workers",
        "1",
        *args,
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize("name", [*BAD, "200,000 colours"])
def test_a_bad_palette_is_one_sentence(name: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    make = BAD.get(name) or text(json.dumps({"colors": COLORS}))
    done = colorize(source, "--palette", make(tmp_path / "palette.json"), tmp_path=tmp_path)
    assert done.code == 1, done.err
    assert f"The palette {tmp_path / 'palette.json'}" in done.err
    assert "fault of Lote" not in done.err


def test_too_many_colors_are_counted(tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    (tmp_path / "palette.json").write_text(json.dumps({"colors": COLORS[:5000]}))
    done = colorize(source, "--palette", tmp_path / "palette.json", tmp_path=tmp_path)
    assert done.code == 1
    assert "has 5000 colours, more than the limit of 4096" in done.err


@pytest.mark.parametrize("suffix", [".json", ".toml"])
@pytest.mark.parametrize("name", [*BAD, "a key of a million parts"])
def test_a_bad_configuration_file_is_one_sentence(name: str, suffix: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    make = BAD.get(name) or text("a" + ".a" * 500_000 + " = 1")
    file = make(tmp_path / f"book{suffix}")
    began = time.monotonic()
    done = colorize(source, "--config", file, tmp_path=tmp_path)
    assert done.code == 2, done.err
    assert str(file) in done.err
    assert "fault of Lote" not in done.err
    assert time.monotonic() - began < PATIENCE_S / 2


@pytest.mark.parametrize("suffix", [".json", ".png"])
@pytest.mark.parametrize("name", BAD)
def test_bad_hints_cost_their_page_only(name: str, suffix: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 2)
    BAD[name](source / f"1.hints{suffix}")
    done = colorize(source, tmp_path=tmp_path)
    assert done.code == 3, done.err
    assert "1.png" in done.err
    assert "hints" in done.err
    assert "unexpected" not in done.err
    assert (tmp_path / "out" / "2.png").is_file()
    assert (tmp_path / "out" / "1.png").read_bytes() == (source / "1.png").read_bytes()


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        ({"points": [{"x": 1, "y": 1, "color": "#ff0000"}] * 10_001}, "limit of 10000"),
        ({"strokes": [{"points": [[1, 1]] * 10_001, "color": "#ff0000"}]}, "at most 10000"),
        ({"points": [{"x": 10**400, "y": 1, "color": "#ff0000"}]}, "entry 1"),
        (
            {"points": [{"x": 1, "y": 1, "color": [n % 256, n // 256, 7]} for n in range(1_001)]},
            "limit of 1000 colours",
        ),
    ],
)
def test_hints_have_a_measure(hints: object, words: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    (source / "1.hints.json").write_text(json.dumps(hints))
    done = colorize(source, tmp_path=tmp_path)
    assert done.code == 1
    assert words in done.err


@pytest.mark.parametrize("name", ["a pipe", "/dev/zero", "eight gigabytes"])
def test_a_bad_comic_info_is_left_out(name: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    BAD[name](source / "ComicInfo.xml")
    done = colorize(source, tmp_path=tmp_path, backend="noop")
    assert done.code == 0, done.err
    assert not (tmp_path / "out" / "ComicInfo.xml").exists()


@pytest.mark.parametrize(
    "xml",
    [
        "<ComicInfo>" + "<a/>" * 1_000_000 + "</ComicInfo>",
        "<ComicInfo>" + "<BlackAndWhite>Yes</BlackAndWhite>" * 90_000 + "</ComicInfo>",
        "<a>" * 200_000,
        '<?xml version="1.0" encoding="punycode"?>' + "a" * 4_000_000,
        '<ComicInfo a="' + "b" * 4_000_000 + '"/>',
    ],
    ids=["empty elements", "black and white", "deep", "punycode", "one attribute"],
)
def test_comic_info_takes_no_time(xml: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    (source / "ComicInfo.xml").write_text(xml)
    began = time.monotonic()
    done = colorize(source, tmp_path=tmp_path, backend="noop")
    assert done.code == 0, done.err
    assert time.monotonic() - began < PATIENCE_S / 2


def test_a_comic_info_that_inflates_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    line_art(tmp_path / "p.png", 1)
    archive = tmp_path / "book.cbz"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(tmp_path / "p.png", "p.png")
        with file.open("ComicInfo.xml", "w") as member:
            for _ in range(400):
                member.write(bytes(1 << 20))
    assert archive.stat().st_size < 1_000_000
    done = colorize(archive, "--as-lineart", "*", tmp_path=tmp_path, backend="noop")
    assert done.code == 0, done.err
    assert "ComicInfo.xml" in done.err
    assert not (tmp_path / "out" / "ComicInfo.xml").exists()
    assert "ComicInfo.xml" in (tmp_path / "out" / "_lote" / "processing_metadata.json").read_text()


def test_hints_of_an_archive_have_a_measure_too(tmp_path: Path) -> None:
    page = line_art(tmp_path / "p.png", 1).read_bytes()
    archive = tmp_path / "book.cbz"
    archive.write_bytes(
        build(Entry("p.png", page), Entry("p.hints.json", b'{"points": [' + b" " * 5_000_000))
    )
    done = colorize(archive, "--as-lineart", "*", tmp_path=tmp_path)
    assert done.code == 1, done.err
    assert "hints" in done.err


@pytest.mark.parametrize("name", ["a pipe", "/dev/zero"])
def test_a_page_that_is_no_file_fails_by_itself(name: str, tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    BAD[name](source / "9.png")
    done = colorize(source, "--as-lineart", "9.png", tmp_path=tmp_path, backend="noop")
    assert done.code in (0, 3), done.err  # a scan leaves out what is no file
    assert (tmp_path / "out" / "1.png").is_file()
