"""Several books in one command: a job and an output for each, one after the other, and what became of all.

`colorize_library` does a whole series of archives in one call; `submit_library` and `run_library` do it in two, so
that another process can run what was submitted. A book that cannot be done costs itself only. Which books there
are is decided in `comics.shelf`, what a book of a series takes from those before it in `comics.series`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from .colorize import JobResult, check_output, run, submit, with_settings
from .comics.application import UNUSED
from .comics.book_place import BookPlace
from .comics.shelf import Book, Shelf, absolute, below, find_shelf
from .core.coordinator import Interrupt, Interrupted, OnNews
from .core.processes import process_identity
from .core.workspace import Workspace
from .exceptions import BatchProcessingError, ConfigurationError, ValidationError, WorkspaceError
from .io.kinds import LeftOut
from .messages import Message

if TYPE_CHECKING:
    from .config import BatchConfig
    from .config.values import BookSettings

__all__ = [
    "BookJob",
    "BookResult",
    "LibraryJobs",
    "LibraryResult",
    "colorize_library",
    "run_library",
    "shelf_of",
    "submit_library",
]


@dataclass(frozen=True)
class BookJob:
    """A book that was asked for: the number of its job, or the error for which there is none."""

    book: Book
    job: int | None
    error: BatchProcessingError | None = None


@dataclass(frozen=True)
class LibraryJobs:
    """The books of one command, in reading order. `output` is the folder that receives them, None where each has its
    place beside its input; `left_out` are files that stood among them and are no books, `made` those that are outputs
    of Lote."""

    books: list[BookJob]
    output: str | None
    left_out: list[LeftOut] = field(default_factory=list)
    made: list[str] = field(default_factory=list)


OnBook = Callable[[BookJob, int, int], OnNews]
"""Told of each book when its turn comes, with its number from 1 and how many there are; gives back what is told the news
of its job."""


@dataclass(frozen=True)
class BookResult:
    """What became of a book: the `result` of its job, or the `error` that ended it. `name` is its path among the
    others, `input` and `output` are absolute."""

    name: str
    input: str
    output: str
    job: int | None
    result: JobResult | None
    error: Message | None
    exit_code: int
    """What `lote` would end with, had it been asked for this book alone."""
    code: str | None = None
    """The kind of the error, for programs (`exceptions`)."""


@dataclass(frozen=True)
class LibraryResult:
    """What became of several books. `output` is the folder that has them, None where each stands beside its input;
    `left_out` are files among them that are no books, `made` those that are outputs of Lote."""

    output: str | None
    books: list[BookResult]
    left_out: list[LeftOut] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    """What was said of pages that no book has."""

    @property
    def exit_code(self) -> int:
        """What the command `lote` ends with: 0 all done, 3 some pages or books failed, 4 some were cancelled; where no
        book was done, what all of them have in common, or 1."""
        codes = {book.exit_code for book in self.books}
        if len(codes) == 1:
            return codes.pop()
        if not codes & {0, 3}:
            return 1
        return 4 if codes <= {0, 4} else 3


def colorize_library(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    references: Sequence[str | Path] = (),
    config: BatchConfig | Mapping[str, Any] | None = None,
    series: bool = False,
    workspace: str | Path | None = None,
    on_book: OnBook | None = None,
    **settings: Unpack[BookSettings],
) -> LibraryResult:
    """Colour several books, each into an output of its own.

    `inputs`: archives, or folders that hold archives (and folders of pages) at any depth. `output`: the folder that
    receives them, as the tree they are in; left out, `<input>_colorized` beside each input. A ZIP and a CBZ become
    what they are, other archives CBZs, folders folders. `references` serve all books; with `series` each book takes
    palette and references from those before it. `config` and `settings` as for `colorize_comic`. `on_book` is called with each book, its number and their count.
    Raises `BatchProcessingError` where nothing can be begun; books and pages that failed are in the result."""
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    opened = Workspace(workspace)
    try:
        shelf = shelf_of(opened, paths, output)
        if shelf is None:
            for path in paths:
                if not Path(path).exists():
                    raise ValidationError("{path} does not exist: check the path.", path=path)
            raise ValidationError(
                "{inputs} is one book, which colorize_comic takes: name several archives, or a folder of them.",
                inputs=tuple(map(str, paths)),
            )
        asked = with_settings(config, settings)
        jobs = submit_library(opened, shelf, references=references, config=asked, series=series)
        return run_library(opened, jobs, on_book=on_book)
    finally:
        opened.close()


def shelf_of(
    workspace: Workspace, inputs: Sequence[str | Path], output: str | Path | None, *, kind: str | None = None
) -> Shelf | None:
    """The books that these inputs are; None where they are one book. `kind`: what all become ("folder", "zip", "cbz").

    ValidationError where `output` cannot receive them, or a folder cannot be read."""
    made = {job.output for job in workspace.ledger.jobs("comics")} if workspace.has_ledger else ()
    target = None if output is None else absolute(output)
    shelf = find_shelf([absolute(path) for path in inputs], target, kind=kind, made=made)
    if shelf is not None and shelf.output is not None:
        check_output(Path(shelf.output))
    return shelf


def submit_library(
    workspace: Workspace,
    shelf: Shelf,
    *,
    references: Sequence[str | Path] = (),
    config: BatchConfig | Mapping[str, Any] | None = None,
    priority: int = 0,
    origins: Mapping[str, str] | None = None,
    language: str = "en",
    series: bool = False,
    own: Callable[[Book], Mapping[str, Any]] = lambda book: {},
) -> LibraryJobs:
    """Enter a job for each book into the ledger, in reading order. `own` gives settings of single books, over those of
    `config`; the rest is as for `submit`.

    A book that cannot be asked for is in what comes back, with its error. Raises that of the first where there is no
    other, and what is wrong with the settings or the workspace."""
    if series and shelf.output is None:
        raise ValidationError("The palette of the series needs a folder to be in: name one with -o.")
    palette = str(Path(str(shelf.output)) / "palette.json") if series else None
    books: list[BookJob] = []
    for number, book in enumerate(shelf.books, 1):
        before = [one.job for one in reversed(books) if one.job is not None] if series else []
        place = BookPlace(number, len(shelf.books), book.name, below(book), before, palette)
        try:
            job = submit(
                workspace,
                [book.path],
                book.output,
                references=[*references, *book.references],
                config=_with(config, own(book)),
                priority=priority,
                origins=origins,
                language=language,
                book=place,
            )
            books.append(BookJob(book, job.id))
        except (ConfigurationError, WorkspaceError):
            raise
        except BatchProcessingError as error:
            books.append(BookJob(book, None, error))
    errors = {str(one.error): one.error for one in books}
    if len(errors) == 1 and (only := books[0].error) is not None:
        raise only
    return LibraryJobs(books, shelf.output, shelf.left_out, shelf.made)


def _with(
    config: BatchConfig | Mapping[str, Any] | None, own: Mapping[str, Any]
) -> BatchConfig | Mapping[str, Any] | None:
    if not own:
        return config
    values = config if isinstance(config, Mapping) or config is None else config.to_dict()
    return {**(values or {}), **own}


def run_library(
    workspace: Workspace,
    library: LibraryJobs,
    *,
    on_book: OnBook | None = None,
    interrupt: Interrupt | None = None,
) -> LibraryResult:
    """Run, go on with, or follow the job of each book until it ends.

    Raises `Interrupted` when `interrupt` asks to leave (what has not begun is then nobody's, and is resumed by the
    same call or by `lote resume`), and `WorkspaceError`."""
    quiet: OnNews = lambda events, snapshot: None  # noqa: E731
    results: list[BookResult] = []
    try:
        for number, one in enumerate(library.books, 1):
            news = on_book(one, number, len(library.books)) if on_book else quiet
            results.append(_run(workspace, one, news, interrupt))
    finally:
        for one in library.books[len(results) :]:
            if one.job is not None:
                workspace.ledger.resign(one.job, process_identity())
    unused: dict[str, int] = {}
    for book in results:
        said = workspace.ledger.job(book.job).result.get(UNUSED, ()) if book.job and book.result else ()
        for text in said:
            unused[text] = unused.get(text, 0) + 1
    done = sum(book.result is not None for book in results)
    nowhere = [text for text, count in unused.items() if count == done]
    return LibraryResult(library.output, results, library.left_out, library.made, nowhere)


def _run(workspace: Workspace, one: BookJob, news: OnNews, interrupt: Interrupt | None) -> BookResult:
    """What becomes of one book."""
    book, error = one.book, one.error
    if one.job is not None:
        try:
            result = run(workspace, one.job, on_news=news, interrupt=interrupt)
        except (Interrupted, WorkspaceError):
            raise
        except BatchProcessingError as fault:
            error = fault
        else:
            return BookResult(book.name, book.path, book.output, one.job, result, None, result.exit_code)
    ended = error or BatchProcessingError()
    return BookResult(
        book.name, book.path, book.output, one.job, None, ended.sentence, ended.exit_code, ended.code
    )
