"""Metrics in a file, for node_exporter's textfile collector.

Promises: who reads the file sees a whole one, the last or the one before; only a file of metrics is ever replaced, and a
link is replaced by a file, never followed. A run goes on where the file cannot be written: that is said once, and tried again.
The file is readable by everybody, because node_exporter is another user; it names no file and no folder but mount points.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.workspace import Workspace
from ..exceptions import BatchProcessingError, ConfigurationError, ResourceError, reason
from ..io.publish import SaveFile
from ..logging_config import get_logger
from ..reading import open_regular
from .families import BEGINNING, openmetrics
from .watch import Watch

# Prometheus asks every 15 s to a minute.
INTERVAL_S = 10.0

_logger = get_logger(__name__)


class MetricsFile:
    """Where metrics are written. ConfigurationError where something else stands there already."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - no resolving
        self._must_be_ours()

    def write(self, watch: Watch) -> None:
        """Put the numbers of this moment there. ResourceError if it cannot be written."""
        self._must_be_ours()
        try:
            with SaveFile(self.path) as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(openmetrics(watch.look()).encode())
        except OSError as error:
            raise ResourceError(
                "The metrics cannot be written to {path}: {reason}. Name a file in a folder that you may write to.",
                path=self.path,
                reason=reason(error),
            ) from error

    def _must_be_ours(self) -> None:
        try:
            with open_regular(self.path, follow=False) as file:
                ours = file.read(len(BEGINNING)) in (BEGINNING, b"")
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            ours = _is_link(self.path)  # which is replaced, and what it leads to stays
        if not ours:
            raise ConfigurationError(
                "{path} is there and holds no metrics of Lote: it is left alone; name another file.",
                path=self.path,
            )


def _is_link(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(path.lstat().st_mode)
    return False


def write_metrics(workspace: Workspace, path: str | Path) -> None:
    """The numbers of this moment, once."""
    MetricsFile(path).write(Watch(workspace))


@contextmanager
def metrics_kept(
    workspace: Workspace, path: str | Path | None, *, interval_s: float = INTERVAL_S
) -> Iterator[None]:
    """As long as the block lasts, the file is brought up to date every few seconds, and once more at its end, so that
    the last numbers are those of a job that has ended. None: nothing is written.

    By a thread with a workspace of its own: it needs nothing of the run that it watches."""
    if path is None:
        yield
        return
    file = MetricsFile(path)
    over = threading.Event()
    thread = threading.Thread(
        target=_keep, args=(file, workspace.root, over, interval_s), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _keep(file: MetricsFile, root: Path, over: threading.Event, interval_s: float) -> None:
    own = Workspace(root)
    watch = Watch(own)
    said = False
    try:
        while True:
            last = over.is_set()
            try:
                file.write(watch)
                said = False
            except (
                BatchProcessingError
            ) as error:  # a workspace that is moved, a disk that is full: the job says so
                if not said:
                    _logger.warning("%s", error)
                said = True
            if last:
                return
            over.wait(interval_s)
    finally:
        own.close()
