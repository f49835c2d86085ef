"""What the answers of the page share: the workspace, who may be shown what, and the makers of pictures."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass, field

from ...colorize import WORKER_MEMORY
from ...core.status import JobNews
from ...core.workspace import Workspace
from .cleaning import Cleaner
from .drafts import UPLOAD_LIMIT, UPLOAD_QUOTA, Drafts
from .paths import Roots
from .photo_library import PhotoLibrary
from .pictures import Pictures
from .saving import Saver

SHEETS_IDLE = 600.0  # seconds: a colourist thinks
SHEETS_TIMEOUT = 300.0  # seconds: a page whose regions are found anew, beside a job that is at work


@dataclass
class Site:
    """What the answers need: the workspace, the folders that may be named, the drafts, the makers of pictures."""

    workspace: Workspace
    roots: Roots
    upload_limit: int = UPLOAD_LIMIT
    upload_quota: int = UPLOAD_QUOTA
    drafts: Drafts = field(init=False)
    pictures: Pictures = field(default_factory=Pictures)
    sheets: Pictures = field(
        default_factory=lambda: Pictures(
            workers=1, idle=SHEETS_IDLE, timeout=SHEETS_TIMEOUT, memory=WORKER_MEMORY, newest_first=True
        )
    )
    """The pages that are edited, by one worker: it keeps them at hand."""
    saver: Saver = field(init=False)
    library: PhotoLibrary = field(init=False)
    cleaner: Cleaner = field(init=False)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    followers: dict[int, JobNews] = field(default_factory=dict)
    following: threading.Lock = field(default_factory=threading.Lock)
    # One after the other begins a job or a scan: what the second asks for may have been begun by the first.
    beginning: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.drafts = Drafts(self.workspace, self.roots, self.upload_quota)
        self.library = PhotoLibrary(self.workspace, self.roots)
        self.cleaner = Cleaner(self.library)
        self.saver = Saver(self.workspace, self.beginning, self.watch)

    def watch(self, child: subprocess.Popen[bytes] | None) -> None:
        """Remember a process that was started, and bury those that have ended."""
        self.children = [old for old in self.children if old.poll() is None]
        if child is not None:
            self.children.append(child)
