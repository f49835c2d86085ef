"""The doors of the photo application for Python programs.

Promises: what is handed out is committed; what was handed out and not acknowledged (by asking for more)
is handed out again by the next scan; no list of all photos is ever made except by
`load_images_from_folder`, which returns one. The rules are those of `ingest.py`.
"""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..core.processes import cores
from ..core.workspace import Workspace
from ..exceptions import ImageProcessingError, ValidationError
from ..logging_config import get_logger
from ..messages import Message
from .ingest import Scan
from .kinds import PHOTO_EXTENSIONS
from .reading import Unreadable, hash_file, new_buffer
from .repository import DuplicateRepository
from .scan_stats import ScanStats
from .store import Store, open_database, scan_lock, scan_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from .pixels.stage import LookedAt, LookStats
    from .repository import PhotoRepository
    from .settle import Record

__all__ = [
    "calculate_file_hash",
    "is_valid_image_file",
    "load_images_from_folder",
    "look_in_batches",
    "scan_images_recursively",
]

PathLike = str | os.PathLike[str]


@overload
def scan_images_recursively(
    root_path: PathLike,
    photo_repo: PhotoRepository,
    batch_size: int = 100,
    *,
    duplicate_repo: DuplicateRepository | None = None,
    start_batch: int = 1,
    exclude: Sequence[str] = (),
    readers: int | None = None,
    allow_missing: bool = False,
    facts: bool = False,
    videos: bool = False,
    paranoid: bool = False,
    stopped: Callable[[], bool] = ...,
) -> Generator[list[Record], None, ScanStats]: ...
@overload
def scan_images_recursively(
    root_path: PathLike,
    photo_repo: PhotoRepository,
    duplicate_repo: DuplicateRepository,
    batch_size: int = 100,
    *,
    start_batch: int = 1,
    exclude: Sequence[str] = (),
    readers: int | None = None,
    allow_missing: bool = False,
    facts: bool = False,
    videos: bool = False,
    paranoid: bool = False,
    stopped: Callable[[], bool] = ...,
) -> Generator[list[Record], None, ScanStats]: ...
def scan_images_recursively(
    root_path: PathLike,
    photo_repo: PhotoRepository,
    *positional: Any,
    batch_size: int = 100,
    duplicate_repo: DuplicateRepository | None = None,
    start_batch: int = 1,
    exclude: Sequence[str] = (),
    readers: int | None = None,
    allow_missing: bool = False,
    facts: bool = False,
    videos: bool = False,
    paranoid: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[list[Record], None, ScanStats]:
    """Scan a folder into the database behind `photo_repo`, and give the photos that are new (or whose
    content changed) in lists of `batch_size`; the last may be shorter.

    A record has the keys filename, path (absolute), hash (SHA-256, hexadecimal), size (bytes) and
    extension (lower case, with dot). Copies are recorded in `duplicates`, in the same database; a
    `duplicate_repo` is accepted, by position too, for callers who have one. `start_batch`: begin at
    the first path of that batch of the latest scan of this folder. `facts`: read width, height, EXIF
    date ... of each photo when the last batch was taken. `videos`: record them like photos. `paranoid`: read again what
    has another change time, even if its size, time and inode are the same. `exclude`: patterns in gitignore
    syntax. The sessions are committed before each batch. The generator returns `ScanStats`.

    ValidationError for a folder that does not exist and for wrong numbers; ScanGuardError when the folder
    is empty or too many known photos are missing (`allow_missing` marks them all the same);
    ResourceError when the database cannot be written. A file that cannot be read is a row of
    `photo_errors`, never an exception."""
    rest = list(positional)
    if rest and isinstance(rest[0], DuplicateRepository):
        duplicate_repo = rest.pop(0)
    if rest:
        batch_size = rest.pop(0)
    if rest:
        raise TypeError("scan_images_recursively takes at most four positional arguments")
    if duplicate_repo is not None and duplicate_repo.session.get_bind() is not photo_repo.session.get_bind():
        raise ValidationError("photo_repo and duplicate_repo must belong to the same database.")
    sessions = photo_repo.session, *([duplicate_repo.session] if duplicate_repo is not None else [])
    scan = Scan(
        Store(*sessions),
        [os.fsencode(root_path)],
        batch_size=batch_size,
        start_batch=start_batch,
        exclude=exclude,
        readers=readers,
        allow_missing=allow_missing,
        facts=facts,
        videos=videos,
        paranoid=paranoid,
        stopped=stopped,
    )
    return _lists(scan)


def _lists(scan: Scan) -> Generator[list[Record], None, ScanStats]:
    for batch in scan.run():
        yield batch.records
    return scan.stats


def look_in_batches(
    photo_repo: PhotoRepository,
    batch_size: int = 100,
    *,
    folders: Sequence[PathLike] = (),
    processes: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    faces: bool = False,
    face_model: PathLike | None = None,
) -> Generator[list[LookedAt], None, LookStats]:
    """Look at the pixels of the photos behind `photo_repo` that nobody has looked at yet, each content once, and give what
    was seen in lists of `batch_size`; the last may be shorter.

    `folders`: only what lies below them; all that was scanned if there are none. `processes`: that decode; as many as
    there are cores. Previews go into `previews.db` beside the SQLite file, or into the workspace. A batch is committed
    before it is handed out, and handed out again by the next call if the one after it was not asked for. The session is
    committed before each batch. The generator returns `LookStats`.

    `faces`: look for faces, too, also on photos that were looked at without; with the networks in the folder `face_model`,
    or Lote's own. From then on every look at new photos looks for faces. `FaceRepository` has what was found.

    ConfigurationError where these networks are not there. ValidationError for a folder of which no photo is known, and for wrong numbers; QueueError if this process is looking
    already; ResourceError when the database cannot be written, or no process started. A photo that cannot be looked at is a
    row of `photo_errors`, never an exception."""
    from .audit import scanned_roots
    from .people import asked, models
    from .pixels.looking import look_pool
    from .pixels.previews import previews_of
    from .pixels.stage import Looking

    store = Store(photo_repo.session)
    roots = scan_roots([os.fsencode(folder) for folder in folders]) if folders else scanned_roots(store)
    named = None if face_model is None else Path(face_model)
    model = models.find(named) if faces else asked.wanted(store, _warn)
    with closing(previews_of(store, None)) as previews:
        looking = Looking(
            store, roots, previews, batch_size=batch_size, stopped=stopped, faces=model, all_faces=faces
        )
        looking.check_roots()
        if faces and model is not None:
            asked.ask(store, model)
        with closing(look_pool(processes or cores())) as pool:
            try:
                with scan_lock(store, None, lambda sentence: None, stopped, kind="looks") as held:
                    if held and roots:
                        with closing(looking.batches(pool)) as batches:
                            for batch in batches:
                                yield batch.photos
            finally:
                store.close()
    return looking.stats


def _warn(text: Message) -> None:
    get_logger(__name__).warning("%s", text)


def load_images_from_folder(folder_path: PathLike, batch_size: int = 100) -> list[Record]:
    """Scan a folder into the workspace's database (or `LOTE_DATABASE`), and return the records of the
    photos that are new in this call: `[]` when nothing is new, and, with a warning, for a folder that is missing.

    ScanGuardError, ResourceError and ValidationError (batch_size) as in `scan_images_recursively`."""
    logger = get_logger(__name__)
    workspace = Workspace()
    workspace.ensure()
    database = open_database(os.environ.get("LOTE_DATABASE") or workspace.database)
    try:
        scan = Scan(Store(database), [os.fsencode(folder_path)], batch_size=batch_size, workspace=workspace)
        folder = Path(folder_path)
        if not folder.is_dir():
            problem = "is not a directory" if folder.exists() else "does not exist"
            logger.warning("The folder %s %s: nothing was scanned.", folder, problem)
            return []
        return [record for batch in scan.run() for record in batch.records]
    finally:
        database.close()


def calculate_file_hash(path: PathLike) -> str:
    """SHA-256 of a file's bytes, hexadecimal. A symbolic link is followed.

    ImageProcessingError if there is no regular file, or it cannot be read."""
    try:
        digest, *_ = hash_file(os.path.realpath(os.fsencode(path)), new_buffer(), lambda: False)
    except Unreadable as error:
        text = Message("does not exist") if error.kind == "vanished" else error.sentence
        raise ImageProcessingError(os.fspath(path), text) from error
    return digest.hex()


def is_valid_image_file(path: PathLike) -> bool:
    """Whether a scan would take this file: a regular file, not empty, readable, with the extension of a
    photo. Looks at no content and never raises."""
    try:
        status = os.lstat(path)
        name = os.path.basename(os.fspath(path))  # noqa: PTH119 - never raises for odd types inside try
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_size > 0
            and os.path.splitext(name)[1].lower() in PHOTO_EXTENSIONS  # noqa: PTH122
            and os.access(path, os.R_OK)
        )
    except (OSError, ValueError, TypeError):
        return False
