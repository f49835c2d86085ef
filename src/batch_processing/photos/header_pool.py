"""Headers of many files, read in the engine's pool: a file that kills or hangs its reader costs itself only.

    pool = header_pool(processes)
    for answers in headers_in(pool, files): ...

Promises: every file is answered once, in no order. Files go to a reader by the handful; of one whose reader died each is
tried once more by itself, so that it is known which one it was. Where the machine gives no reader (no processes, no disk
space), that is a ResourceError and no file's fault. Does not know of databases.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ..core.workers import LocalPool, Pool, Result, Task, in_pool
from ..exceptions import ResourceError
from ..messages import Message
from .header_facts import ErrorKind, HeaderError, HeaderFacts
from .headers import MEMORY_LIMIT, ReadHeader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

K = TypeVar("K")

# A header takes a millisecond; a reader that is silent for so long hangs.
TIME_LIMIT_S = 20.0
# Files that a reader is given at once: it waits while it is asked, and what one of them kills is done again.
HANDFUL = 64
# Readers begin anew after so many: starting one takes as long as 200 headers.
FILES_PER_READER = 20_000
# A caller hears of nothing new so often, to write what it has and look around.
TICK_S = 0.25


@dataclass(frozen=True)
class Wanted(Generic[K]):
    """A file whose header is to be read, with what the caller knows it by."""

    path: bytes
    key: K


Answers = list[tuple[Wanted[K], HeaderFacts | HeaderError]]


def header_pool(processes: int) -> LocalPool:
    """Where headers are read; to be closed by its owner. Its children start when they are first needed."""
    return LocalPool(
        max(1, processes),
        memory_limit=MEMORY_LIMIT,
        tasks_per_child=FILES_PER_READER,
        name="lote reader of headers",
    )


def headers_in(pool: Pool, files: Iterable[Wanted[K]]) -> Generator[Answers[K], None, None]:
    """What has been answered since the last time, a few times a second at least; perhaps nothing. Whoever leaves early
    lets go of what is being read. ResourceError where no reader can work."""
    asked: dict[str, Wanted[K]] = {}

    def tasks() -> Iterator[Task]:
        for number, file in enumerate(files):
            asked[str(number)] = file
            yield Task(str(number), ReadHeader(file.path), TIME_LIMIT_S, quiet_s=TIME_LIMIT_S)

    with closing(in_pool(pool, tasks(), group=HANDFUL, tick_s=TICK_S)) as running:
        for results in running:
            yield [(asked.pop(result.id), _understood(result)) for result in results]


def _understood(result: Result) -> HeaderFacts | HeaderError:
    if result.value is not None:
        found: HeaderFacts | HeaderError = result.value
        return found
    kind = fault_of(result)
    return HeaderError(kind, _FAULTS[kind])


def fault_of(result: Result) -> ErrorKind:
    """Why a task that reads a file gave nothing: TIME, MEMORY, CRASH or LOST. ResourceError where no worker can work."""
    failure = result.failure
    if failure is not None and failure.fatal:
        raise ResourceError(failure.text)
    if result.lost:
        return ErrorKind.LOST
    kinds = {"TimeoutError": ErrorKind.TIME, "MemoryError": ErrorKind.MEMORY}
    return kinds.get(failure.type, ErrorKind.CRASH) if failure is not None else ErrorKind.CRASH


_FAULTS = {
    ErrorKind.TIME: Message(
        "took longer than {seconds} seconds to read its header", seconds=f"{TIME_LIMIT_S:.0f}"
    ),
    ErrorKind.MEMORY: Message("its header needs too much memory"),
    ErrorKind.CRASH: Message("made the reader of its header crash"),
}


def headers_of(
    paths: Iterable[bytes], processes: int, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[bytes, HeaderFacts | HeaderError]]:
    """The headers of any files, in no order, without a database: each path with what its header says, or why it cannot be
    read. `processes`: how many read. Ends early once `stopped` says True."""
    pool = header_pool(processes)
    try:
        with closing(headers_in(pool, (Wanted(path, None) for path in paths))) as reading:
            while not stopped() and (answers := next(reading, None)) is not None:
                for file, found in answers:
                    yield file.path, found
    finally:
        pool.close()
