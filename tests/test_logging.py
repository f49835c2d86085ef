"""Logging: where records go, what they look like, and that nothing stacks up or reaches stdout."""

from __future__ import annotations

import json
import logging
import logging.handlers
import multiprocessing
import re
from typing import TYPE_CHECKING, Any

import pytest

from batch_processing import get_logger, logging_config, setup_logging
from batch_processing.logging_config import (
    DEFAULT_DATE_FORMAT,
    DEFAULT_LOG_FORMAT,
    LOG_LEVELS,
    WorkerHandler,
    configure_component_logger,
    handle_record,
    job_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The root logger as it was, and components without handlers."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for name in ("", "batch_processing.core", "batch_processing.core.queue"):
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if name or one not in handlers]:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET if name else level)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ours(before: list[logging.Handler]) -> list[logging.Handler]:
    return [handler for handler in logging.getLogger().handlers if handler not in before]


def test_levels_in_any_case() -> None:
    for name, level in LOG_LEVELS.items():
        for written in (name, name.lower(), name.title()):
            assert setup_logging(written) is logging.getLogger()
            assert logging.getLogger().level == level
    for wrong in ("LOUD", "", None, 10):
        with pytest.raises(ValueError, match="Invalid log level"):
            setup_logging(wrong)  # type: ignore[arg-type]


def test_the_console_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging()
    get_logger("anything.at.all").info("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - anything\.at\.all - INFO - hello\n", err)


def test_no_console_when_not_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    setup_logging(log_file=tmp_path / "a.log", console_output=False)
    get_logger("x").warning("quiet")
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "a.log").read_text().endswith("x - WARNING - quiet\n")


def test_log_file_wins_over_log_dir_and_parents_are_made(tmp_path: Path) -> None:
    setup_logging(log_file=tmp_path / "deep" / "er" / "a.log", log_dir=tmp_path / "dir")
    get_logger("x").error("Straße \udcff")
    assert files(tmp_path) == ["deep"]
    assert (tmp_path / "deep/er/a.log").read_bytes().decode("utf-8").endswith("Straße \\udcff\n")


def test_the_file_in_log_dir_is_named_by_its_time(tmp_path: Path) -> None:
    setup_logging(log_dir=tmp_path / "logs")
    setup_logging(log_dir=tmp_path / "logs")
    assert len(files(tmp_path / "logs")) == 1
    assert re.fullmatch(r"batch_processing_\d{8}_\d{6}\.log", files(tmp_path / "logs")[0])


def test_twice_changes_nothing_and_other_handlers_stay(tmp_path: Path) -> None:
    root = logging.getLogger()
    foreign = logging.NullHandler()
    root.addHandler(foreign)
    before = list(root.handlers)
    setup_logging(log_file=tmp_path / "a.log")
    first = list(root.handlers)
    setup_logging(log_file=tmp_path / "a.log")
    assert root.handlers == first
    get_logger("x").info("once")
    assert (tmp_path / "a.log").read_text().count("once") == 1
    old = ours(before)
    setup_logging(log_file=tmp_path / "b.log")
    assert foreign in root.handlers
    assert len(ours(before)) == len(old) == 2
    assert not set(old) & set(root.handlers)
    get_logger("x").info("elsewhere")
    assert "elsewhere" not in (tmp_path / "a.log").read_text()
    assert "elsewhere" in (tmp_path / "b.log").read_text()


def test_formats(tmp_path: Path) -> None:
    setup_logging(
        log_file=tmp_path / "a.log", log_format="%(asctime)s|%(levelname)s|%(message)s", date_format="%Y"
    )
    get_logger("x").info("m")
    assert re.fullmatch(r"\d{4}\|INFO\|m\n", (tmp_path / "a.log").read_text())
    assert DEFAULT_LOG_FORMAT == "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    assert DEFAULT_DATE_FORMAT == "%Y-%m-%d %H:%M:%S"


def test_text_and_json_lines_hold_the_same_fields(tmp_path: Path) -> None:
    with job_log(tmp_path / "a.log"), job_log(tmp_path / "a.jsonl", json_lines=True):
        try:
            (tmp_path / "line\nbreak").read_bytes()
        except OSError:
            get_logger("x").exception("page %s", "p1", extra={"job": 3, "page": tmp_path})
    text = (tmp_path / "a.log").read_text()
    assert f"x - ERROR - page p1 job=3 page={tmp_path}\nTraceback" in text
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert len(lines) == 1
    values = json.loads(lines[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", values.pop("time"))
    assert "FileNotFoundError" in values.pop("exception")
    expected = {"level": "ERROR", "logger": "x", "message": "page p1", "job": 3, "page": str(tmp_path)}
    assert values == expected


def test_setup_in_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(log_file=tmp_path / "a.log", json_lines=True)
    get_logger("x").info("Straße")
    line = (tmp_path / "a.log").read_text(encoding="utf-8")
    assert json.loads(line)["message"] == "Straße"
    assert capsys.readouterr().err == line


def test_a_file_is_rotated_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging_config, "_MAX_BYTES", 1000)
    setup_logging(log_file=tmp_path / "a.log", console_output=False)
    for number in range(200):
        get_logger("x").info("line %d", number)
    assert files(tmp_path) == ["a.log", *(f"a.log.{number}" for number in range(1, 6))]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "line 199" in (tmp_path / "a.log").read_text()


def test_a_component_has_its_own_level_and_file(tmp_path: Path) -> None:
    setup_logging("WARNING", log_file=tmp_path / "all.log", console_output=False)
    for file in ("a.log", "a.log", "b.log"):
        logger = configure_component_logger("core", "debug", tmp_path / file)
    assert logger.name == "batch_processing.core"
    assert configure_component_logger("batch_processing.core") is logger
    assert logger.level == logging.DEBUG
    assert len(logger.handlers) == 1
    get_logger("batch_processing.core.queue").debug("detail")
    get_logger("batch_processing.io").debug("not shown")
    assert (tmp_path / "a.log").read_text() == ""
    for file in ("b.log", "all.log"):
        assert (tmp_path / file).read_text().endswith("batch_processing.core.queue - DEBUG - detail\n")
        assert "not shown" not in (tmp_path / file).read_text()
    with pytest.raises(ValueError, match="Invalid log level"):
        configure_component_logger("core", "loud")


def test_a_job_log_ends_with_its_job(tmp_path: Path) -> None:
    logging.getLogger().setLevel(logging.INFO)
    before = list(logging.getLogger().handlers)
    with job_log(tmp_path / "jobs" / "3.log") as path:
        get_logger("x").info("inside")
    get_logger("x").info("outside")
    assert path.read_text().count("\n") == 1
    assert logging.getLogger().handlers == before


def _in_a_worker(connection: Any) -> None:
    logger = logging.getLogger("batch_processing.worker")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(WorkerHandler(connection.send))
    logger.debug("too much")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logger.exception("page %s failed", object, extra={"page": "p1", "where": object})
    connection.close()


def test_records_of_a_worker_are_written_here(tmp_path: Path) -> None:
    setup_logging("INFO", log_file=tmp_path / "a.log", console_output=False)
    here, there = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("spawn").Process(target=_in_a_worker, args=(there,))
    worker.start()
    there.close()
    received = []
    while True:
        try:
            received.append(here.recv())
        except EOFError:
            break
    worker.join(30)
    here.close()
    assert len(received) == 2
    for values in received:
        assert all(isinstance(value, str | int | float | bool | None) for value in values.values())
        handle_record(json.loads(json.dumps(values)))
    text = (tmp_path / "a.log").read_text()
    assert "too much" not in text
    assert (
        "batch_processing.worker - ERROR - page <class 'object'> failed page=p1 where=<class 'object'>\n"
        in text
    )
    assert "ZeroDivisionError" in text


def test_a_worker_whose_coordinator_is_gone_goes_on() -> None:
    here, there = multiprocessing.Pipe(duplex=False)
    here.close()
    logger = logging.Logger("alone")  # noqa: LOG001 - a logger of this test alone
    logger.addHandler(WorkerHandler(there.send))
    logger.error("nobody reads this")
    there.close()
