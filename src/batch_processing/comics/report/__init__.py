"""The report of a comics job: what to look through before the book goes out.

    contents.py   what the ledger knows of the book       view.py      what a person sees, as plain values
    pictures.py   its pictures, kept and drawn            writer.py    from the view to the files
    layout.py     which files those are                   report.css, report.js, index.js   style and scripts
    templates/    the pages                               compare.js   before and after of a page, also for the web page

Promises: `report.html` is one file that needs nothing beside it, or, of a long book, an index to files of a hundred pages each
(`layout`); each asks nothing of a network (its content security policy forbids it); every name and sentence in it is
text, whatever it contains; it is written page by page, so that a book of any length needs the memory of one page; it
speaks the language of whoever asked for the job, but names settings and measures as the documentation does. Beside it
stand `contact_sheet.webp` and, where the backend tells of them, `palette.json` and `review.json` (the regions of which
most of a page may be wrong first). Pictures are kept by content: a rerun draws only what has changed. What an earlier
report of another length has left is removed, as far as it is as Lote wrote it.

Refuses to fail a job: a picture that cannot be read is missing, and said to be. Not part of what is the
same on every run: a report holds times.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.application import JobContext
from ...exceptions import ResourceError, incident
from ...io.publish import metadata_json
from ...messages import Message
from .. import palette as palettes
from ..deposits import Deposits
from .contents import CROPS, Book, Sets
from .layout import Layout
from .pictures import Drawing, Pictures
from .writer import Writer

COMPARE = Path(__file__).with_name("compare.js")
"""The script that shows a page before and after, here and on the web page."""


def write(
    context: JobContext, folder: Path, sets: Sets, result: Mapping[str, Any], deposits: Deposits
) -> list[str]:
    """Write the report of a job that has done its items, and what belongs beside it, into `folder`.

    `sets` are the references, (path, SHA-256) each, by the key that items name as their artefact; `result`
    is what `Job.result` will be. Returns the warnings that came up: why there is no report, if so."""
    context.phase("writing the report")
    began = time.time()
    try:
        pictures = Pictures(context.workspace.folder("jobs", str(context.job.id), "thumbs"))
        book = Book(context, folder, sets, result, pictures)
        _write(Drawing(context, pictures), book, deposits)
        pictures.forget_before(began)
    except (OSError, ResourceError) as error:
        what = incident(error) if isinstance(error, OSError) else error
        sentence = Message("there is no new report in {folder}: {why}", folder=folder, why=what)
        context.warn(sentence)
        return [str(sentence)]
    return book.added


def _write(drawing: Drawing, book: Book, deposits: Deposits) -> None:
    folder = book.folder
    drawing.pages(book.gather())
    layout = Layout(folder, book.pages)
    drawing.references(pair for used in book.sets.values() for pair in used)
    drawing.regions(book.doubts[:CROPS])
    if book.palette:
        with deposits.save(folder / "palette.json") as file:
            file.write(palettes.write([book.palette[key] for key in sorted(book.palette, key=int)]))
    if book.doubts:
        with deposits.save(folder / "review.json") as file:
            file.write(metadata_json({"regions": [doubt.told for doubt in book.doubts]}))
    drawing.contact_sheets(book.rows(), deposits, layout)
    writer = Writer(book, layout)
    deposits.save_all(writer.parts())
    with deposits.save(layout.html) as file:
        for piece in writer.html():
            file.write(piece)
    deposits.withdraw(layout.is_left)
