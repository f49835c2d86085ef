"""Books that are taken apart in a worker process of their own: who runs that, and what its failures are called.

Promises: a book that crashes its library, hangs it or eats all memory is a `ZIPExtractionError` in the caller, and nothing
else; the caller is asked between whether it still wants the book. Does not vet what comes back (`io.books.stored`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..core.workers import Failure, LocalPool, Task
from ..exceptions import (
    BatchProcessingError,
    NoArchiveError,
    ResourceError,
    ValidationError,
    ZIPExtractionError,
)
from ..io.books.isolated import Entry, Unpack
from ..io.books.opening import Run

__all__ = ["in_worker"]

MEMORY: Final = 4 << 30
"""Bytes that taking a book apart may need: those of a page as large as a picture may be, twice."""
QUIET_S: Final = 120.0
"""A library that reads nothing for so long hangs: the largest page takes seconds."""
LONGEST_S: Final = 4 * 3600.0
_TICK_S: Final = 0.25

# Errors of the worker that mean the same here.
_SAME: Final[dict[str, type[BatchProcessingError]]] = {
    kind.__name__: kind for kind in (NoArchiveError, ResourceError, ValidationError, ZIPExtractionError)
}


def in_worker(check: Callable[[], object] = lambda: None) -> Run:
    """What takes books apart in a worker. `check` is called a few times a second and ends it by raising."""

    def run(work: Unpack) -> Sequence[Entry]:
        pool = LocalPool(1, memory_limit=MEMORY, name="lote unpacker")
        try:
            pool.submit(Task("book", work, timeout_s=LONGEST_S, quiet_s=QUIET_S))
            while True:
                check()
                for result in pool.completed(_TICK_S):
                    if result.failure is not None:
                        raise _error(work, result.failure)
                    entries: Sequence[Entry] = result.value
                    return entries
        finally:
            pool.close()

    return run


def _error(work: Unpack, failure: Failure) -> BatchProcessingError:
    if failure.type in _SAME:
        return _SAME[failure.type](failure.text)
    if failure.fatal:
        return ResourceError(failure.text)
    return ZIPExtractionError("The archive {path} cannot be read: {text}.", path=work.path, text=failure.text)
