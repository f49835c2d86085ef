"""What a scan found, and what one would do, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.plain import JsonObject, from_plain, to_plain
from .kinds import LeftAlone


@dataclass
class ScanStats:
    """What one run of a scan found. Sizes in bytes, times in seconds."""

    files_seen: int = 0  # photos by name, not empty
    registered: int = 0  # new contents
    already_processed: int = 0
    duplicates: int = 0  # copies found new in this scan
    moved: int = 0
    changed: int = 0
    missing: int = 0  # newly found missing
    errors: int = 0  # files and folders that could not be walked or hashed
    facts_errors: int = 0  # headers that could not be read, and files that are empty
    batches: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    seconds_per_batch: float = 0.0
    peak_memory: int = 0  # of this process
    hard_links: int = 0  # new names of files that are known under another
    absent_originals: int = 0  # photos found at new places whose old place cannot be looked at now
    ruined: int = 0  # of the errors: known photos that hold no image any more
    damaged: int = 0  # photos that are cut off or otherwise not whole, as their headers and ends say
    unhandled: dict[str, int] = field(default_factory=dict)  # files that are no photos, by extension
    left_alone: dict[str, LeftAlone] = field(default_factory=dict)  # by `Reason`
    lacking: dict[str, int] = field(
        default_factory=dict
    )  # photos by the format that no library here can read
    looked: int = 0  # contents whose pixels were looked at
    pixel_errors: int = 0  # of those that could not be

    def to_dict(self) -> JsonObject:
        return to_plain(self)

    @classmethod
    def of(cls, stored: JsonObject) -> ScanStats:
        """What `to_dict` gave, of this version or an older one."""
        return from_plain(cls, stored)


@dataclass(frozen=True)
class ScanPlan:
    """What a scan would do, in numbers of photos: those it sees, knows, would read (and their bytes), and known ones that
    are not where they were."""

    files_seen: int
    already_processed: int
    to_read: int
    bytes_to_read: int
    gone: int
