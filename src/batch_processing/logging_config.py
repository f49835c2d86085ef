"""Structured logging: text or JSON lines, to stderr and to rotated files.

Promises that stdout is never written to (it belongs to results), that only handlers installed here
are ever replaced or closed, and that log files are UTF-8 whatever a file name holds. Values given as
`extra=` appear in both formats: as `key=value` behind the text, as keys of the JSON object.
Refuses to let two processes rotate one file: a worker sends its records to the coordinator through
`WorkerHandler`, and the coordinator writes them with `handle_record`.
Importing this module sets nothing up.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "DEFAULT_DATE_FORMAT",
    "DEFAULT_LOG_FORMAT",
    "LOG_LEVELS",
    "WorkerHandler",
    "configure_component_logger",
    "get_logger",
    "handle_record",
    "job_log",
    "rotate",
    "setup_logging",
]

DEFAULT_LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
DEFAULT_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
LOG_LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}

_PACKAGE = __name__.rpartition(".")[0]
_MAX_BYTES = 10 * 2**20  # of one log file, about 100,000 lines; then it is rotated
_BACKUPS = 5  # rotated files kept beside it
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
}  # taskName: from 3.12

# What `setup_logging` was asked for last, and the handlers it installed on the root logger for it.
_installed: tuple[tuple[object, ...], list[logging.Handler]] = ((), [])


def setup_logging(
    log_level: str = "INFO",
    log_file: str | Path | None = None,
    log_dir: str | Path | None = None,
    console_output: bool = True,
    log_format: str | None = None,
    date_format: str | None = None,
    *,
    json_lines: bool = False,
) -> logging.Logger:
    """Set up the root logger and return it; the same call again changes nothing.

    `log_file` wins over `log_dir`, in which a file `batch_processing_<YYYYMMDD_HHMMSS>.log` is begun.
    Folders are made; a file is rotated at 10 MiB, and five old ones are kept. The console is stderr.
    ValueError for a level that is not in LOG_LEVELS (in any case); OSError if a file cannot be written."""
    global _installed  # noqa: PLW0603 - the root logger is global too
    level = _level(log_level)
    root = logging.getLogger()
    wanted = (
        str(log_file) if log_file else None,
        str(log_dir) if log_dir else None,
        console_output,
        log_format,
        date_format,
        json_lines,
    )
    before, handlers = _installed
    if wanted != before or any(handler not in root.handlers for handler in handlers):
        formatter = _formatter(log_format, date_format, json_lines)
        new: list[logging.Handler] = []
        if log_file:
            new.append(_file_handler(Path(log_file), formatter))
        elif log_dir:
            name = f"batch_processing_{datetime.now().astimezone():%Y%m%d_%H%M%S}.log"
            new.append(_file_handler(Path(log_dir, name), formatter))
        if console_output:
            new.append(_Console())
            new[-1].setFormatter(formatter)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        for handler in new:
            root.addHandler(handler)
        _installed = (wanted, new)
    root.setLevel(level)
    return root


def get_logger(name: str) -> logging.Logger:
    """The logger of that name; modules pass `__name__`."""
    return logging.getLogger(name)


def configure_component_logger(
    name: str, log_level: str | None = None, log_file: str | Path | None = None
) -> logging.Logger:
    """Give one component a level or a file of its own, and return its logger.

    A component is a module's name under `batch_processing`, written with it or without: `core.queue`.
    What is None stays as it was. A second file replaces the first. ValueError for an unknown level."""
    if name != _PACKAGE and not name.startswith(f"{_PACKAGE}."):
        name = f"{_PACKAGE}.{name}"
    logger = logging.getLogger(name)
    if log_level is not None:
        logger.setLevel(_level(log_level))
    if log_file is not None:
        before = [handler for handler in logger.handlers if isinstance(handler, _ComponentFile)]
        if [handler.baseFilename for handler in before] != [str(Path(log_file).absolute())]:
            logger.addHandler(_file_handler(Path(log_file), _formatter(None, None, False), _ComponentFile))
            for handler in before:
                logger.removeHandler(handler)
                handler.close()
    return logger


@contextmanager
def job_log(path: str | Path, *, json_lines: bool = False) -> Iterator[Path]:
    """While the block runs, everything that is logged also goes to this file (a job's own log)."""
    handler = _file_handler(Path(path), _formatter(None, None, json_lines))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield Path(path)
    finally:
        root.removeHandler(handler)
        handler.close()


def rotate(path: Path) -> None:
    """Begin a log anew that several processes add to, when it has grown as large as one may: as a file of `setup_logging` is
    rotated. What a process that lives still says goes to the file that it had opened."""
    try:
        if path.stat().st_size < _MAX_BYTES:
            return
    except FileNotFoundError:
        return
    for number in range(_BACKUPS, 0, -1):
        before = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        with suppress(FileNotFoundError):
            before.replace(path.with_name(f"{path.name}.{number}"))


RecordValues = dict[str, str | int | float | bool | None]
"""A log record's values by name, as they travel from one process to another."""


class WorkerHandler(logging.Handler):
    """Hands each record to `send` as a dict of plain values, for another process to write.

    In a worker: `logging.getLogger().addHandler(WorkerHandler(connection.send))`."""

    def __init__(self, send: Callable[[RecordValues], object]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(_plain(record))
        except OSError:  # the coordinator is gone, and nobody is left to read the record
            pass
        except ValueError:
            self.handleError(record)


def handle_record(values: Mapping[str, Any]) -> None:
    """Log, in this process, a record that `WorkerHandler` sent from another one."""
    record = logging.makeLogRecord(dict(values))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


class _Text(logging.Formatter):
    """The format's line, then the extra values as key=value, then the exception."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = super().formatMessage(record)
        return " ".join([line, *(f"{key}={value}" for key, value in _extra(record).items())])


class _JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, the extra values, and the exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone()
        values = {
            "time": time.strftime(self.datefmt) if self.datefmt else time.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            values["exception"] = record.exc_text
        return json.dumps(values, ensure_ascii=False, default=str)


class _Console(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at that moment: progress displays and tests exchange it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _ComponentFile(logging.handlers.RotatingFileHandler):
    """A component's own file, told apart from handlers that others installed."""


def _level(name: str) -> int:
    level = LOG_LEVELS.get(name.upper()) if isinstance(name, str) else None
    if level is None:
        raise ValueError(f"Invalid log level {name!r}: choose one of {', '.join(LOG_LEVELS)}.")
    return level


def _formatter(log_format: str | None, date_format: str | None, json_lines: bool) -> logging.Formatter:
    if json_lines:
        return _JsonLines(datefmt=date_format)
    return _Text(log_format or DEFAULT_LOG_FORMAT, date_format or DEFAULT_DATE_FORMAT)


def _file_handler(
    path: Path,
    formatter: logging.Formatter,
    kind: type[logging.handlers.RotatingFileHandler] = logging.handlers.RotatingFileHandler,
) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file name that is not UTF-8 reaches us with lone surrogates: they are written as escapes.
    handler = kind(
        path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(formatter)
    return handler


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _plain(record: logging.LogRecord) -> RecordValues:
    values: RecordValues = {
        key: getattr(record, key)
        for key in (
            "name",
            "levelno",
            "levelname",
            "pathname",
            "filename",
            "module",
            "lineno",
            "funcName",
            "created",
            "msecs",
            "process",
            "processName",
            "thread",
            "threadName",
        )
    }
    values["msg"] = record.getMessage()
    if record.exc_info:
        values["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
    for key, value in _extra(record).items():
        values[key] = value if isinstance(value, str | int | float | bool | None) else str(value)
    return values
