"""What a person puts right on a finished page: written where the page is, kept by whatever is run again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch_processing.backends.base import Edit
from batch_processing.backends.flats.color_ids import OWN_COLOR
from batch_processing.colorize import recolor_job, run
from batch_processing.comics import edits
from batch_processing.core.edits import JOB
from batch_processing.core.ledger import Ledger
from batch_processing.core.workspace import Workspace
from command import Run, lote
from pages import figure

PINK, TEAL = (230, 60, 160), (20, 150, 140)
ROOF, SKY = (260, 240), (20, 20)


def given(at: tuple[int, int], rgb: tuple[int, int, int]) -> Edit:
    number = OWN_COLOR + (rgb[0] << 16 | rgb[1] << 8 | rgb[2])
    return Edit("region", ((float(at[0]), float(at[1])),), number, rgb)


class Book:
    """A small job that is done, and what a person does to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        figure(root / "in" / "0.png", color=True)
        figure(root / "in" / "1.png", color=False, shift=20)
        figure(root / "in" / "2.png", color=False, shift=60)
        self.colorize()
        self.workspace = Workspace(root / "ws")

    @property
    def ledger(self) -> Ledger:
        return self.workspace.ledger

    def colorize(self, *more: str | Path) -> Run:
        words = ("colorize", self.root / "in", "-o", self.root / "out", "--backend", "flats", "--json", *more)
        done = lote(*words, workspace=self.root / "ws")
        assert done.code == 0, done.err
        return done

    def say(self, key: str, edit: Edit) -> None:
        self.ledger.edits.add(1, [edits.saying(key, edit)])

    def write(self) -> None:
        assert self.ledger.reopen(1)
        assert run(self.workspace, 1).exit_code == 0

    def color(self, page: str, at: tuple[int, int]) -> tuple[int, ...]:
        with Image.open(self.root / "out" / page) as image:
            return tuple(int(value) for value in np.asarray(image.convert("RGB"))[at[1], at[0]])

    def palette(self) -> list[dict[str, Any]]:
        return json.loads((self.root / "out" / "_lote" / "palette.json").read_text())["colors"]  # type: ignore[no-any-return]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_an_edit_is_written_kept_by_reruns_with_other_references_and_gone_when_undone(book: Book) -> None:
    whole = (book.root / "out" / "1.png").read_bytes()
    book.say("1.png", given(ROOF, PINK))
    book.write()
    assert book.color("1.png", ROOF) == PINK
    assert book.color("2.png", ROOF) != PINK
    assert book.colorize().summary["reused"] == 2
    figure(book.root / "refs" / "night.png", color=True, roof=(60, 60, 90))
    done = book.colorize("--references", book.root / "refs")
    assert done.summary["reused"] == 0
    assert book.color("1.png", ROOF) == PINK
    assert book.colorize("--layers", "ora").summary["completed"] == 2
    with zipfile.ZipFile(book.root / "out" / "_lote" / "layers" / "1.ora") as document:
        merged = Image.open(document.open("mergedimage.png")).convert("RGB")
        assert merged.getpixel(ROOF) == PINK
    (book.root / "refs" / "night.png").unlink()
    (book.root / "refs").rmdir()
    book.colorize()
    book.ledger.edits.undo(1, "1.png")
    book.write()
    assert (book.root / "out" / "1.png").read_bytes() == whole


def test_a_file_that_somebody_changed_meanwhile_is_left_alone(book: Book) -> None:
    Image.new("RGB", (500, 600), "white").save(book.root / "out" / "1.png")
    theirs = (book.root / "out" / "1.png").read_bytes()
    book.say("1.png", given(ROOF, PINK))
    book.write()
    assert (book.root / "out" / "1.png").read_bytes() == theirs


def test_an_approved_page_shows_an_edit_that_came_before_it_was_approved(book: Book) -> None:
    book.ledger.approve(1, "2.png")
    theirs = (book.root / "out" / "2.png").read_bytes()
    book.say("1.png", given(ROOF, PINK))
    book.ledger.approve(1, "1.png")  # before it was written
    book.write()
    assert book.color("1.png", ROOF) == PINK
    assert (book.root / "out" / "2.png").read_bytes() == theirs


def test_the_palette_is_edited_undone_and_overtaken_by_a_file(book: Book) -> None:
    roof = next(one for one in book.palette() if one["rgb"] == list(book.color("1.png", ROOF)))
    natural = {"reference": roof["reference"]}
    change = edits.PaletteChange({str(roof["id"]): {**natural, "rgb": list(TEAL), "name": "the roof"}})
    book.ledger.edits.add(1, [edits.palette_saying(change)])
    book.write()
    assert book.color("1.png", ROOF) == book.color("2.png", ROOF) == TEAL
    named = {one["id"]: one.get("name") for one in book.palette()}
    assert named[roof["id"]] == "the roof"
    book.ledger.edits.undo(1, JOB)
    book.write()
    assert book.color("1.png", ROOF) == tuple(roof["rgb"])
    book.ledger.edits.redo(1, JOB)
    book.write()
    assert book.color("1.png", ROOF) == TEAL
    mine = book.root / "mine.json"
    mine.write_text(json.dumps({"colors": [{**one, "rgb": list(PINK)} if one["id"] == roof["id"] else one for one in book.palette()]}))  # fmt: skip
    assert lote("recolor", "1", "--palette", mine, workspace=book.root / "ws").code == 0
    assert book.color("1.png", ROOF) == PINK
    assert book.ledger.edits.undo(1, JOB) == []


def test_two_colours_become_one_in_the_whole_book(book: Book) -> None:
    roof, sky = book.color("1.png", ROOF), book.color("1.png", SKY)
    ids = {tuple(one["rgb"]): one["id"] for one in book.palette()}
    merge = Edit("merge", (), ids[sky], (sky[0], sky[1], sky[2]), before=ids[roof])
    book.say(JOB, merge)
    book.write()
    assert book.color("1.png", ROOF) == book.color("2.png", ROOF) == sky


def test_pages_that_were_put_right_stay_when_the_others_learn_from_them(book: Book) -> None:
    book.say("1.png", given(ROOF, PINK))
    book.write()
    mine = (book.root / "out" / "1.png").read_bytes()
    before = {item.key: item.finished_at for item in book.ledger.items(1)}
    recolor_job(book.workspace, 1, learn=True, keep={"1.png"})
    book.write()
    assert (book.root / "out" / "1.png").read_bytes() == mine
    learned = book.ledger.job(1).config["memory"]
    assert learned["key"]
    assert learned["apart"] == {"1.png": None}
    again = {item.key: item.finished_at for item in book.ledger.items(1)}
    assert [key for key in before if again[key] != before[key]] == ["2.png"]
    assert book.colorize().summary["reused"] == 2


def test_edits_of_pages_are_kept_where_the_backend_cannot_take_them(book: Book) -> None:
    book.say("1.png", given(ROOF, PINK))
    done = lote("colorize", book.root / "in", "-o", book.root / "out", "--backend", "noop", "--json", workspace=book.root / "ws")  # fmt: skip
    assert "changed by hand" in " ".join(done.summary["warnings"])
    book.colorize()
    assert book.color("1.png", ROOF) == PINK
