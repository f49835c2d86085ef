"""What is about to run out: asked while a job runs, which pauses before it does."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..io.publish import nearest_folder
from ..memory import MemoryManager
from ..messages import Message

# Bytes below which a job pauses: enough for the largest pages in flight to be written, and for the system to breathe.
LOW_DISK = 300_000_000
LOW_MEMORY = 200_000_000
# On disks smaller than this the low-water mark means nothing; there the write itself tells.
SMALL_DISK = 6_000_000_000


def shortage(*places: Path) -> Message | None:
    """What is about to run out, in words: the disk under one of `places` (existing or not), or memory."""
    for place in places:
        folder = nearest_folder(place)
        disk = shutil.disk_usage(folder)
        if disk.free < LOW_DISK and disk.total > SMALL_DISK:
            return Message(
                "only {size} MB of disk are free for {folder}", size=disk.free // 1_000_000, folder=folder
            )
    free = MemoryManager().available_bytes()
    if free < LOW_MEMORY:
        return Message("only {size} MB of memory are free", size=free // 1_000_000)
    return None
