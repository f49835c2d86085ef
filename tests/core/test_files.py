"""Files that work names: all of them are found, wherever they stand, and each is exchanged for what a pool says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from batch_processing.backends.base import PageSettings, PaletteColor
from batch_processing.comics.documents import DocumentPart
from batch_processing.comics.model import Reference
from batch_processing.comics.tasks import Color, Learn, Painting, PaletteIds
from batch_processing.core.files import ROOT, WRITTEN, File, Use, relocated, retold
from batch_processing.messages import Message
from batch_processing.photos.people.models import FaceModel, Network
from batch_processing.photos.pixels.looking import LookAt


def painting() -> Painting:
    ids = PaletteIds([PaletteColor(1, (1, 2, 3))], False, "/cache/first.bin", None)
    return Painting(
        "/in/1.png", "1.png", "flats", "/cache/a.bin", PageSettings(), None, "/s.zip", "ab", ids, "/e.json"
    )


def color() -> Color:
    documents = [DocumentPart("psd", "/docs/layers/.1.psd.document.part", "/docs")]
    return Color(
        painting(),
        "/out/.1.png.t.part",
        "png",
        None,
        documents,
        {"1": "/no/path"},
        {},
        (0, 1),
        "/regions/.1.part",
        "/pics",
        "/out",
    )


def found(work: object) -> dict[str, File]:
    files: dict[str, File] = {}

    def place(file: File) -> str:
        files[file.path] = file
        return f"/there{file.path}"

    relocated(work, place)
    return files


def test_a_page_names_all_its_files() -> None:
    files = found(color())
    assert {path: file.use for path, file in files.items()} == {
        "/in/1.png": Use.READ,
        "/cache/a.bin": Use.SHARED,
        "/s.zip": Use.CACHED,
        "/cache/first.bin": Use.SHARED,
        "/e.json": Use.READ,
        "/out/.1.png.t.part": Use.WRITTEN,
        "/docs/layers/.1.psd.document.part": Use.WRITTEN,
        "/docs": Use.ROOT,
        "/regions/.1.part": Use.WRITTEN,
        "/pics": Use.FILLED,
        "/out": Use.ROOT,
    }
    assert files["/out/.1.png.t.part"].root == "/out"
    assert files["/docs/layers/.1.psd.document.part"].root == "/docs"


def test_the_work_has_the_other_paths_and_all_else_stays() -> None:
    moved = relocated(color(), lambda file: "/there" + file.path)
    assert moved.part == "/there/out/.1.png.t.part"
    assert moved.documents == [DocumentPart("psd", "/there/docs/layers/.1.psd.document.part", "/there/docs")]
    assert moved.painting.ids is not None
    assert (moved.painting.ids.first, moved.painting.ids.memory) == ("/there/cache/first.bin", None)
    assert (moved.painting.hints, moved.painting.name, moved.names) == (None, "1.png", {"1": "/no/path"})
    assert moved.painting.ids.given is not None
    assert relocated(moved, lambda file: file.path.removeprefix("/there")) == color()


def test_references_of_a_set_are_files() -> None:
    learn = Learn(
        "flats", [Reference("/r/1.png", "a"), Reference("/r/2.png", "b")], PageSettings(), "/c/new.bin"
    )
    assert [file.use for file in found(learn).values()] == [Use.READ, Use.READ, Use.WRITTEN]


def test_a_photo_and_the_networks_for_its_faces_are_files() -> None:
    model = FaceModel("faces", Network("/n/1.onnx", "a"), Network("/n/2.onnx", "b"))
    look = LookAt(b"/photos/\xff.jpg", 1, 2, model)
    assert [file.use for file in found(look).values()] == [Use.READ, Use.SHARED, Use.SHARED]
    moved = relocated(look, lambda file: "/there" + file.path)
    assert moved.path == b"/there/photos/\xff.jpg"


class Pair(NamedTuple):
    a: DocumentPart
    b: int


@dataclass(frozen=True)
class Nested:
    pairs: dict[str, tuple[Pair, ...]]
    outer: str = field(metadata=ROOT)
    many: list[str] = field(metadata=WRITTEN)


def test_the_innermost_root_counts_and_named_tuples_stay_so() -> None:
    work = Nested({"x": (Pair(DocumentPart("ora", "/a/b/c.part", "/a/b"), 3),)}, "/a", ["/a/1", "/z"])
    files = found(work)
    assert (files["/a/b/c.part"].root, files["/a/1"].root, files["/z"].root) == ("/a/b", "/a", None)
    moved = relocated(work, lambda file: file.path + "!")
    assert moved.pairs["x"][0] == Pair(DocumentPart("ora", "/a/b/c.part!", "/a/b!"), 3)
    assert moved.many == ["/a/1!", "/z!"]


def test_what_names_no_file_stays_as_it_is() -> None:
    settings = PageSettings()
    assert relocated(settings, lambda file: "other") is settings


def test_results_speak_of_the_paths_that_people_know() -> None:
    said = {"texts": [Message("{path} is torn", path="/tmp/slot/1.png"), "/tmp/slot/2"], "n": (1, None)}
    told = retold(said, lambda text: text.replace("/tmp/slot", "/in"))
    assert (str(told["texts"][0]), told["texts"][1], told["n"]) == ("/in/1.png is torn", "/in/2", (1, None))
