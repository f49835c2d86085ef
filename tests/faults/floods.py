"""Work that says too much, for workers."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass

from batch_processing.core.workers import Progress


@dataclass(frozen=True)
class Flood:
    """Warn that often, or until it is stopped."""

    count: int | None = None

    def run(self, progress: Progress) -> int:
        log = logging.getLogger("floods")
        for number in itertools.count() if self.count is None else range(self.count):
            log.warning("pixel %d is odd", number)
        return self.count or 0
