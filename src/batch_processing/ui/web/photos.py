"""The photos tab: a scan of a folder, batch by batch, and what the library knows.

A scan is a job like any other, run by the workspace's background process: closing the page does not end it, and how far
it is stands in the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.model import JobState
from ...core.workspace import Workspace
from ...exceptions import QueueError, ValidationError
from .. import background
from . import photo_views as views
from .speech import Speech
from .views import Parts

if TYPE_CHECKING:
    import subprocess

    from ...core.model import Job
    from ...photos.store import Store


def database_of(workspace: Workspace) -> str:
    """Where this machine's photos are recorded, as `lote photos scan` has it."""
    return os.environ.get("LOTE_DATABASE") or str(workspace.database)


@contextmanager
def _library(workspace: Workspace) -> Iterator[Store]:
    from ...photos.store import Store, open_database

    opened = open_database(database_of(workspace))
    store = Store(opened)
    try:
        yield store
    finally:
        store.close()
        opened.close()


def scan(workspace: Workspace, folder: str) -> subprocess.Popen[bytes] | None:
    """Scan a folder in the background; the process, if one was needed. QueueError while another scan of this workspace
    is not done."""
    from ...config.effective import photo_settings
    from ...core.tuning import tuned
    from ...photos.application import ScanRequest, submit

    if not Path(folder).is_dir():
        raise ValidationError("{folder} is not a folder.", folder=folder)
    job = current(workspace)
    if workspace.lock("photos").holder() is not None or (job is not None and job.alive):
        raise QueueError("A scan is at work: wait for its end, or stop it.")
    settings = photo_settings({}, None)
    request = ScanRequest(
        (folder,),
        database_of(workspace),
        batch_size=settings["batch_size"].value or tuned(workspace).batch_size,
        videos=settings["videos"].value,
    )
    return background.begin(workspace, submit(workspace, request).id)


def current(workspace: Workspace) -> Job | None:
    """The scan that runs or waits, else the newest; None when there was none."""
    if not workspace.database.exists():
        return None
    jobs = workspace.ledger.jobs("photos")
    return max(jobs, key=lambda job: (job.alive, job.submitted_at), default=None)


def current_number(workspace: Workspace) -> int:
    """The number of that scan, for who wants something of it. QueueError when there is none."""
    job = current(workspace)
    if job is None:
        raise QueueError("No scan is at work.")
    return job.id


def tab(speech: Speech, workspace: Workspace, start: int) -> tuple[Parts, bool]:
    """The parts "scan", "library" and "copies" of the tab, and whether a scan is at work."""
    job = current(workspace)
    # Nobody has a scan that was only just begun: the background process takes it in a moment.
    begun = job is not None and (job.alive or (job.state == JobState.INTERRUPTED and job.owner is None))
    parts = {"scan": speech.html("photos_scan", scan=views.scan_of(job))}
    if job is None and not workspace.has_ledger and "LOTE_DATABASE" not in os.environ:
        return parts | {"library": "", "copies": ""}, begun
    with _library(workspace) as store:
        library = views.library_of(store)
        groups, window = views.groups_of(store, start)
        parts["library"] = speech.html("photos_library", library=library)
        parts["copies"] = speech.html(
            "photos_copies",
            library=library,
            groups=groups,
            window=window,
            problems=views.problems_of(store),
        )
    return parts, begun


def path_of(workspace: Workspace, photo: int) -> str:
    """Where a photo of the library lies. FileNotFoundError if it is not in the library."""
    from ...photos.repository import Photo, open_library

    with open_library(database_of(workspace)) as session:
        found = session.get(Photo, photo)
        if found is None:
            raise FileNotFoundError
        return str(found.path)
