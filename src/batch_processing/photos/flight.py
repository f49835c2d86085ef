"""What a scan has walked past and not yet written: the photos that are being hashed, and those that wait.

Promises the order of the walk, and that no more is underway than was allowed. Writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .hashing import Candidate, Hashers
    from .walk import Walk, WalkError

# Folders without work that are passed before it is looked at what readers have answered.
FOLDERS = 16


class Flight:
    """What lies between the walk and the disk, in the order of the walk. Items that need no reading ride along."""

    def __init__(self, walk: Walk, hashers: Hashers[Candidate | WalkError], most: int) -> None:
        """`most`: items that may be in when a list of more is asked for."""
        self.walking = True
        self.hashing = 0
        self.done: list[Candidate | WalkError] = []  # hashed
        self.written: list[Candidate | WalkError] = []  # and perhaps not yet on disk
        self._lists = iter(walk)
        self._most = most
        self._hashers = hashers

    @property
    def weight(self) -> int:
        """Bytes of what is being hashed."""
        return self._hashers.weight

    def cpu_seconds(self) -> float:
        """What the processes that hash have used so far."""
        return self._hashers.cpu_seconds()

    def __len__(self) -> int:
        return self.hashing + len(self.done) + len(self.written)

    @property
    def has_room(self) -> bool:
        """Whether there is more to walk, and it may come in."""
        return self.walking and len(self) <= self._most

    def fill(self) -> bool:
        """Walk on, if that may be, to the next photos that need work; past some folders at most. Whether there
        were any."""
        if not self.has_room:
            return False
        for _ in range(FOLDERS):
            items = next(self._lists, None)
            if items:
                self._hashers.put(items)
                self.hashing += len(items)
                return True
            if items is None:
                self.walking = False
                break
        return False

    def collect(self, wait: float = 0.0, wake: int | None = None) -> None:
        """Take in what was hashed; wait so many seconds for something, or until `wake` can be read from."""
        finished = self._hashers.take(wait, wake)
        self.hashing -= len(finished)
        self.done += finished

    def stop(self) -> None:
        """Give up what is being hashed."""
        self.collect()
        self._hashers.close()
        self.walking, self.hashing = False, 0

    def close(self) -> None:
        self._hashers.close()
